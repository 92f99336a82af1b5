"""Tickets: what opens one WebSocket for a page that cannot send a key. Good once, and for half a minute."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from hashlib import sha256

import sqlalchemy as sa

from control_plane.store.tables import tickets

GOOD_FOR = timedelta(seconds=30)


def issue(connection: sa.Connection, key_id: str | None, now: datetime) -> str:
    """A ticket of whoever bears this key (None: nobody is asked for one). Those that have expired are cleared away."""
    connection.execute(tickets.delete().where(tickets.c.expires_at <= now))
    text = secrets.token_hex(20)
    connection.execute(tickets.insert().values(id=_digest(text), key_id=key_id, expires_at=now + GOOD_FOR))
    return text


def redeem(connection: sa.Connection, text: str, now: datetime) -> tuple[bool, str | None]:
    """Whether the ticket is good, and whose key it stands for; from now on it is not."""
    mine = (tickets.c.id == _digest(text)) & (tickets.c.expires_at > now)
    key_id: str | None = connection.execute(sa.select(tickets.c.key_id).where(mine)).scalar()
    # Whoever removes the row has the ticket: of several who ask at once that is one.
    return bool(connection.execute(tickets.delete().where(mine)).rowcount), key_id


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()
