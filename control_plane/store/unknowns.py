"""Unknowns: strangers who come again, as groups of encodings that are alike. Only where a site keeps encodings.

Grouping takes numbers and is a job's; what is kept, found and shown of groups is here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from control_plane.store.seals import Plain, Sealed, of_probe, probes_owner, seal_all, unseal_all
from control_plane.store.tables import events, probes, sites, thumbnails, unknowns
from faces.encoding import ENCODING_BYTES, MODELS
from faces.errors import NotFound

EVERY = timedelta(seconds=10)
"""How often the strangers of a site are grouped, at most."""

MOST = 20_000
"""So many encodings of a site, the newest, are looked at when new ones are grouped."""


class Lens(msgspec.Struct, frozen=True, order=True):
    """A camera that saw somebody."""

    edge_id: str
    camera: str


class Unknown(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody nobody knows, who was seen `size` times. `event_id`: the newest event with a picture; null: none is
    kept any more."""

    id: str
    site_id: str
    model: str
    size: int
    first_seen_at: datetime
    last_seen_at: datetime
    cameras: list[Lens]
    event_id: str | None
    dismissed: bool


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Which groups: those of at least `least` events, captured `since` (included) and `until` (excluded)."""

    sites: frozenset[str] | None = None
    site_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    least: int = 2
    dismissed: bool = False

    def terms(self) -> list[sa.ColumnElement[bool]]:
        dismissed = unknowns.c.dismissed_at.is_not(None)
        terms: list[sa.ColumnElement[bool]] = [dismissed if self.dismissed else ~dismissed]
        if self.sites is not None:
            terms.append(unknowns.c.site_id.in_(self.sites))
        if self.site_id is not None:
            terms.append(unknowns.c.site_id == self.site_id)
        if self.since is not None:
            terms.append(events.c.captured_at >= self.since)
        if self.until is not None:
            terms.append(events.c.captured_at < self.until)
        return terms


class Kept(NamedTuple):
    """The encoding of a stranger, as it came with an event."""

    position: int
    event_id: str
    site_id: str
    model: str
    data: bytes


class Known(NamedTuple):
    """An encoding that is kept, and the group it belongs to; None: to none yet."""

    position: int
    model: str
    data: bytes
    unknown_id: str | None


def keep(connection: sa.Connection, came: Sequence[Kept], now: datetime) -> None:
    """Keep those that are encodings, of sites that keep them."""
    if not came:
        return
    keeping = set(connection.execute(sa.select(sites.c.id).where(sites.c.probe_days > 0)).scalars())
    sound = [k for k in came if k.site_id in keeping and k.model in MODELS and len(k.data) == ENCODING_BYTES]
    plain = [Plain(probes_owner(k.site_id, now), of_probe(k.event_id, k.model), k.data) for k in sound]
    for each, data in zip(sound, seal_all(connection, plain), strict=True):
        row = {"position": each.position, "site_id": each.site_id, "model": each.model, "data": data}
        connection.execute(probes.insert().values(**row, arrived_at=now))


def due(connection: sa.Connection, now: datetime, *, limit: int) -> list[str]:
    """Sites with strangers that are in no group yet."""
    waiting = sa.exists().where((probes.c.site_id == sites.c.id) & probes.c.unknown_id.is_(None))
    return list(connection.execute(sa.select(sites.c.id).where(waiting & _rested(now)).limit(limit)).scalars())


def claim(connection: sa.Connection, site_id: str, now: datetime) -> bool:
    """Take a site whose strangers are to be grouped; False if somebody else has."""
    taken = sites.update().where((sites.c.id == site_id) & _rested(now)).values(grouped_at=now)
    return bool(connection.execute(taken).rowcount)


def encodings(connection: sa.Connection, site_id: str) -> list[Known]:
    """The newest encodings of a site, oldest first."""
    query = (
        sa.select(probes.c.position, probes.c.model, probes.c.data, probes.c.unknown_id, events.c.id)
        .join(events)
        .where(probes.c.site_id == site_id)
        .order_by(probes.c.position.desc())
        .limit(MOST)
    )
    rows = connection.execute(query).all()[::-1]
    plain = unseal_all(connection, [Sealed(of_probe(row.id, row.model), row.data) for row in rows])
    return [Known(row.position, row.model, data, row.unknown_id) for row, data in zip(rows, plain, strict=True)]


def group(
    connection: sa.Connection,
    site_id: str,
    new: Mapping[str, str],
    joined: Mapping[int, str],
    merged: Mapping[str, str],
    now: datetime,
) -> None:
    """Make groups (`new`, by id: the model), have encodings join theirs (`joined`, by position), and groups go over
    into others (`merged`). What has gone meanwhile is left out."""
    for unknown_id, model in new.items():
        connection.execute(unknowns.insert().values(id=unknown_id, site_id=site_id, model=model, created_at=now))
    there = set(connection.execute(sa.select(unknowns.c.id).where(unknowns.c.site_id == site_id)).scalars())
    for position, unknown_id in joined.items():
        if unknown_id in there:
            free = (probes.c.position == position) & probes.c.unknown_id.is_(None)
            connection.execute(probes.update().where(free).values(unknown_id=unknown_id))
    for gone, into in merged.items():
        if into in there:
            connection.execute(probes.update().where(probes.c.unknown_id == gone).values(unknown_id=into))
            connection.execute(unknowns.delete().where(unknowns.c.id == gone))


def listing(connection: sa.Connection, asked: Asked, *, after: str = "", limit: int = 100) -> list[Unknown]:
    """Groups by id, those first that were seen first."""
    return _shown(connection, [unknowns.c.id > after, *asked.terms()], asked.least, limit)


def get(connection: sa.Connection, unknown_id: str) -> Unknown:
    """One group, dismissed or not; raises NotFound."""
    found = _shown(connection, [unknowns.c.id == unknown_id], 1, 1)
    if not found:
        raise NotFound(f"there is no unknown {unknown_id!r}")
    return found[0]


def members(connection: sa.Connection, unknown_id: str, limit: int) -> list[str]:
    """The ids of a group's events, newest first."""
    query = sa.select(events.c.id).join(probes).where(probes.c.unknown_id == unknown_id)
    return list(connection.execute(query.order_by(events.c.position.desc()).limit(limit)).scalars())


