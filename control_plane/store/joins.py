"""How an edge joins a site, for a token that is good once it is given a credential, a key of its own; and leaves."""

from __future__ import annotations

import re
import secrets
from datetime import datetime, timedelta

import sqlalchemy as sa

from control_plane.store import keys, sites
from control_plane.store.keys import Key, Role, check_sum, digest
from control_plane.store.tables import edges, join_tokens
from control_plane.store.tables import keys as rows
from faces.errors import Conflict, NotFound

GOOD_FOR = timedelta(minutes=15)

FORM = re.compile(r"rcj_[0-9a-f]{40}(?P<sum>[0-9a-f]{8})")
"""A token: what it is, 160 random bits, and the CRC-32 of all that in hexadecimal."""

JOINED = "joined"
"""The name of a key that an edge was given when it joined."""


def issue(connection: sa.Connection, site_id: str, now: datetime) -> str:
    """A token for a site, which is nowhere to be had again. Those that have expired are cleared away."""
    connection.execute(join_tokens.delete().where(join_tokens.c.expires_at <= now))
    text = f"rcj_{secrets.token_hex(20)}"
    text += check_sum(text)
    connection.execute(join_tokens.insert().values(id=digest(text), site_id=site_id, expires_at=now + GOOD_FOR))
    return text


def whole(text: str) -> bool:
    """Whether this is a token, and was copied whole."""
    found = FORM.fullmatch(text)
    return found is not None and check_sum(text[: -len(found["sum"])]) == found["sum"]


def redeem(connection: sa.Connection, text: str, now: datetime) -> str | None:
    """The site that the token is for, which from now on is not good any more; None if it was not."""
    mine = (join_tokens.c.id == digest(text)) & (join_tokens.c.expires_at > now)
    site_id: str | None = connection.execute(sa.select(join_tokens.c.site_id).where(mine)).scalar()
    # Whoever removes the row has the token: of several who ask at once that is one.
    return site_id if connection.execute(join_tokens.delete().where(mine)).rowcount else None


def grant(connection: sa.Connection, edge_id: str, site_id: str, now: datetime, *, days: int) -> str:
    """A credential for an edge that joins, which is to take another after so many days (0: never). Those it had end."""
    _end_all(connection, edge_id, now)
    return _credential(connection, edge_id, site_id, now, days=days)


def renew(connection: sa.Connection, held: Key, edge_id: str, now: datetime, *, days: int) -> str:
    """Another credential for an edge. The one it holds counts until the new one is used; one that was given before and
    never used does not any more: its answer was lost. Raises Conflict if the one it holds has ended just now."""
    mine = sa.select(rows.c.revoked_at).where(rows.c.id == held.id).with_for_update()
    if connection.execute(mine).scalar_one() is not None:
        raise Conflict("this credential has ended", remedy="Have the edge join again.")
    keys.end(connection, (rows.c.replaces == held.id) & rows.c.last_used_at.is_(None), now)
    (site_id,) = held.sites or ("",)
    return _credential(connection, edge_id, site_id, now, days=days, replaces=held.id)


def hasten(connection: sa.Connection, edge_id: str, now: datetime) -> None:
    """Have an edge told to take another credential; raises NotFound if it has none."""
    _check_held(connection, edge_id)
    in_force = (rows.c.edge_id == edge_id) & rows.c.revoked_at.is_(None)
    connection.execute(rows.update().where(in_force).values(renew_at=now))


def end(connection: sa.Connection, edge_id: str, now: datetime) -> None:
    """End an edge's credentials for good; raises NotFound if it has none."""
    _check_held(connection, edge_id)
    _end_all(connection, edge_id, now)


def remove(connection: sa.Connection, edge_id: str, now: datetime) -> None:
    """End an edge's credentials, and forget it with its cameras, orders and positions; raises NotFound. Events, alarms
    and the audit log keep its id."""
    # The credentials first: an edge that introduces itself meanwhile takes its key and its row in that order, too.
    _end_all(connection, edge_id, now)
    mine = edges.c.id == edge_id
    if connection.execute(sa.select(edges.c.id).where(mine).with_for_update()).first() is None:
        raise NotFound(f"there is no edge {edge_id!r}", remedy="GET /v1/edges shows the edges.")
    sites.drop_cameras(connection, edge_id)
    connection.execute(edges.delete().where(mine))


def due(connection: sa.Connection, key_id: str, now: datetime) -> bool:
    """Whether the edge that bears this key is to take another."""
    mine = (rows.c.id == key_id) & (rows.c.renew_at <= now)
    return connection.execute(sa.select(rows.c.id).where(mine)).first() is not None


def _credential(
    connection: sa.Connection, edge_id: str, site_id: str, now: datetime, *, days: int, replaces: str | None = None
) -> str:
    renew_at = now + timedelta(days=days) if days else None
    return keys.create(
        connection,
        Role.EDGE,
        now,
        name=JOINED,
        sites=[site_id],
        edge_id=edge_id,
        replaces=replaces,
        renew_at=renew_at,
    )


def _end_all(connection: sa.Connection, edge_id: str, now: datetime) -> None:
    mine = rows.c.edge_id == edge_id
    # An edge that takes another credential holds the row of the old one: once that is free, the new one can be seen.
    connection.execute(sa.select(rows.c.id).where(mine).with_for_update())
    keys.end(connection, mine, now)


def _check_held(connection: sa.Connection, edge_id: str) -> None:
    if connection.execute(sa.select(rows.c.id).where(rows.c.edge_id == edge_id)).first() is None:
        raise NotFound(f"there is no credential of an edge {edge_id!r}", remedy="GET /v1/edges shows the edges.")
