"""Files that no row names any more, and keys that seal nothing any more: noted in the transaction that drops them, so
that no crash leaves one behind."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

import sqlalchemy as sa

from control_plane.store.blobs import BlobStore
from control_plane.store.db import Database
from control_plane.store.seals import vault_of
from control_plane.store.tables import discards
from control_plane.store.vault import PERSON

_KEY = "keys/"
"""What stands before the owner of a key among the names of files."""

LEFT_AFTER = timedelta(seconds=5)
"""Whoever noted a file deletes it at once; one that is still there so much later was left by a crash."""


def note(connection: sa.Connection, names: Iterable[str | None], now: datetime) -> list[str]:
    """Have these blobs deleted once the transaction has committed; returns them for `carry_out`."""
    gone = sorted({name for name in names if name is not None})
    if gone:
        connection.execute(discards.delete().where(discards.c.blob.in_(gone)))
        connection.execute(discards.insert(), [{"blob": name, "discarded_at": now} for name in gone])
    return gone


def key_of(connection: sa.Connection, owner: str) -> list[str]:
    """The name under which an owner's key is noted; none where nothing is sealed."""
    return [] if vault_of(connection) is None else [f"{_KEY}{owner}"]


def carry_out(database: Database, blobs: BlobStore, names: Iterable[str]) -> None:
    """Delete files and keys that were noted, then the notes. May be repeated, and broken off anywhere.

    With the key of a person the vault notes that they were erased, and when.
    """
    gone = list(names)
    if not gone:
        return
    _destroy(database, [name for name in gone if name.startswith(_KEY)])
    blobs.delete(name for name in gone if not name.startswith(_KEY))
    with database.write() as connection:
        connection.execute(discards.delete().where(discards.c.blob.in_(gone)))


def _destroy(database: Database, names: list[str]) -> None:
    if not names or database.vault is None:
        return
    with database.read() as connection:
        query = sa.select(discards.c.blob, discards.c.discarded_at).where(discards.c.blob.in_(names))
        since: dict[str, datetime] = dict(connection.execute(query).all())
    owners = {name.removeprefix(_KEY): at for name, at in since.items()}
    people = {owner.removeprefix(PERSON): at for owner, at in owners.items() if owner.startswith(PERSON)}
    database.vault.erase(people)
    database.vault.destroy(owner for owner in owners if not owner.startswith(PERSON))


def until(connection: sa.Connection, before: datetime) -> list[str]:
    """All files that were noted until then and are still there."""
    return list(connection.execute(sa.select(discards.c.blob).where(discards.c.discarded_at <= before)).scalars())


def due(connection: sa.Connection, now: datetime, *, limit: int = 100) -> list[str]:
    """Files that were noted a while ago and are still there."""
    left = discards.c.discarded_at < now - LEFT_AFTER
    query = sa.select(discards.c.blob).where(left).order_by(discards.c.discarded_at).limit(limit)
    return list(connection.execute(query).scalars())
