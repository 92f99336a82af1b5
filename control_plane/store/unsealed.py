"""What was written plain, before or without sealing: found and sealed a little at a time, while everybody goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from control_plane.store import counters, webhooks
from control_plane.store.blobs import BlobStore
from control_plane.store.db import Connection, Database
from control_plane.store.remains import PERSONAL
from control_plane.store.seals import (
    Plain,
    begin_sealing,
    encoding_owner,
    end_sealing,
    import_owner,
    of_encoding,
    of_item,
    of_probe,
    of_thumbnail,
    probes_owner,
    seal_all,
    strangers,
    vault_of,
)
from control_plane.store.tables import (
    encodings,
    enrollments,
    events,
    identifications,
    import_items,
    imports,
    photos,
    probes,
    thumbnails,
    webhook_secrets,
)
from control_plane.store.tables import webhooks as hooks
from control_plane.store.vault import person
from faces.sealing import SEALED

AT_ONCE: Final = 25
"""Rows a transaction: others wait meanwhile."""


class Found(NamedTuple):
    """A plain row: its key in order, how to name it, and how what it holds is to be sealed."""

    key: tuple[Any, ...]
    this: sa.ColumnElement[bool]
    plain: Plain


Some = Callable[[Connection, sa.Select[Any]], list[Found]]


def left(connection: Connection) -> bool:
    """Whether anything may be plain that is to be sealed."""
    vault = vault_of(connection)
    return vault is not None and vault.sealing and counters.found(connection, counters.ALL_SEALED) is None


def seal_rest(database: Database, blobs: BlobStore) -> None:
    """Seal all that is plain, and keep no copy of it. May be broken off anywhere, and run twice."""
    with database.write() as connection:
        begin_sealing(connection)
    for column, keys, some in _ROWS:
        after: tuple[Any, ...] | None = None
        while found := _seal_some(database, column, keys, some, after):
            after = found[-1].key
    with database.write() as connection:
        webhooks.seal_plain(connection)
    with database.read() as connection:
        files = {name: column for column in _FILES for name in connection.execute(sa.select(column)).scalars() if name}
    for name, column in sorted(files.items()):
        blobs.seal(name, partial(_named, database, column, name))
    blobs.forget_sealing()
    if database.scrub(table.name for table in (*PERSONAL, hooks, webhook_secrets)):
        with database.write() as connection:
            end_sealing(connection)


def _named(database: Database, column: sa.Column[Any], name: str) -> bool:
    with database.read() as connection:
        return connection.execute(sa.select(column).where(column == name)).first() is not None


def _seal_some(
    database: Database,
    column: sa.Column[Any],
    keys: Sequence[sa.Column[Any]],
    some: Some,
    after: tuple[Any, ...] | None,
) -> list[Found]:
    plain = column.is_not(None) & (sa.func.substr(column, 1, len(SEALED)) != SEALED)
    query = (
        sa.select(column.table).where(plain if after is None else plain & (sa.tuple_(*keys) > after)).order_by(*keys)
    )
    with database.write() as connection:
        found = some(connection, query.limit(AT_ONCE))
        sealed = seal_all(connection, [row.plain for row in found])
        for row, data in zip(found, sealed, strict=True):
            # Unless somebody has just written it anew.
            this = row.this & (column == row.plain.data)
            connection.execute(column.table.update().where(this).values({column: data}))
    return found


def _encodings(connection: Connection, query: sa.Select[Any]) -> list[Found]:
    found = []
    for row in connection.execute(query):
        owner = encoding_owner(row)
        plain = Plain(owner, of_encoding(row.id, owner, row.model, row.against), bytes(row.data))
        found.append(Found((row.id,), encodings.c.id == row.id, plain))
    return found


def _thumbnails(connection: Connection, query: sa.Select[Any]) -> list[Found]:
    """By the key of the person whom the event names: those who are known here have one by now."""
    columns = events.c.id, events.c.identity_id, events.c.site_id, events.c.arrived_at
    rows = connection.execute(query.join(events).add_columns(*columns)).all()
    vault, people = vault_of(connection), [person(row.identity_id or "") for row in rows]
    known = vault.known(people) if vault is not None else {}
    found = []
    for row, owner in zip(rows, people, strict=True):
        by = owner if owner in known else strangers(row.site_id, row.arrived_at)
        plain = Plain(by, of_thumbnail(row.id), bytes(row.data))
        found.append(Found((row.position,), thumbnails.c.position == row.position, plain))
    return found


def _probes(connection: Connection, query: sa.Select[Any]) -> list[Found]:
    found = []
    for row in connection.execute(query.join(events).add_columns(events.c.id)):
        plain = Plain(probes_owner(row.site_id, row.arrived_at), of_probe(row.id, row.model), bytes(row.data))
        found.append(Found((row.position,), probes.c.position == row.position, plain))
    return found


def _items(connection: Connection, query: sa.Select[Any]) -> list[Found]:
    found = []
    for row in connection.execute(query):
        this = (import_items.c.import_id == row.import_id) & (import_items.c.seq == row.seq)
        plain = Plain(import_owner(row.import_id), of_item(row.import_id, row.seq), bytes(row.encoding))
        found.append(Found((row.import_id, row.seq), this, plain))
    return found


_ROWS: tuple[tuple[sa.Column[Any], Sequence[sa.Column[Any]], Some], ...] = (
    (encodings.c.data, (encodings.c.id,), _encodings),
    (thumbnails.c.data, (thumbnails.c.position,), _thumbnails),
    (probes.c.data, (probes.c.position,), _probes),
    (import_items.c.encoding, (import_items.c.import_id, import_items.c.seq), _items),
)
_FILES = (photos.c.blob, enrollments.c.blob, imports.c.blob, identifications.c.blob)
