"""Whose time is over: people whose consent has ended, or who have not been valid for as long as they are kept."""

from __future__ import annotations

from datetime import datetime, timedelta

import sqlalchemy as sa

from control_plane.store.tables import identities

FOR_EVER = 0


def due(connection: sa.Connection, now: datetime, *, identity_days: int, limit: int) -> list[str]:
    """People who are to be erased: their consent has ended, or they have not been valid for `identity_days` (0: that
    alone erases nobody)."""
    query = sa.select(identities.c.id).where(_expired(now, identity_days)).order_by(identities.c.id).limit(limit)
    return list(connection.execute(query).scalars())


def is_due(connection: sa.Connection, identity_id: str, now: datetime, *, identity_days: int) -> bool:
    """Whether somebody is still to be erased; holds their row until the transaction ends."""
    this = (identities.c.id == identity_id) & _expired(now, identity_days)
    return connection.execute(sa.select(identities.c.id).where(this).with_for_update()).first() is not None


def ending(connection: sa.Connection, now: datetime, *, days: int, limit: int) -> list[str]:
    """People whose consent ends within so many days, of whom nobody was told yet."""
    query = sa.select(identities.c.id).where(_ending(now, days)).order_by(identities.c.id).limit(limit)
    return list(connection.execute(query).scalars())


def notice(connection: sa.Connection, identity_id: str, now: datetime, *, days: int) -> datetime | None:
    """When somebody's consent ends, if it is told for the first time; None: it is not to be told."""
    this = (identities.c.id == identity_id) & _ending(now, days)
    told = identities.update().where(this).values(consent_noticed=identities.c.consent_until)
    ends: datetime | None = connection.execute(told.returning(identities.c.consent_until)).scalar()
    return ends


def _expired(now: datetime, identity_days: int) -> sa.ColumnElement[bool]:
    expired = identities.c.consent_until <= now
    if identity_days != FOR_EVER:
        expired |= identities.c.valid_until <= now - timedelta(days=identity_days)
    return identities.c.merged_into.is_(None) & expired


def _ending(now: datetime, days: int) -> sa.ColumnElement[bool]:
    soon = (identities.c.consent_until > now) & (identities.c.consent_until <= now + timedelta(days=days))
    told = identities.c.consent_noticed.is_not(None) & (identities.c.consent_noticed == identities.c.consent_until)
    return identities.c.merged_into.is_(None) & soon & ~told