def pictured(connection: sa.Connection, unknown_id: str) -> list[str]:
    """The ids of a group's events that have a picture, oldest first."""
    query = sa.select(events.c.id).join(probes, probes.c.position == events.c.position).join(thumbnails)
    return list(
        connection.execute(query.where(probes.c.unknown_id == unknown_id).order_by(events.c.position)).scalars()
    )


def dismiss(connection: sa.Connection, unknown_id: str, now: datetime) -> None:
    """Show a group no more, also when it grows; raises NotFound."""
    if not connection.execute(unknowns.update().where(unknowns.c.id == unknown_id).values(dismissed_at=now)).rowcount:
        raise NotFound(f"there is no unknown {unknown_id!r}")


def remove(connection: sa.Connection, unknown_id: str) -> None:
    """Delete a group and its encodings: they are somebody's now."""
    connection.execute(probes.delete().where(probes.c.unknown_id == unknown_id))
    connection.execute(unknowns.delete().where(unknowns.c.id == unknown_id))


def forget(connection: sa.Connection, site_id: str, before: datetime, limit: int) -> int:
    """Delete a site's oldest encodings that arrived before a time, and groups of which none is left; how many."""
    old = sa.select(probes.c.position).where((probes.c.site_id == site_id) & (probes.c.arrived_at < before))
    some = old.order_by(probes.c.position).limit(limit)
    gone = connection.execute(probes.delete().where(probes.c.position.in_(some))).rowcount
    empty = sa.exists().where(probes.c.unknown_id == unknowns.c.id)
    connection.execute(unknowns.delete().where((unknowns.c.site_id == site_id) & ~empty))
    return gone


def _rested(now: datetime) -> sa.ColumnElement[bool]:
    return sites.c.grouped_at.is_(None) | (sites.c.grouped_at <= now - EVERY)


def _shown(connection: sa.Connection, terms: Iterable[sa.ColumnElement[bool]], least: int, limit: int) -> list[Unknown]:
    joined = unknowns.join(probes, probes.c.unknown_id == unknowns.c.id).join(events)
    size, first, last = sa.func.count(), sa.func.min(events.c.captured_at), sa.func.max(events.c.captured_at)
    found = connection.execute(
        sa.select(unknowns, size.label("size"), first.label("first"), last.label("last"))
        .select_from(joined)
        .where(*terms)
        .group_by(unknowns.c.id)
        .having(size >= least)
        .order_by(unknowns.c.id)
        .limit(limit)
    ).all()
    ids = [row.id for row in found]
    seen = _seen_by(connection, ids)
    pictures = _newest_pictures(connection, ids)
    return [
        Unknown(
            id=row.id,
            site_id=row.site_id,
            model=row.model,
            size=row.size,
            first_seen_at=row.first,
            last_seen_at=row.last,
            cameras=seen[row.id],
            event_id=pictures.get(row.id),
            dismissed=row.dismissed_at is not None,
        )
        for row in found
    ]


def _seen_by(connection: sa.Connection, ids: Sequence[str]) -> dict[str, list[Lens]]:
    query = sa.select(probes.c.unknown_id, events.c.edge_id, events.c.camera).join(events).distinct()
    seen: dict[str, list[Lens]] = {unknown_id: [] for unknown_id in ids}
    for unknown_id, edge_id, camera in connection.execute(query.where(probes.c.unknown_id.in_(ids))):
        seen[unknown_id].append(Lens(edge_id, camera))
    return {unknown_id: sorted(lenses) for unknown_id, lenses in seen.items()}


def _newest_pictures(connection: sa.Connection, ids: Sequence[str]) -> dict[Any, str]:
    newest = (
        sa.select(sa.func.max(probes.c.position))
        .join(thumbnails, thumbnails.c.position == probes.c.position)
        .where(probes.c.unknown_id.in_(ids))
        .group_by(probes.c.unknown_id)
    )
    query = sa.select(probes.c.unknown_id, events.c.id).join(events).where(probes.c.position.in_(newest))
    return dict(connection.execute(query).all())
