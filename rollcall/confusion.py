"""Who of an enrolled gallery is likely to be taken for whom: each person is left out in turn and searched for."""

from __future__ import annotations

from collections import defaultdict

import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from control_plane.store import galleries
from control_plane.store.db import Connection
from faces.encoding import Matrix, distances, from_bytes
from faces.errors import NotFound
from faces.gallery import EncodingRow, IdentityRow


class Pair(msgspec.Struct, frozen=True):
    """Two people and the distance of their nearest encodings."""

    one: str
    other: str
    distance: float


class Confusion(msgspec.Struct, frozen=True, kw_only=True):
    """Of `people` with encodings of `model`, `confused` have somebody else within `distance`; `pairs` nearest first."""

    gallery: str
    model: str
    people: int
    without_encoding: int
    distance: float
    confused: int
    pairs: list[Pair]


def confusion(connection: Connection, gallery_name: str, model: str, distance: float, *, most: int = 20) -> Confusion:
    """Leave each person out in turn and see whom the gallery takes them for; raises NotFound."""
    gallery_id = _named(connection, gallery_name)
    names: dict[str, str] = {}
    encodings: dict[str, list[Matrix]] = defaultdict(list)
    for row in galleries.snapshot(connection, gallery_id)[1]:
        if isinstance(row, IdentityRow):
            names[row.id] = row.name
        elif isinstance(row, EncodingRow) and row.model == model and not row.against:
            encodings[row.identity_id].append(from_bytes(row.data))
    ids = sorted(encodings)
    nearest = [(i, *_nearest_other(model, ids, encodings, i)) for i in ids] if len(ids) > 1 else []
    pairs = {tuple(sorted((one, other))): apart for one, other, apart in nearest}
    ordered = sorted((apart, one, other) for (one, other), apart in pairs.items())
    return Confusion(
        gallery=gallery_name,
        model=model,
        people=len(ids),
        without_encoding=len(names) - len(ids),
        distance=distance,
        confused=sum(apart <= distance for _, _, apart in nearest),
        pairs=[Pair(names[one], names[other], round(apart, 4)) for apart, one, other in ordered[:most]],
    )


def _nearest_other(model: str, ids: list[str], encodings: dict[str, list[Matrix]], left_out: str) -> tuple[str, float]:
    others = [i for i in ids if i != left_out]
    stacked = np.concatenate([np.stack(encodings[i]) for i in others])
    owners = [i for i in others for _ in encodings[i]]
    apart = distances(model, np.stack(encodings[left_out]), stacked).min(axis=0)
    index = int(apart.argmin())
    return owners[index], float(apart[index])


def _named(connection: Connection, name: str) -> str:
    found = [g for g in galleries.listing(connection) if name in (g.id, g.name)]
    if not found:
        raise NotFound(f"there is no gallery {name!r}")
    return found[0].id


def show(found: Confusion, console: Console) -> None:
    """The nearest pairs for a person."""
    table = Table(title=f"Gallery {found.gallery}: the pairs most alike ({found.model})")
    for heading in ("one", "other", "distance"):
        table.add_column(heading)
    for pair in found.pairs:
        style = "bold red" if pair.distance <= found.distance else ""
        table.add_row(Text(pair.one), Text(pair.other), f"{pair.distance:.3f}", style=style)
    console.print(table)
    console.print(
        f"{found.confused} of {found.people} people would be taken for somebody else within {found.distance:.2f}, "
        f"if they were not enrolled themselves. {found.without_encoding} have no encoding of this model."
    )
