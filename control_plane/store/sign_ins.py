"""Sign-ins: the browsers in which a user is signed in. Of a cookie itself only its SHA-256 is kept."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from hashlib import sha256

import msgspec
import sqlalchemy as sa

from control_plane.store import counters
from control_plane.store.db import UtcDateTime
from control_plane.store.tables import sign_ins
from faces.errors import NotFound

FORM = re.compile(r"(?P<id>[0-9a-f]{16})\.[0-9a-f]{64}")
"""A cookie: the sign-in's id, and 256 random bits."""

USED_EVERY = timedelta(minutes=5)
"""How exactly `used_at` is kept."""

MOST = 20
"""Sign-ins that a user has at most; with one more the one that was used longest ago ends."""

LONGEST_AGENT = 200


class SignIn(msgspec.Struct, frozen=True, kw_only=True):
    """A sign-in. It ends at `idle_at` unless it is used before, and at `expires_at` in any case. `address` and `agent`
    are where it was made from, as the client was seen and as its browser calls itself."""

    id: str
    user_id: str
    sha256: str
    address: str
    agent: str
    created_at: datetime
    used_at: datetime
    idle_at: datetime
    expires_at: datetime

    @property
    def ends_at(self) -> datetime:
        return min(self.idle_at, self.expires_at)


class Lasting(msgspec.Struct, frozen=True):
    """How long a sign-in lasts unused, and how long in any case."""

    idle: timedelta
    whole: timedelta


def create(
    connection: sa.Connection, user_id: str, now: datetime, lasting: Lasting, *, address: str = "", agent: str = ""
) -> str:
    """Sign a user in; returns the cookie's text. Those that have ended are cleared away."""
    literal = sa.literal(now, UtcDateTime)
    connection.execute(sign_ins.delete().where((sign_ins.c.expires_at <= literal) | (sign_ins.c.idle_at <= literal)))
    others = sa.select(sign_ins.c.id).where(sign_ins.c.user_id == user_id).order_by(sign_ins.c.used_at.desc())
    surplus = list(connection.execute(others.offset(MOST - 1)).scalars())
    connection.execute(sign_ins.delete().where(sign_ins.c.id.in_(surplus)))
    text = f"{secrets.token_hex(8)}.{secrets.token_hex(32)}"
    connection.execute(
        sign_ins.insert().values(
            id=text.partition(".")[0],
            user_id=user_id,
            sha256=digest(text),
            address=address,
            agent=agent[:LONGEST_AGENT],
            created_at=now,
            used_at=now,
            idle_at=now + lasting.idle,
            expires_at=now + lasting.whole,
        )
    )
    changed(connection)
    return text


def id_of(text: str) -> str | None:
    """The id that a cookie names; None if it is none of ours."""
    found = FORM.fullmatch(text)
    return found["id"] if found else None


def digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def listing(connection: sa.Connection, user_id: str | None = None) -> list[SignIn]:
    """A user's sign-ins, or everybody's; the newest first."""
    query = sa.select(sign_ins).order_by(sign_ins.c.created_at.desc(), sign_ins.c.id)
    if user_id is not None:
        query = query.where(sign_ins.c.user_id == user_id)
    return [SignIn(**row._mapping) for row in connection.execute(query)]


def by_id(connection: sa.Connection) -> Mapping[str, SignIn]:
    return {found.id: found for found in listing(connection)}


def exists(connection: sa.Connection, sign_in_id: str) -> bool:
    return connection.execute(sa.select(sign_ins.c.id).where(sign_ins.c.id == sign_in_id)).first() is not None


def used(connection: sa.Connection, sign_in_id: str, now: datetime, lasting: Lasting) -> None:
    """Note that a sign-in was used, so that it goes on."""
    mine = (sign_ins.c.id == sign_in_id) & (sign_ins.c.used_at <= sa.literal(now - USED_EVERY, UtcDateTime))
    if connection.execute(sign_ins.update().where(mine).values(used_at=now, idle_at=now + lasting.idle)).rowcount:
        changed(connection)


def end(connection: sa.Connection, user_id: str, sign_in_id: str) -> None:
    """End one of a user's sign-ins; raises NotFound."""
    mine = (sign_ins.c.id == sign_in_id) & (sign_ins.c.user_id == user_id)
    if not connection.execute(sign_ins.delete().where(mine)).rowcount:
        raise NotFound(f"there is no sign-in {sign_in_id!r}")
    changed(connection)


def end_all(connection: sa.Connection, user_id: str, *, keep: str | None = None) -> None:
    """End all of a user's sign-ins but `keep`."""
    connection.execute(sign_ins.delete().where((sign_ins.c.user_id == user_id) & (sign_ins.c.id != (keep or ""))))
    changed(connection)


def changed(connection: sa.Connection) -> None:
    """Have every control plane read users and sign-ins anew."""
    counters.count_up(connection, counters.ACCESS)


def version(connection: sa.Connection) -> int:
    """Another one whenever users or sign-ins have changed: cheaper to ask for than they are."""
    return counters.value(connection, counters.ACCESS)
