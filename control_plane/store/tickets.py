"""Tickets: what opens one WebSocket for a page that cannot send a key. Good once, and for half a minute."""

from __future__ import annotations

import re
import secrets
from datetime import datetime, timedelta
from hashlib import sha256
from typing import NamedTuple

import sqlalchemy as sa

from control_plane.store.tables import tickets

GOOD_FOR = timedelta(seconds=30)
FORM = re.compile(r"[0-9a-f]{40}")


class Bearer(NamedTuple):
    """Whom a ticket stands for: the bearer of a key, or of a sign-in; neither: nobody was asked for one."""

    key_id: str | None = None
    sign_in_id: str | None = None


def issue(connection: sa.Connection, bearer: Bearer, now: datetime) -> str:
    """A ticket of whoever asks. Those that have expired are cleared away."""
    connection.execute(tickets.delete().where(tickets.c.expires_at <= now))
    text = secrets.token_hex(20)
    connection.execute(tickets.insert().values(id=_digest(text), expires_at=now + GOOD_FOR, **bearer._asdict()))
    return text


def good(connection: sa.Connection, text: str, now: datetime) -> bool:
    """Whether there is such a ticket, which somebody else may redeem meanwhile."""
    return connection.execute(sa.select(tickets.c.id).where(_good(text, now))).first() is not None


def redeem(connection: sa.Connection, text: str, now: datetime) -> Bearer | None:
    """Whom the ticket stands for, from now on nobody; None if it is not good."""
    mine = _good(text, now)
    row = connection.execute(sa.select(tickets.c.key_id, tickets.c.sign_in_id).where(mine)).first()
    # Whoever removes the row has the ticket: of several who ask at once that is one.
    if row is None or not connection.execute(tickets.delete().where(mine)).rowcount:
        return None
    return Bearer(*row)


def _good(text: str, now: datetime) -> sa.ColumnElement[bool]:
    return (tickets.c.id == _digest(text)) & (tickets.c.expires_at > now)


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()
