"""Imports: archives of photos. The row is the truth: a worker plans, admits, cancels or undoes one under its lease."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any

import msgspec
import sqlalchemy as sa

from control_plane.store import discards, import_items
from control_plane.store.db import new_id
from control_plane.store.import_items import ItemState
from control_plane.store.leases import free
from control_plane.store.seals import import_owner, note_plain
from control_plane.store.tables import imports
from faces.errors import Conflict, NotFound

LEASE = timedelta(seconds=15)

PAGE = 32
"""Photos that are admitted at once, in a transaction and a range of revisions: a longer one would keep everybody else
from writing."""


class State(StrEnum):
    """Where an import stands: `MOVES` says what may follow."""

    PENDING = "pending"
    RUNNING = "running"
    CANCELLING = "cancelling"
    UNDOING = "undoing"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNDONE = "undone"


MOVES: Mapping[State, frozenset[State]] = MappingProxyType(
    {
        State.PENDING: frozenset({State.RUNNING, State.FAILED, State.CANCELLING}),
        State.RUNNING: frozenset({State.DONE, State.CANCELLING}),
        State.CANCELLING: frozenset({State.CANCELLED}),
        State.DONE: frozenset({State.RUNNING, State.UNDOING}),
        State.CANCELLED: frozenset({State.UNDOING}),
        State.UNDOING: frozenset({State.UNDONE}),
        State.FAILED: frozenset(),
        State.UNDONE: frozenset(),
    }
)

ACTIVE = (State.PENDING, State.RUNNING, State.CANCELLING, State.UNDOING)
"""States in which a worker has something to do."""


class Import(msgspec.Struct, frozen=True, kw_only=True):
    """An import as the API shows it, with the outcomes so far.

    `duplicates` are photos that were enrolled for their person already; `skipped` counts the entries passed over, by
    kind; `rate_per_s` and `left_s` are of the photos looked at, while it runs. In a dry run, the outcomes are those
    that there would be.
    """

    id: str
    state: State
    gallery_id: str
    dry_run: bool
    total: int
    accepted: int
    duplicates: int
    refused: int
    cancelled: int
    undone: int
    pending: int
    skipped: dict[str, int]
    rate_per_s: float | None
    left_s: float | None
    error: dict[str, Any] | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker needs to know of an import it has claimed. `blob`: the archive, while it is kept."""

    id: str
    gallery_id: str
    state: State
    blob: str | None
    force: bool
    dry_run: bool
    attempts: int


def submit(
    connection: sa.Connection,
    now: datetime,
    *,
    gallery_id: str,
    blob: str,
    force: bool = False,
    dry_run: bool = False,
) -> str:
    """Hand in a stored archive; returns the import's id."""
    note_plain(connection)
    import_id = new_id(now)
    connection.execute(
        imports.insert().values(
            id=import_id,
            gallery_id=gallery_id,
            blob=blob,
            state=State.PENDING,
            force=force,
            dry_run=dry_run,
            created_at=now,
            attempts=0,
        )
    )
    return import_id


def get(connection: sa.Connection, import_id: str, now: datetime | None = None) -> Import:
    """One import; with `now`, a running one tells its rate. Raises NotFound."""
    return _imports(connection, [_row(connection, import_id)], now)[0]


def state_of(connection: sa.Connection, import_id: str) -> State:
    """Its state, which stays until the transaction ends. Raises NotFound."""
    connection.execute(sa.select(imports.c.id).where(imports.c.id == import_id).with_for_update()).all()
    return State(_row(connection, import_id).state)


def listing(
    connection: sa.Connection, *, after: str = "", limit: int = 100, now: datetime | None = None
) -> list[Import]:
    query = sa.select(imports).where(imports.c.id > after).order_by(imports.c.id).limit(limit)
    return _imports(connection, list(connection.execute(query)), now)


