"""Access keys: who may do what, at which sites, until when. Of a key itself only its SHA-256 is kept."""

from __future__ import annotations

import re
import secrets
import zlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256

import msgspec
import sqlalchemy as sa

from control_plane.store.db import UtcDateTime
from control_plane.store.tables import keys
from faces.errors import Conflict, NotFound

FORM = re.compile(r"rc_(?P<id>[0-9a-f]{12})_[0-9a-f]{40}(?P<sum>[0-9a-f]{8})")
"""A key: what it is, its id, 160 random bits, and the CRC-32 of all that in hexadecimal."""

USED_EVERY = timedelta(minutes=1)
"""How exactly `last_used_at` is kept."""


class Role(StrEnum):
    """What a key is for."""

    ADMIN = "admin"
    OPERATOR = "operator"
    VIEWER = "viewer"
    INTEGRATOR = "integrator"
    EDGE = "edge"


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """A key as it is stored. `sites` are ids; null: it is good for all. `edge_id` is the edge that an edge's key has
    become: the first that introduced itself with it, or the one that joined for it. `replaces` is the key that ends as
    soon as this one is used; from `renew_at` on its edge is told to take another (null: it never is)."""

    id: str
    role: Role
    name: str
    sites: tuple[str, ...] | None
    edge_id: str | None
    sha256: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    replaces: str | None = None
    renew_at: datetime | None = None


def create(
    connection: sa.Connection,
    role: Role,
    now: datetime,
    *,
    name: str = "",
    sites: Sequence[str] | None = None,
    expires_at: datetime | None = None,
    edge_id: str | None = None,
    replaces: str | None = None,
    renew_at: datetime | None = None,
) -> str:
    """Make a key; returns its text, which is nowhere to be had again."""
    key_id = secrets.token_hex(6)
    text = f"rc_{key_id}_{secrets.token_hex(20)}"
    text += check_sum(text)
    connection.execute(
        keys.insert().values(
            id=key_id,
            role=role,
            name=name,
            sites=None if sites is None else sorted(sites),
            sha256=digest(text),
            created_at=now,
            expires_at=expires_at,
            edge_id=edge_id,
            replaces=replaces,
            renew_at=renew_at,
        )
    )
    return text


def id_of(text: str) -> str | None:
    """The id that a key names; None if it is no key, or was not copied whole."""
    found = FORM.fullmatch(text)
    return found["id"] if found and check_sum(text[: -len(found["sum"])]) == found["sum"] else None


def check_sum(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"


def digest(text: str) -> str:
    """What is kept of a key. Its bits are random: nothing slower than one SHA-256 is needed."""
    return sha256(text.encode()).hexdigest()


def listing(connection: sa.Connection) -> list[Key]:
    """All keys, also those that are revoked, oldest first."""
    rows = connection.execute(sa.select(keys).order_by(keys.c.created_at, keys.c.id))
    return [
        Key(**{**r._mapping, "role": Role(r.role), "sites": None if r.sites is None else tuple(r.sites)}) for r in rows
    ]


def version(connection: sa.Connection) -> tuple[int, int, int]:
    """Another one whenever a key was made, revoked, or has become an edge's: cheaper to ask for than the keys."""
    count = sa.func.count
    row = connection.execute(sa.select(count(keys.c.id), count(keys.c.revoked_at), count(keys.c.edge_id))).one()
    return row[0], row[1], row[2]


def revoke(connection: sa.Connection, key_id: str, now: datetime) -> None:
    """End a key for good; one that is revoked already stays as it is. Raises NotFound."""
    mine = keys.c.id == key_id
    if connection.execute(sa.select(keys.c.id).where(mine)).first() is None:
        raise NotFound(f"there is no key {key_id!r}", remedy="rollcall keys list shows all of them.")
    end(connection, mine, now)


def used(connection: sa.Connection, key_id: str, now: datetime) -> None:
    """Note that a key was used; the one that it replaces ends with that."""
    before = sa.literal(now - USED_EVERY, UtcDateTime)
    stale = keys.c.last_used_at.is_(None) | (keys.c.last_used_at <= before)
    if connection.execute(keys.update().where((keys.c.id == key_id) & stale).values(last_used_at=now)).rowcount:
        replaced = sa.select(keys.c.replaces).where(keys.c.id == key_id)
        end(connection, keys.c.id.in_(replaced), now)


def end(connection: sa.Connection, which: sa.ColumnElement[bool], now: datetime) -> None:
    """End all keys of which this is true, for good."""
    connection.execute(keys.update().where(which & keys.c.revoked_at.is_(None)).values(revoked_at=now))


def belong(connection: sa.Connection, key_id: str, edge_id: str) -> None:
    """Have an edge's key be this edge's from now on; raises Conflict if it is another's, or has ended just now."""
    free = keys.c.revoked_at.is_(None) & (keys.c.edge_id.is_(None) | (keys.c.edge_id == edge_id))
    if not connection.execute(keys.update().where((keys.c.id == key_id) & free).values(edge_id=edge_id)).rowcount:
        raise Conflict("this key has ended, or is another edge's", remedy="Make a key for each edge.")
