"""An import's items: one photo each, in the archive's order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec
import sqlalchemy as sa

from control_plane.store import import_chunks
from control_plane.store.enrollments import LIKE_SOMEBODY_ERASED, names_them
from control_plane.store.import_chunks import Chunk
from control_plane.store.seals import Plain, Sealed, import_owner, of_item, seal_all, unseal_all
from control_plane.store.tables import import_items
from faces.consent import NONE, Consent
from faces.errors import Reason

ACCEPTABLE = (Reason.LOOK_ALIKE, Reason.NOT_SAME_PERSON)
"""Refusals that an operator may overrule; their encodings and photos are kept until then."""


class ItemState(StrEnum):
    """`PLANNED` moves to `ENCODED`, then to an outcome. `ACCEPTED` may be `UNDONE`, `REFUSED` be `ENCODED` again."""

    PLANNED = "planned"
    ENCODED = "encoded"
    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    REFUSED = "refused"
    CANCELLED = "cancelled"
    UNDONE = "undone"


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One photo of an import as the API shows it."""

    seq: int
    entry: str
    name: str | None
    external_id: str | None
    gallery_id: str
    state: ItemState
    reason: Reason | None
    message: str | None
    remedy: str | None
    detail: dict[str, Any] | None
    identity_id: str | None
    photo_id: str | None


class NewItem(msgspec.Struct, frozen=True, kw_only=True):
    """One photo as it was planned; without a `place` it is refused for `reason`."""

    seq: int
    entry: str
    gallery_id: str
    place: tuple[int, ...] | None = None
    name: str | None = None
    external_id: str | None = None
    valid_until: datetime | None = None
    attributes: dict[str, str] = {}
    consent: Consent = NONE
    force: bool = False
    reason: Reason | None = None
    message: str | None = None
    remedy: str | None = None
    detail: dict[str, Any] | None = None


class ToLook(msgspec.Struct, frozen=True, kw_only=True):
    """A photo that is to be looked at."""

    seq: int
    entry: str
    place: tuple[int, ...]
    attempts: int


class ToAdmit(msgspec.Struct, frozen=True, kw_only=True):
    """An encoded photo that is next in order."""

    seq: int
    entry: str
    place: tuple[int, ...]
    gallery_id: str
    name: str
    external_id: str | None
    valid_until: datetime | None
    attributes: dict[str, str]
    consent: Consent
    force: bool
    sha256: str
    encoding: bytes
    quality: dict[str, Any]


