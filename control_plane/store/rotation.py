"""Exchanging the master key while everybody goes on: the keys in the vault are wrapped anew, what they seal is not
touched. May be broken off anywhere, and is finished the next time."""

from __future__ import annotations

import os
from collections.abc import Callable

import sqlalchemy as sa

from control_plane.store.db import Connection
from control_plane.store.vault import Vault, Wrapped, keys, lock_state, state
from faces.errors import SettingError
from faces.masterkey import Source
from faces.sealing import KEY_BYTES, NONCE_BYTES, Secret, named, unwrap, wrap

AT_ONCE = 200
"""Keys a transaction: others wait meanwhile."""


def rotate(vault: Vault, told: Callable[[int, int], None] = lambda done, total: None) -> int:
    """Have a new master key wrap all keys; returns how many. `told` hears how far it is.

    A file is given the new key before anything is wrapped by it, and loses the old one when nothing is any more. A key
    from elsewhere, or from a file that cannot be written from here, has to be given already, before the old one. Raises
    SettingError.
    """
    source = vault.masters.source
    masters = _with_a_new_one(vault, source)
    by_id = {secret.id: secret for secret in masters}
    with vault.database.write() as connection:
        lock_state(connection)
        connection.execute(state.update().values(master=masters[0].id))
        total = connection.execute(_count(masters[0])).scalar_one()
    done = 0
    while some := _wrap_some(vault, masters[0], by_id):
        done += some
        told(done, total)
    source.keep_only(masters[0])
    return done


def _with_a_new_one(vault: Vault, source: Source) -> tuple[Secret, ...]:
    """The master keys, the first of them the one that is to count."""
    masters = source.read()
    with vault.database.read() as connection:
        current = connection.execute(sa.select(state.c.master)).scalar()
    if current is None:
        raise SettingError("there is no master key to exchange: nothing was ever sealed", remedy="Set ENCRYPT=true.")
    if len(masters) > 1:
        return masters
    masters = (named(os.urandom(KEY_BYTES)), *masters)
    source.replace(masters)
    return masters


def _count(master: Secret) -> sa.Select[int]:
    return sa.select(sa.func.count()).select_from(keys).where(keys.c.master != master.id)


def _wrap_some(vault: Vault, master: Secret, by_id: dict[bytes, Secret]) -> int:
    with vault.database.write() as connection:
        query = sa.select(keys).where(keys.c.master != master.id).limit(AT_ONCE).with_for_update()
        rows = [Wrapped(bytes(r.id), r.owner, bytes(r.master), bytes(r.wrapped)) for r in connection.execute(query)]
        for row in rows:
            _wrap(connection, row, master, by_id)
    return len(rows)


def _wrap(connection: Connection, row: Wrapped, master: Secret, by_id: dict[bytes, Secret]) -> None:
    if row.master not in by_id:
        raise SettingError(
            f"the master key {row.master.hex()} is not there, by which some keys are wrapped",
            remedy="Give it too, behind the others.",
        )
    secret = unwrap(by_id[row.master], row.wrapped, row.id, row.owner)
    wrapped = wrap(master, secret, row.owner, os.urandom(NONCE_BYTES))
    connection.execute(keys.update().where(keys.c.id == row.id).values(master=master.id, wrapped=wrapped))