def recent(connection: sa.Connection, since: datetime, now: datetime) -> list[Import]:
    """Imports that are active, or were finished after `since`."""
    query = sa.select(imports).where(imports.c.state.in_(ACTIVE) | (imports.c.finished_at > since))
    return _imports(connection, list(connection.execute(query.order_by(imports.c.id))), now)


def due(connection: sa.Connection, now: datetime, *, limit: int = 10) -> list[str]:
    """Imports that wait to be planned and that nobody holds."""
    return _due(connection, imports.c.state == State.PENDING, now, limit)


def ending(connection: sa.Connection, now: datetime, *, limit: int = 10) -> list[str]:
    """Imports that are to be cancelled or undone and that nobody holds, as `id:state`."""
    return [
        f"{import_id}:{state}"
        for state in (State.CANCELLING, State.UNDOING)
        for import_id in _due(connection, imports.c.state == state, now, limit)
    ]


def admissible(connection: sa.Connection, now: datetime, *, limit: int = 10) -> list[str]:
    """Running imports that nobody holds and whose next photos in order are encoded, a page of them, or the last ones.

    As `id:seq` of the first such photo, so that each step has a name of its own.
    """
    planned, encoded = (import_items.first(imports.c.id, s) for s in (ItemState.PLANNED, ItemState.ENCODED))
    ready = sa.or_(planned.is_(None), planned - encoded >= PAGE)
    query = (
        sa.select(imports.c.id, encoded)
        .where((imports.c.state == State.RUNNING) & _free(now) & ready)
        .order_by(imports.c.created_at)
        .limit(limit)
    )
    return [f"{row[0]}:{'end' if row[1] is None else row[1]}" for row in connection.execute(query)]


def claim(
    connection: sa.Connection, import_id: str, owner: str, now: datetime, states: tuple[State, ...] = (State.PENDING,)
) -> Work | None:
    """Take the lease of an import in one of these states; None if it is not to be had."""
    taken = connection.execute(
        imports.update()
        .where((imports.c.id == import_id) & imports.c.state.in_(states) & _free(now))
        .values(lease_owner=owner, lease_until=now + LEASE, attempts=imports.c.attempts + 1)
        .returning(*(imports.c[name] for name in Work.__struct_fields__))
    ).one_or_none()
    if taken is None:
        return None
    return Work(**{**taken._mapping, "state": State(taken.state)})


def held(connection: sa.Connection, work: Work, owner: str, now: datetime) -> bool:
    """Whether `owner` still holds this import in the state it was claimed in; then holds it for longer.

    Locks the row until the transaction ends. Its commit is progress: what broke off before counts no more.
    """
    mine = (imports.c.id == work.id) & (imports.c.lease_owner == owner) & (imports.c.state == work.state)
    renewed = imports.update().where(mine).values(lease_until=now + LEASE, attempts=1).returning(imports.c.id)
    return connection.execute(renewed).first() is not None


def release(connection: sa.Connection, import_id: str, owner: str) -> None:
    """Give the lease back: a step is done, and broke off nowhere."""
    mine = (imports.c.id == import_id) & (imports.c.lease_owner == owner)
    connection.execute(imports.update().where(mine).values(lease_owner=None, lease_until=None, attempts=0))


def run(connection: sa.Connection, import_id: str, now: datetime, skipped: Mapping[str, int]) -> None:
    """It is planned: its photos are items now."""
    _move(connection, import_id, State.RUNNING, started_at=now, skipped=dict(skipped))


def fail(connection: sa.Connection, import_id: str, now: datetime, error: dict[str, Any]) -> None:
    _move(connection, import_id, State.FAILED, blob=None, error=error, finished_at=now)


def finish(connection: sa.Connection, import_id: str, now: datetime, state: State) -> None:
    """It is done, cancelled or undone; the archive is no longer needed, nor the key of encodings that are not kept."""
    _move(connection, import_id, state, blob=None, finished_at=now)
    if not import_items.keeps_encodings(connection, import_id):
        discards.note(connection, discards.key_of(connection, import_owner(import_id)), now)