class Brought(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be taken back: an accepted photo, with the person's hash if it made the person; `joined`: it brought
    somebody who was known into the gallery, also as a duplicate."""

    seq: int
    state: str
    gallery_id: str
    identity_id: str
    photo_id: str
    identity_hash: int | None
    joined: bool


def add(connection: sa.Connection, import_id: str, items: Sequence[NewItem]) -> None:
    """Add planned items, whole chunks at a time, and a chunk for those that hold something to look at."""
    rows = []
    for item in items:
        state = ItemState.REFUSED if item.place is None else ItemState.PLANNED
        consent = None if item.consent == NONE else msgspec.to_builtins(item.consent)
        row = {**msgspec.structs.asdict(item), "consent": consent}
        rows.append({**row, "import_id": import_id, "state": state, "attempts": 0})
    connection.execute(import_items.insert(), rows)
    import_chunks.add(connection, import_id, [item.seq for item in items if item.place is not None])


def next_seq(connection: sa.Connection, import_id: str) -> int:
    """The number of the first item that is still to be added."""
    query = sa.select(sa.func.max(import_items.c.seq)).where(import_items.c.import_id == import_id)
    last = connection.execute(query).scalar()
    return 0 if last is None else last + 1


def attempt(connection: sa.Connection, import_id: str, seq: int) -> None:
    """Note that a photo is about to be looked at, alone: if the worker dies of it, the next one knows."""
    this = _of(import_id) & (import_items.c.seq == seq)
    connection.execute(import_items.update().where(this).values(attempts=import_items.c.attempts + 1))


def to_look(connection: sa.Connection, chunk: Chunk) -> list[ToLook]:
    """Those of a chunk's photos that are still to be looked at."""
    first = chunk.number * import_chunks.SIZE
    inside = import_items.c.seq.between(first, first + import_chunks.SIZE - 1)
    wanted = _of(chunk.import_id) & inside & (import_items.c.state == ItemState.PLANNED)
    query = sa.select(*(import_items.c[name] for name in ToLook.__struct_fields__)).where(wanted)
    return [ToLook(**r._mapping) for r in connection.execute(query.order_by(import_items.c.seq))]


def looked_at(connection: sa.Connection, import_id: str, found: Sequence[Mapping[str, Any]]) -> None:
    """Keep what was found in photos (each with its `seq`): encodings, or refusals."""
    _settle(connection, import_id, found, ItemState.PLANNED)


def page(connection: sa.Connection, import_id: str, limit: int) -> list[ToAdmit]:
    """The next photos in the archive's order, as far as all before them have been looked at."""
    planned = connection.execute(sa.select(first(sa.literal(import_id), ItemState.PLANNED))).scalar()
    query = (
        sa.select(*(import_items.c[name] for name in ToAdmit.__struct_fields__))
        .where(_of(import_id) & (import_items.c.state == ItemState.ENCODED))
        .order_by(import_items.c.seq)
        .limit(limit)
    )
    if planned is not None:
        query = query.where(import_items.c.seq < planned)
    return _to_admit(connection, import_id, query)


def rehearsed(connection: sa.Connection, import_id: str) -> list[ToAdmit]:
    """The photos that a dry run would have accepted so far, in order."""
    query = (
        sa.select(*(import_items.c[name] for name in ToAdmit.__struct_fields__))
        .where(_of(import_id) & (import_items.c.state == ItemState.ACCEPTED))
        .order_by(import_items.c.seq)
    )
    return _to_admit(connection, import_id, query)


def admitted(connection: sa.Connection, import_id: str, outcomes: Sequence[Mapping[str, Any]]) -> None:
    """Keep the outcomes of encoded photos (each with its `seq` and `state`)."""
    _settle(connection, import_id, outcomes, ItemState.ENCODED)


def left(connection: sa.Connection, import_id: str) -> bool:
    """Whether any photo is still without an outcome."""
    pending = import_items.c.state.in_((ItemState.PLANNED, ItemState.ENCODED))
    return (
        connection.execute(sa.select(import_items.c.seq).where(_of(import_id) & pending).limit(1)).first() is not None
    )


def cancel_some(connection: sa.Connection, import_id: str, limit: int) -> list[int]:
    """Cancel some photos that have no outcome yet; returns which. None are left when there are none."""
    pending = import_items.c.state.in_((ItemState.PLANNED, ItemState.ENCODED))
    query = sa.select(import_items.c.seq).where(_of(import_id) & pending).order_by(import_items.c.seq).limit(limit)
    seqs = list(connection.execute(query).scalars())
    import_chunks.drop(connection, import_id)
    connection.execute(
        import_items.update()
        .where(_of(import_id) & import_items.c.seq.in_(seqs))
        .values(state=ItemState.CANCELLED, encoding=None, quality=None)
    )
    return seqs


def encoded_among(connection: sa.Connection, import_id: str, seqs: Sequence[int]) -> set[int]:
    """Those of these photos that are still to be admitted."""
    waiting = import_items.c.seq.in_(seqs) & (import_items.c.state == ItemState.ENCODED)
    return set(connection.execute(sa.select(import_items.c.seq).where(_of(import_id) & waiting)).scalars())


def cancelled_among(connection: sa.Connection, import_id: str, seqs: Sequence[int]) -> list[int]:
    """Those of these photos that are cancelled."""
    cancelled = import_items.c.seq.in_(seqs) & (import_items.c.state == ItemState.CANCELLED)
    return list(connection.execute(sa.select(import_items.c.seq).where(_of(import_id) & cancelled)).scalars())


def brought(connection: sa.Connection, import_id: str, limit: int) -> list[Brought]:
    """What an import brought, the last first: a person's first photo, which made the person, comes last."""
    query = (
        sa.select(*(import_items.c[name] for name in Brought.__struct_fields__))
        .where(_of(import_id) & ((import_items.c.state == ItemState.ACCEPTED) | import_items.c.joined))
        .order_by(import_items.c.seq.desc())
        .limit(limit)
    )
    return [Brought(**r._mapping) for r in connection.execute(query)]


def undone(connection: sa.Connection, import_id: str, seqs: Sequence[int]) -> None:
    """These photos are taken back."""
    connection.execute(
        import_items.update()
        .where(_of(import_id) & import_items.c.seq.in_(seqs))
        .values(state=ItemState.UNDONE, identity_hash=None, joined=False)
    )


def in_state(connection: sa.Connection, import_id: str, state: ItemState) -> list[int]:
    """The numbers of an import's items in a state."""
    query = sa.select(import_items.c.seq).where(_of(import_id) & (import_items.c.state == state))
    return list(connection.execute(query).scalars())


def forget_person(connection: sa.Connection, identity_id: str, name: str, gallery_ids: Sequence[str]) -> list[str]:
    """Keep nothing of an erased person, whom the name alone means in these galleries: also the photos of an import that
    are still to come, or could still be accepted, are not theirs any more. Returns the blobs of those."""
    of_person = (import_items.c.import_id, import_items.c.gallery_id, import_items.c.name)
    in_their_import = sa.tuple_(*of_person).in_(sa.select(*of_person).where(import_items.c.identity_id == identity_id))
    by_name = (import_items.c.name == name) & import_items.c.gallery_id.in_(gallery_ids)
    others = import_items.c.identity_id.is_(None) & (by_name | in_their_import)
    kept = sa.select(import_items.c.import_id, import_items.c.seq).where(others & import_items.c.encoding.is_not(None))
    blobs = [photo_blob(import_id, seq) for import_id, seq in connection.execute(kept)]
    to_come = import_items.c.state.in_((ItemState.PLANNED, ItemState.ENCODED))
    forgotten: dict[str, Any] = {"entry": "", "name": None, "external_id": None, "attributes": {}, "sha256": None}
    forgotten |= {"quality": None, "encoding": None, "remedy": None, "detail": None}
    connection.execute(
        import_items.update()
        .where(others & to_come)
        .values(
            **forgotten,
            state=ItemState.REFUSED,
            reason=Reason.IDENTITY_ERASED,
            message="The person was erased before this photo was admitted.",
        )
    )
    connection.execute(
        import_items.update()
        .where((import_items.c.identity_id == identity_id) | others)
        .values(**forgotten, message=None)
    )
    connection.execute(
        import_items.update()
        .where(names_them(import_items, identity_id))
        .values(message=LIKE_SOMEBODY_ERASED, detail={})
    )
    return blobs


def photo_blob(import_id: str, seq: int) -> str:
    """The file of an import's photo: the same at each attempt, so that none is left behind."""
    return f"photos/{import_id}-{seq:06x}"


def keeps_encodings(connection: sa.Connection, import_id: str) -> bool:
    """Whether there are encodings that are nobody's yet."""
    kept = sa.select(import_items.c.seq).where(_of(import_id) & import_items.c.encoding.is_not(None))
    return connection.execute(kept.limit(1)).first() is not None


def forget_encodings(connection: sa.Connection, import_id: str) -> None:
    """Templates of photos that nobody can accept any more are not kept."""
    kept = _of(import_id) & import_items.c.encoding.is_not(None)
    connection.execute(import_items.update().where(kept).values(encoding=None))


def acceptable(connection: sa.Connection, import_id: str) -> list[int]:
    """Refused photos that an operator may still accept."""
    query = sa.select(import_items.c.seq).where(_of(import_id) & _acceptable()).order_by(import_items.c.seq)
    return list(connection.execute(query).scalars())


def accept(connection: sa.Connection, import_id: str, seqs: Sequence[int]) -> None:
    """Have refused photos admitted after all."""
    for start in range(0, len(seqs), 500):
        wanted = import_items.c.seq.in_(seqs[start : start + 500])
        connection.execute(
            import_items.update()
            .where(_of(import_id) & _acceptable() & wanted)
            .values(state=ItemState.ENCODED, force=True, reason=None, message=None, remedy=None, detail=None)
        )


def listing(
    connection: sa.Connection,
    import_id: str,
    *,
    after: int = -1,
    limit: int = 100,
    state: ItemState | None = None,
    reason: Reason | None = None,
) -> list[Item]:
    """An import's items in the archive's order, behind number `after`."""
    query = (
        sa.select(*(import_items.c[name] for name in Item.__struct_fields__))
        .where(_of(import_id) & (import_items.c.seq > after))
        .order_by(import_items.c.seq)
        .limit(limit)
    )
    for column, value in (("state", state), ("reason", reason)):
        if value is not None:
            query = query.where(import_items.c[column] == value)
    return [
        Item(
            **{
                **r._mapping,
                "state": ItemState(r.state),
                "reason": Reason(r.reason) if r.reason else None,
            }
        )
        for r in connection.execute(query)
    ]


def counts(connection: sa.Connection, import_ids: Iterable[str]) -> dict[str, dict[ItemState, int]]:
    """How many items of each import are in each state."""
    query = (
        sa.select(import_items.c.import_id, import_items.c.state, sa.func.count())
        .where(import_items.c.import_id.in_(list(import_ids)))
        .group_by(import_items.c.import_id, import_items.c.state)
    )
    totals: dict[str, dict[ItemState, int]] = {}
    for import_id, state, number in connection.execute(query):
        totals.setdefault(import_id, {})[ItemState(state)] = number
    return totals


def first(import_id: sa.ColumnElement[str], state: ItemState) -> sa.ScalarSelect[int]:
    """The number of an import's first item in a state, as part of a query."""
    return (
        sa.select(sa.func.min(import_items.c.seq))
        .where((import_items.c.import_id == import_id) & (import_items.c.state == state))
        .scalar_subquery()
    )


def _to_admit(connection: sa.Connection, import_id: str, query: sa.Select[Any]) -> list[ToAdmit]:
    rows = connection.execute(query).all()
    plain = unseal_all(connection, [Sealed(of_item(import_id, r.seq), r.encoding) for r in rows])
    return [
        ToAdmit(**{**r._mapping, "consent": _consent(r.consent), "encoding": data})
        for r, data in zip(rows, plain, strict=True)
    ]


def _consent(kept: Any) -> Consent:
    return NONE if kept is None else msgspec.convert(kept, Consent)


def _sealed(connection: sa.Connection, import_id: str, rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The rows with their encodings as they are kept: nobody's yet, so by the import's own key."""
    found = [row for row in rows if row.get("encoding") is not None]
    owner = import_owner(import_id)
    plain = [Plain(owner, of_item(import_id, row["seq"]), row["encoding"]) for row in found]
    sealed = {row["seq"]: data for row, data in zip(found, seal_all(connection, plain), strict=True)}
    return [{**row, "encoding": sealed[row["seq"]]} if row["seq"] in sealed else row for row in rows]


def _settle(connection: sa.Connection, import_id: str, rows: Sequence[Mapping[str, Any]], before: ItemState) -> None:
    """Update rows by their `seq`; rows of the same columns in one statement."""
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in _sealed(connection, import_id, rows):
        # A parameter may not bear the name of a column.
        values = {f"{name}_": value for name, value in row.items()}
        groups.setdefault(tuple(sorted(values)), []).append(values)
    for columns, group in groups.items():
        this = _of(import_id) & (import_items.c.seq == sa.bindparam("seq_")) & (import_items.c.state == before)
        values = {name.removesuffix("_"): sa.bindparam(name) for name in columns if name != "seq_"}
        connection.execute(import_items.update().where(this).values(**values), group)


def _of(import_id: str) -> sa.ColumnElement[bool]:
    return import_items.c.import_id == import_id


def _acceptable() -> sa.ColumnElement[bool]:
    kept = import_items.c.encoding.is_not(None)
    return (import_items.c.state == ItemState.REFUSED) & import_items.c.reason.in_(ACCEPTABLE) & kept
