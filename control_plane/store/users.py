"""Users: people who sign in with a name and a password, and what they may do at which sites."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from control_plane.store import sign_ins
from control_plane.store.db import new_id
from control_plane.store.keys import Role
from control_plane.store.tables import users
from faces.errors import Conflict, Invalid, NotFound

ROLES = (Role.VIEWER, Role.OPERATOR, Role.ADMIN)


class User(msgspec.Struct, frozen=True, kw_only=True):
    """A user as it is told. `sites` are ids; null: all of them. Who is disabled does not sign in."""

    id: str
    name: str
    role: Role
    sites: tuple[str, ...] | None
    created_at: datetime
    disabled_at: datetime | None
    signed_in_at: datetime | None


_COLUMNS = [users.c[name] for name in User.__struct_fields__]


class Known(NamedTuple):
    """A user, and the hash that their password is checked against."""

    user: User
    password: str


def create(
    connection: sa.Connection,
    name: str,
    role: Role,
    password: str,
    now: datetime,
    *,
    sites: Sequence[str] | None = None,
) -> User:
    """Add a user; `password` is its hash. Raises Conflict if the name is taken, and Invalid for a role of keys."""
    if role not in ROLES:
        raise Invalid(f"a user is no {role}", remedy=f"Roles of users: {', '.join(ROLES)}.")
    if named(connection, name) is not None:
        raise Conflict(f"there is a user {name!r} already", remedy="Choose another name.")
    user_id = new_id(now)
    row = {"id": user_id, "name": name, "folded": folded(name), "password": password, "role": role, "created_at": now}
    connection.execute(users.insert().values(**row, sites=_stored(sites)))
    sign_ins.changed(connection)
    return get(connection, user_id)


def folded(name: str) -> str:
    """A name as it is compared: however it is typed, and in small and capital letters alike."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name.strip()).casefold())


def get(connection: sa.Connection, user_id: str) -> User:
    """Raises NotFound."""
    row = connection.execute(sa.select(*_COLUMNS).where(users.c.id == user_id)).first()
    if row is None:
        raise NotFound(f"there is no user {user_id!r}", remedy="rollcall users list shows all of them.")
    return _user(row)


def hold(connection: sa.Connection, user_id: str) -> User:
    """As `get`; nobody else changes the user until the transaction ends."""
    connection.execute(sa.select(users.c.id).where(users.c.id == user_id).with_for_update()).all()
    return get(connection, user_id)


def named(connection: sa.Connection, name: str) -> Known | None:
    row = connection.execute(sa.select(*_COLUMNS, users.c.password).where(users.c.folded == folded(name))).first()
    return None if row is None else Known(_user(row), row.password)


def password_of(connection: sa.Connection, user_id: str) -> str:
    return str(connection.execute(sa.select(users.c.password).where(users.c.id == user_id)).scalar_one())


def listing(connection: sa.Connection, *, after: str = "", limit: int | None = None) -> list[User]:
    """Users by id, that is by age, those that are disabled too."""
    query = sa.select(*_COLUMNS).where(users.c.id > after).order_by(users.c.id).limit(limit)
    return [_user(row) for row in connection.execute(query)]


def change(connection: sa.Connection, user_id: str, *, role: Role, sites: Sequence[str] | None) -> None:
    """Let a user do other things, or at other sites: from the next sign-in on, and until then nothing."""
    _update(connection, user_id, role=role, sites=_stored(sites))
    sign_ins.end_all(connection, user_id)


def disable(connection: sa.Connection, user_id: str, now: datetime) -> None:
    """Shut a user out, and end what they have open."""
    _update(connection, user_id, disabled_at=now)
    sign_ins.end_all(connection, user_id)


def enable(connection: sa.Connection, user_id: str) -> None:
    """Let a user sign in again."""
    _update(connection, user_id, disabled_at=None)
    sign_ins.changed(connection)


def set_password(connection: sa.Connection, user_id: str, password: str, *, keep: str | None = None) -> None:
    """Give a user another password, by its hash, and end all their sign-ins but `keep`."""
    _update(connection, user_id, password=password)
    sign_ins.end_all(connection, user_id, keep=keep)


def rehash(connection: sa.Connection, user_id: str, before: str, password: str) -> None:
    """Keep the same password by another hash, unless it was changed since `before` was read."""
    mine = (users.c.id == user_id) & (users.c.password == before)
    connection.execute(users.update().where(mine).values(password=password))


def signed_in(connection: sa.Connection, user_id: str, now: datetime) -> None:
    _update(connection, user_id, signed_in_at=now)


def _update(connection: sa.Connection, user_id: str, **values: object) -> None:
    if not connection.execute(users.update().where(users.c.id == user_id).values(**values)).rowcount:
        raise NotFound(f"there is no user {user_id!r}", remedy="rollcall users list shows all of them.")


def _user(row: Any) -> User:
    values = {name: getattr(row, name) for name in User.__struct_fields__}
    values |= {"role": Role(values["role"]), "sites": None if values["sites"] is None else tuple(values["sites"])}
    return User(**values)


def _stored(sites: Sequence[str] | None) -> list[str] | None:
    return None if sites is None else sorted(set(sites))
