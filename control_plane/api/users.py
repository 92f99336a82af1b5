"""Users, for administrators of all sites."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from starlette.responses import Response

from control_plane.api import texts
from control_plane.api.route import Call, Listing, Paging, Route, answer, listing
from control_plane.api.session import Password
from control_plane.auth import USERS_READ, USERS_WRITE
from control_plane.passwords import checked
from control_plane.store import sites as places
from control_plane.store import users
from control_plane.store.db import Connection
from control_plane.store.keys import Role
from control_plane.store.users import User
from faces.errors import Invalid

UserRole = Literal["viewer", "operator", "admin"]
Sites = Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=1000)]


class NewUser(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Somebody who may sign in. `sites` are ids of those that they are for; null: all."""

    name: texts.Name
    password: Password
    role: UserRole
    sites: Sites | None = None


class ChangedUser(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be changed; fields that are absent stay as they are. Any of these ends the user's sign-ins, but for
    `disabled: false`."""

    password: Password | msgspec.UnsetType = msgspec.UNSET
    role: UserRole | msgspec.UnsetType = msgspec.UNSET
    sites: Sites | msgspec.UnsetType | None = msgspec.UNSET
    disabled: bool | msgspec.UnsetType = msgspec.UNSET


async def browse(call: Call[None, Paging]) -> Response:
    """Users, those that are disabled too."""
    asked = call.query
    found = await call.plane.read(lambda c: users.listing(c, after=asked.after, limit=asked.limit + 1))
    return listing(found, asked.limit, lambda u: u.id)


async def create(call: Call[NewUser, None]) -> Response:
    """Add a user."""
    asked, passwords, name = call.body, call.plane.passwords, texts.name(call.body.name)
    checked(asked.password, name)
    hashed = await passwords.run(lambda: passwords.hashed(asked.password))

    def work(connection: Connection) -> User:
        _check_sites(connection, asked.sites)
        return users.create(connection, name, Role(asked.role), hashed, call.plane.clock(), sites=asked.sites)

    made = await call.plane.write(work)
    return answer(made, 201, {"Location": f"/v1/users/{made.id}"})


async def show(call: Call[None, None]) -> Response:
    """One user."""
    user_id = call.path()
    return answer(await call.plane.read(lambda c: users.get(c, user_id)))


async def change(call: Call[ChangedUser, None]) -> Response:
    """Give a user another role, other sites or another password, or shut them out."""
    user_id, asked, passwords = call.path(), call.body, call.plane.passwords
    password, hashed = asked.password, ""
    if password is not msgspec.UNSET:
        checked(password, (await call.plane.read(lambda c: users.get(c, user_id))).name)
        hashed = await passwords.run(lambda: passwords.hashed(password))

    def work(connection: Connection) -> User:
        user = users.hold(connection, user_id)
        role = user.role if asked.role is msgspec.UNSET else Role(asked.role)
        sites = user.sites if asked.sites is msgspec.UNSET else asked.sites
        if asked.role is not msgspec.UNSET or asked.sites is not msgspec.UNSET:
            _check_sites(connection, sites)
            users.change(connection, user_id, role=role, sites=sites)
        if hashed:
            users.set_password(connection, user_id, hashed)
        if asked.disabled is not msgspec.UNSET:
            _disable(connection, user_id, asked.disabled, call.plane.clock())
        return users.get(connection, user_id)

    return answer(await call.plane.write(work))


def _disable(connection: Connection, user_id: str, disabled: bool, now: datetime) -> None:
    if disabled:
        users.disable(connection, user_id, now)
    else:
        users.enable(connection, user_id)


def _check_sites(connection: Connection, sites: tuple[str, ...] | None) -> None:
    """Raises Invalid for a site that does not exist."""
    known = {site.id for site in places.listing(connection, limit=1_000_000)} if sites else set()
    for site in sites or ():
        if site not in known:
            raise Invalid(f"there is no site {site[:64]!r}", remedy="GET /v1/sites shows their ids.")


ROUTES = (
    Route("GET", "/v1/users", browse, USERS_READ, {200: Listing[User]}, query=Paging),
    Route("POST", "/v1/users", create, USERS_WRITE, {201: User}, body=NewUser, audit="user.create"),
    Route("GET", "/v1/users/{id}", show, USERS_READ, {200: User}),
    Route("PATCH", "/v1/users/{id}", change, USERS_WRITE, {200: User}, body=ChangedUser, audit="user.change"),
)
