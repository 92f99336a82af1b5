"""Sealing what rows hold, by the vault of the database they lie in. Without one, or without sealing, they stay plain.

What was written plain, before or without sealing, is read as it is.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from control_plane.store import counters
from control_plane.store import vault as vaults
from control_plane.store.db import Database
from control_plane.store.tables import (
    encodings,
    enrollments,
    identifications,
    imports,
    photos,
    thumbnails,
    webhooks,
)
from control_plane.store.vault import Vault
from faces.errors import SettingError
from faces.sealing import NONCE_BYTES, about, key_id, seal, unseal


class Plain(NamedTuple):
    """Bytes that are to be sealed: by whose key, and what they are about."""

    owner: str
    what: bytes
    data: bytes


class Sealed(NamedTuple):
    """Bytes as a row holds them, and what they are about."""

    what: bytes
    data: bytes


OFF = "ENCRYPT is off: photos and encodings lie on the disk for whoever can read it"


_HOLDING = (
    photos.c.id,
    encodings.c.id,
    thumbnails.c.position,
    enrollments.c.id,
    imports.c.id,
    identifications.c.id,
    webhooks.c.id,
)

TEXT = "sealed:"
"""What a sealed text begins with: no URL, and no secret that a release before this one would sign with."""


def bind(database: Database) -> None:
    """See that the database belongs to its vault, for good from the first time on; raises SettingError."""
    if database.vault is None:
        return
    with database.write() as connection:
        note_plain(connection)
        if counters.begin(connection, counters.VAULT, database.vault.id):
            if database.vault.sealing and not any(connection.execute(sa.select(t).limit(1)).first() for t in _HOLDING):
                counters.begin(connection, counters.ALL_SEALED, 1)
        elif counters.value(connection, counters.VAULT) != database.vault.id:
            raise SettingError(
                "VAULT_URL: this is not the vault of the keys that this database is sealed by",
                remedy="Put back the one that was there. Without it, nothing that is sealed can be read.",
            )


def begin_sealing(connection: sa.Connection) -> None:
    """Note that what is plain is looked for from now on."""
    counters.begin(connection, counters.BEING_SEALED, 1)


def end_sealing(connection: sa.Connection) -> None:
    """Note that nothing plain is left, unless something plain was written since `begin_sealing`."""
    if counters.end(connection, counters.BEING_SEALED):
        counters.begin(connection, counters.ALL_SEALED, 1)


def note_plain(connection: sa.Connection) -> None:
    """Where nothing is sealed: note that something plain may be there, whatever others, who seal, have noted before."""
    vault = vault_of(connection)
    if vault is not None and not vault.sealing:
        counters.end(connection, counters.ALL_SEALED, counters.BEING_SEALED)


def vault_of(connection: sa.Connection) -> Vault | None:
    """The vault of the database that this connection is to."""
    found: Vault | None = connection.get_execution_options().get("rollcall_vault")
    return found


def seal_all(connection: sa.Connection, plain: Sequence[Plain]) -> list[bytes]:
    """The bytes as rows are to hold them, in the same order. New keys are durable on return."""
    vault = vault_of(connection)
    if vault is None or not vault.sealing or not plain:
        if plain:
            note_plain(connection)
        return [item.data for item in plain]
    secrets = vault.of_owners(item.owner for item in plain)
    return [seal(secrets[item.owner], item.data, item.what, os.urandom(NONCE_BYTES)) for item in plain]


def unseal_all(connection: sa.Connection, stored: Iterable[Sealed]) -> list[bytes]:
    """The plain bytes, in the same order. Raises Unreadable where one was changed, or its key is gone."""
    rows = [(what, bytes(data), key_id(data)) for what, data in stored]
    ids = {found for _, _, found in rows if found is not None}
    if not ids:
        return [data for _, data, _ in rows]
    vault = vault_of(connection)
    if vault is None:
        raise SettingError("what is stored is sealed, and this process has no key", remedy="Set the same key for all.")
    secrets = vault.by_id(ids)
    return [data if found is None else unseal(secrets[found], data, what) for what, data, found in rows]


def seal_text(connection: sa.Connection, owner: str, what: bytes, text: str) -> str:
    """A text as a row is to hold it. New keys are durable on return."""
    plain = text.encode()
    (data,) = seal_all(connection, [Plain(owner, what, plain)])
    return text if data == plain else TEXT + base64.b64encode(data).decode()


def unseal_texts(connection: sa.Connection, stored: Iterable[tuple[bytes, str]]) -> list[str]:
    """The plain texts, in the same order; raises as `unseal_all`."""
    rows = [Sealed(what, _data(text)) for what, text in stored]
    return [data.decode() for data in unseal_all(connection, rows)]


def _data(text: str) -> bytes:
    return base64.b64decode(text.removeprefix(TEXT)) if text.startswith(TEXT) else text.encode()


def encoding_owner(row: sa.Row[Any]) -> str:
    """By whose key a row of `encodings` is sealed: that of the person it came from, whoever they are part of now."""
    return vaults.person(row.origin_id or row.identity_id)


def of_encoding(row_id: str, owner: str, model: str, against: bool) -> bytes:
    return about("encoding", row_id, owner, model, against)


def of_thumbnail(event_id: str) -> bytes:
    return about("thumbnail", event_id)


def of_item(import_id: str, seq: int) -> bytes:
    return about("import_item", import_id, seq)


def import_owner(import_id: str) -> str:
    return f"imports/{import_id}"


def strangers(site_id: str, day: datetime) -> str:
    """By whose key thumbnails of nobody who is known here are sealed: that of the site and day (UTC) of arrival."""
    return f"{strangers_of(site_id)}{day:%Y-%m-%d}"


def of_probe(event_id: str, model: str) -> bytes:
    return about("probe", event_id, model)


def probes_owner(site_id: str, day: datetime) -> str:
    """By whose key the encodings of strangers are sealed: that of the site and day (UTC) of arrival."""
    return f"{probes_of(site_id)}{day:%Y-%m-%d}"


def probes_of(site_id: str) -> str:
    return f"probes/{site_id}/"


def strangers_of(site_id: str) -> str:
    return f"thumbnails/{site_id}/"