def cancel(connection: sa.Connection, import_id: str) -> None:
    """Have a worker stop it. Asking again is no error; raises Conflict for one that is finished, and NotFound."""
    _ask(connection, import_id, State.CANCELLING, (State.CANCELLED,))


def undo(connection: sa.Connection, import_id: str) -> None:
    """Have a worker take it back. Asking again is no error; raises Conflict for one that runs or failed; NotFound."""
    _ask(connection, import_id, State.UNDOING, (State.UNDONE,))


def reopen(connection: sa.Connection, import_id: str) -> None:
    """Some of its refused photos are to be admitted after all; raises Conflict and NotFound."""
    row = _row(connection, import_id)
    if row.dry_run:
        raise Conflict("this import is a dry run", remedy="Import the archive without dry_run.")
    _ask(connection, import_id, State.RUNNING, ())


def _ask(connection: sa.Connection, import_id: str, to: State, after: tuple[State, ...]) -> None:
    state = State(_row(connection, import_id).state)
    if state is to or state in after:
        return
    if to not in MOVES[state]:
        raise Conflict(f"the import is {state}, and cannot be {to} now")
    _move(connection, import_id, to)


def _move(connection: sa.Connection, import_id: str, to: State, **values: object) -> None:
    """Make a legal move; raises Conflict if somebody else has made another one meanwhile."""
    sources = [state for state, following in MOVES.items() if to in following]
    moved = connection.execute(
        imports.update()
        .where((imports.c.id == import_id) & imports.c.state.in_(sources))
        .values(**values, state=to, lease_owner=None, lease_until=None, attempts=0)
        .returning(imports.c.id)
    ).first()
    if moved is None:
        raise Conflict(f"the import cannot be {to} now")


def _due(connection: sa.Connection, wanted: sa.ColumnElement[bool], now: datetime, limit: int) -> list[str]:
    query = sa.select(imports.c.id).where(wanted & _free(now)).order_by(imports.c.created_at).limit(limit)
    return list(connection.execute(query).scalars())


def _free(now: datetime) -> sa.ColumnElement[bool]:
    return free(imports.c.lease_until, now, LEASE)


def _row(connection: sa.Connection, import_id: str) -> sa.Row[Any]:
    row = connection.execute(sa.select(imports).where(imports.c.id == import_id)).one_or_none()
    if row is None:
        raise NotFound(f"there is no import {import_id!r}")
    return row


def _imports(connection: sa.Connection, rows: list[sa.Row[Any]], now: datetime | None) -> list[Import]:
    counts = import_items.counts(connection, [r.id for r in rows])
    return [_import(row, counts.get(row.id, {}), now) for row in rows]


def _import(row: sa.Row[Any], counts: Mapping[ItemState, int], now: datetime | None) -> Import:
    planned, encoded = counts.get(ItemState.PLANNED, 0), counts.get(ItemState.ENCODED, 0)
    total = sum(counts.values())
    rate = left = None
    if now is not None and row.state == State.RUNNING and row.started_at is not None:
        rate = (total - planned) / max((now - row.started_at).total_seconds(), 1e-3)
        left = planned / rate if rate else None
    return Import(
        id=row.id,
        state=State(row.state),
        gallery_id=row.gallery_id,
        dry_run=row.dry_run,
        total=total,
        accepted=counts.get(ItemState.ACCEPTED, 0),
        duplicates=counts.get(ItemState.DUPLICATE, 0),
        refused=counts.get(ItemState.REFUSED, 0),
        cancelled=counts.get(ItemState.CANCELLED, 0),
        undone=counts.get(ItemState.UNDONE, 0),
        pending=planned + encoded,
        skipped=row.skipped or {},
        rate_per_s=None if rate is None else round(rate, 2),
        left_s=None if left is None else round(left, 1),
        error=row.error,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
    )
