"""Signing in: a name and a password for a cookie, what it is good for, and its end."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Annotated

import msgspec
from starlette.responses import Response

from control_plane import cookies
from control_plane.api.route import Call, Route, answer
from control_plane.auth import SCOPES, SESSION, SIGN_IN, Caller, Need
from control_plane.limits import Cost, network
from control_plane.passwords import LONGEST, checked
from control_plane.problems import Unauthenticated
from control_plane.store import sign_ins, users
from control_plane.store.db import Connection
from control_plane.store.keys import Role
from control_plane.store.sign_ins import SignIn
from control_plane.store.users import Known, User
from faces.errors import Conflict, Invalid

Password = Annotated[str, msgspec.Meta(max_length=2 * LONGEST)]


class Credentials(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A user's name and password."""

    name: Annotated[str, msgspec.Meta(max_length=200)]
    password: Password


class NewPassword(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The password until now, and the one from now on."""

    old: Password
    new: Password


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """Who calls, and what they `may` (as the document's `x-rollcall-needs` names it). `sites` are ids; null: all of
    them. `user_id` is null for a key, and while everything is open. `csrf` goes with every request by the cookie that
    changes something, as X-CSRF-Token."""

    name: str
    role: Role
    sites: tuple[str, ...] | None
    user_id: str | None
    csrf: str
    may: list[Need]


class OwnSignIn(msgspec.Struct, frozen=True, kw_only=True):
    """A browser in which one is signed in. `agent` is what the browser calls itself; `current`: it is this one."""

    id: str
    address: str
    agent: str
    created_at: datetime
    used_at: datetime
    ends_at: datetime
    current: bool


class OwnSignIns(msgspec.Struct, frozen=True):
    """Where one is signed in, the newest first."""

    items: list[OwnSignIn]


async def sign_in(call: Call[Credentials, None]) -> Response:
    """Sign in. The answer sets the cookie that says from now on who calls."""
    plane, asked, now = call.plane, call.body, call.plane.clock()
    who, place = users.folded(asked.name), network(call.address)
    plane.tries.begin(who, place, time.monotonic())
    known = await plane.read(lambda c: users.named(c, asked.name))
    if known is not None and plane.audit_note is not None:
        plane.audit_note.resource_id = known.user.id
    if not await plane.passwords.run(lambda: plane.passwords.fits(asked.password, known and known.password)):
        raise Unauthenticated("the name or the password is wrong")
    assert known is not None
    plane.tries.succeed(who, place)
    if plane.audit_note is not None:
        plane.audit_note.actor = f"user:{known.user.id}"
    _check_enabled(known.user)
    fresh = await _rehashed(call, known)
    agent = "".join(c for c in call.request.headers.get("user-agent", "") if c.isprintable())

    def work(connection: Connection) -> str:
        # Both may have changed since the password was looked at.
        _check_enabled(users.hold(connection, known.user.id))
        if users.password_of(connection, known.user.id) != known.password:
            raise Unauthenticated("the password has just been changed", remedy="Sign in again.")
        if fresh is not None:
            users.rehash(connection, known.user.id, known.password, fresh)
        users.signed_in(connection, known.user.id, now)
        return sign_ins.create(connection, known.user.id, now, plane.lasting, address=call.address, agent=agent)

    cookie = await plane.write(work)
    response = answer(_session(Caller(user=known.user), cookie), 201)
    cookies.give(call.request, response, cookie, plane.lasting.whole)
    return response


def _check_enabled(user: User) -> None:
    if user.disabled_at is not None:
        raise Unauthenticated("this user is disabled", remedy="An administrator can enable it.")


async def _rehashed(call: Call[Credentials, None], known: Known) -> str | None:
    """The password's hash by today's parameters, if it has another."""
    passwords, password = call.plane.passwords, call.body.password
    return await passwords.run(lambda: passwords.hashed(password)) if passwords.outdated(known.password) else None


async def show(call: Call[None, None]) -> Response:
    """Who calls. While everything is open: an administrator without a name."""
    return answer(_session(call.caller, cookies.presented(call.request) or ""))


async def sign_out(call: Call[None, None]) -> Response:
    """Sign out: the cookie counts no more, and its WebSockets are closed."""
    user, current = _signed_in(call.caller)
    await call.plane.write(lambda c: sign_ins.end(c, user.id, current.id))
    response = Response(status_code=204)
    cookies.take(call.request, response)
    return response


async def change_password(call: Call[NewPassword, None]) -> Response:
    """Change one's own password. All one's other sign-ins end."""
    user, current = _signed_in(call.caller)
    passwords, asked = call.plane.passwords, call.body
    call.plane.tries.begin(users.folded(user.name), network(call.address), time.monotonic())
    before = await call.plane.read(lambda c: users.password_of(c, user.id))
    if not await passwords.run(lambda: passwords.fits(asked.old, before)):
        raise Invalid("the old password is wrong")
    call.plane.tries.succeed(users.folded(user.name), network(call.address))
    checked(asked.new, user.name)
    after = await passwords.run(lambda: passwords.hashed(asked.new))
    await call.plane.write(lambda c: users.set_password(c, user.id, after, keep=current.id))
    return Response(status_code=204)


async def browse(call: Call[None, None]) -> Response:
    """Where one is signed in."""
    user, current = _signed_in(call.caller)
    found = await call.plane.read(lambda c: sign_ins.listing(c, user.id))
    return answer(OwnSignIns([_shown(s, current.id) for s in found if s.ends_at > call.plane.clock()]))


async def end(call: Call[None, None]) -> Response:
    """End one of one's own sign-ins."""
    user, _ = _signed_in(call.caller)
    sign_in_id = call.path()
    await call.plane.write(lambda c: sign_ins.end(c, user.id, sign_in_id))
    return Response(status_code=204)


def _session(caller: Caller, cookie: str) -> Session:
    holder = caller.holder
    csrf = cookies.csrf_token(cookie) if caller.user and cookie else ""
    if holder is None:
        return _told("", Role.ADMIN, None, None, csrf)
    return _told(holder.name, holder.role, holder.sites, caller.user.id if caller.user else None, csrf)


def _told(name: str, role: Role, sites: tuple[str, ...] | None, user_id: str | None, csrf: str) -> Session:
    may = sorted(SCOPES[role])
    return Session(name=name, role=role, sites=sites, user_id=user_id, csrf=csrf, may=may)


def _signed_in(caller: Caller) -> tuple[User, SignIn]:
    if caller.user is None or caller.sign_in is None:
        raise Conflict("nobody is signed in here", remedy="Sign in with POST /v1/session.")
    return caller.user, caller.sign_in


def _shown(found: SignIn, current: str) -> OwnSignIn:
    fields = {name: getattr(found, name) for name in OwnSignIn.__struct_fields__ if name != "current"}
    return OwnSignIn(**fields, current=found.id == current)


ROUTES = (
    Route(
        "POST",
        "/v1/session",
        sign_in,
        SIGN_IN,
        {201: Session},
        body=Credentials,
        costs=Cost.SIGN_IN,
        audit="user.sign_in",
    ),
    Route("GET", "/v1/session", show, SESSION, {200: Session}, within={}),
    Route("DELETE", "/v1/session", sign_out, SESSION, {204: None}, within={}, audit="user.sign_out"),
    Route(
        "PUT",
        "/v1/session/password",
        change_password,
        SESSION,
        {204: None},
        body=NewPassword,
        within={},
        costs=Cost.SIGN_IN,
        audit="user.change_password",
    ),
    Route("GET", "/v1/sign-ins", browse, SESSION, {200: OwnSignIns}, within={}),
    Route("DELETE", "/v1/sign-ins/{id}", end, SESSION, {204: None}, within={}, audit="sign_in.end"),
)
