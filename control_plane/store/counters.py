"""Numbers of which the whole database has one each, by name. A counter that is there may also be a mark."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from control_plane.store.db import Connection
from control_plane.store.tables import counters

LOG = "events"
"""The position of the newest event."""

ACCESS = "access"
"""Counted up whenever users or sign-ins change."""

VAULT = "vault"
"""The id of the vault that the database belongs to."""

ALL_SEALED = "sealed with webhooks"
"""There once nothing plain is left. It takes another name whenever more is sealed than before: then what was written
until then is looked for."""

BEING_SEALED = "being sealed"
"""There while what is plain is looked for, unless something plain is written meanwhile."""


def found(connection: Connection, name: str) -> int | None:
    """Its value; None: there is no such counter."""
    value: int | None = connection.execute(_value_of(name)).scalar()
    return value


def value(connection: Connection, name: str) -> int:
    """Of a counter that every database has."""
    return int(connection.execute(_value_of(name)).scalar_one())


def held(connection: Connection, name: str) -> int:
    """As `value`; nobody else changes it, or holds it, until the transaction ends."""
    return int(connection.execute(_value_of(name).with_for_update()).scalar_one())


def put(connection: Connection, name: str, value: int) -> None:
    connection.execute(counters.update().where(counters.c.name == name).values(value=value))


def count_up(connection: Connection, name: str) -> None:
    connection.execute(counters.update().where(counters.c.name == name).values(value=counters.c.value + 1))


def begin(connection: Connection, name: str, value: int) -> bool:
    """Have a counter; False where there is one. Of processes that start at once one makes it, and the others wait."""
    begun = sa.text("INSERT INTO counters (name, value) VALUES (:name, :value) ON CONFLICT DO NOTHING")
    return connection.execute(begun, {"name": name, "value": value}).rowcount == 1


def end(connection: Connection, *names: str) -> bool:
    """Have none of these; False where there was none."""
    return connection.execute(counters.delete().where(counters.c.name.in_(names))).rowcount > 0


def _value_of(name: str) -> sa.Select[Any]:
    return sa.select(counters.c.value).where(counters.c.name == name)
