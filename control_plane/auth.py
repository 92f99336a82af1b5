"""Who may call: whose key allows it, or who is signed in as a user that may. While there is neither: whoever is on this
machine."""

from __future__ import annotations

import base64
import contextlib
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection

from control_plane import cookies
from control_plane.problems import Forbidden, Unauthenticated
from control_plane.store import sign_ins
from control_plane.store.access import Access
from control_plane.store.keys import Key, Role, digest, id_of
from control_plane.store.sign_ins import SignIn
from control_plane.store.tickets import Bearer
from control_plane.store.users import User
from faces.errors import Invalid, WireMismatch
from faces.wire import EDGE_HEADER, WIRE, WIRE_HEADER

EDGE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
OLDEST_WIRE = max(1, WIRE - 1)


class Need(StrEnum):
    """What a caller must be allowed to. Every route says so; the application does not start with one that does not."""

    ANYBODY = "anybody"
    EDGE = "edge"
    JOIN = "join-token"
    SIGN_IN = "password"
    PEOPLE_READ = "people:read"
    PEOPLE_WRITE = "people:write"
    IMPORTS_READ = "imports:read"
    IMPORTS_WRITE = "imports:write"
    EVENTS_READ = "events:read"
    EVENTS_WRITE = "events:write"
    GALLERIES_READ = "galleries:read"
    GALLERIES_WRITE = "galleries:write"
    WEBHOOKS_READ = "webhooks:read"
    WEBHOOKS_WRITE = "webhooks:write"
    KEYS_READ = "keys:read"
    KEYS_WRITE = "keys:write"
    SITES_READ = "sites:read"
    SITES_WRITE = "sites:write"
    AUDIT_READ = "audit:read"
    USERS_READ = "users:read"
    USERS_WRITE = "users:write"
    SESSION = "session"


ANYBODY, EDGE, JOIN, SIGN_IN = Need.ANYBODY, Need.EDGE, Need.JOIN, Need.SIGN_IN
PEOPLE_READ, PEOPLE_WRITE = Need.PEOPLE_READ, Need.PEOPLE_WRITE
IMPORTS_READ, IMPORTS_WRITE = Need.IMPORTS_READ, Need.IMPORTS_WRITE
EVENTS_READ, EVENTS_WRITE = Need.EVENTS_READ, Need.EVENTS_WRITE
GALLERIES_READ, GALLERIES_WRITE = Need.GALLERIES_READ, Need.GALLERIES_WRITE
WEBHOOKS_READ, WEBHOOKS_WRITE = Need.WEBHOOKS_READ, Need.WEBHOOKS_WRITE
SITES_READ, SITES_WRITE = Need.SITES_READ, Need.SITES_WRITE
KEYS_READ, KEYS_WRITE = Need.KEYS_READ, Need.KEYS_WRITE
AUDIT_READ = Need.AUDIT_READ
USERS_READ, USERS_WRITE = Need.USERS_READ, Need.USERS_WRITE
SESSION = Need.SESSION

BY_NO_KEY = frozenset({ANYBODY, JOIN, SIGN_IN})
"""What no key is asked for: there is nothing to guard, or the endpoint asks for something else."""

_VIEWER = frozenset({PEOPLE_READ, IMPORTS_READ, EVENTS_READ, GALLERIES_READ, SITES_READ, SESSION})
SCOPES: Mapping[Role, frozenset[Need]] = MappingProxyType(
    {
        Role.ADMIN: frozenset(Need) - {EDGE, JOIN, SIGN_IN},
        Role.OPERATOR: _VIEWER | {PEOPLE_WRITE, IMPORTS_WRITE, EVENTS_WRITE},
        Role.VIEWER: _VIEWER,
        Role.INTEGRATOR: _VIEWER | {PEOPLE_WRITE, IMPORTS_WRITE, WEBHOOKS_READ, WEBHOOKS_WRITE},
        Role.EDGE: frozenset({EDGE}),
    }
)
"""What each role may do."""

TICKET_PROTOCOL = "rollcall.ticket."
"""What a page offers as a WebSocket's subprotocol, with a ticket behind it: a URL would stand in logs."""

LONGEST_CREDENTIAL = 400


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: by which key, or signed in as which user. Neither: nobody is asked."""

    key: Key | None = None
    user: User | None = None
    sign_in: SignIn | None = None

    @property
    def holder(self) -> Key | User | None:
        """What says who it is and what they may."""
        return self.key or self.user

    @property
    def sites(self) -> frozenset[str] | None:
        """The ids of the sites that they are bound to; None: all are theirs."""
        return None if self.holder is None or self.holder.sites is None else frozenset(self.holder.sites)

    @property
    def actor(self) -> str:
        """Who it is, in a word that stays the same: `user:ID`, `key:ID`, or `edge:ID` for an edge's own key; `nobody`
        where nobody is asked."""
        if self.user is not None:
            return f"user:{self.user.id}"
        if self.key is None:
            return "nobody"
        return f"key:{self.key.id}" if self.key.edge_id is None else f"edge:{self.key.edge_id}"

    @property
    def bearer(self) -> Bearer:
        """What a ticket of theirs stands for."""
        return Bearer(self.key.id if self.key else None, self.sign_in.id if self.sign_in else None)

    def may(self, need: Need) -> bool:
        return self.holder is None or need in SCOPES[self.holder.role]


class Gate:
    """Who may come in. `access` gives who may now; `open_without` says that nobody else than this machine can reach us:
    then everything is open until the first key or user is made. An edge's key alone closes nothing."""

    def __init__(self, access: Callable[[], Access], clock: Callable[[], datetime], *, open_without: bool) -> None:
        self._access = access
        self._clock = clock
        self._open_without = open_without

    @property
    def open(self) -> bool:
        return self._open_without and not self._access().asked_for

    def admit(self, connection: HTTPConnection, need: Need) -> Caller:
        """Who calls; raises Unauthenticated, Forbidden if they may not do this, and what a cookie that comes along
        without its page's doing is refused with."""
        if need in BY_NO_KEY or self.open:
            return Caller()
        caller = self.known(connection)
        if caller.sign_in is not None:
            cookies.check_meant(connection, cookies.presented(connection) or "")
        self.check(caller, need)
        return caller

    def known(self, connection: HTTPConnection) -> Caller:
        """Whose key or cookie a request brings, whether or not it still counts; raises Unauthenticated for one that is
        not known here."""
        cookie = cookies.presented(connection)
        return Caller(self.key(presented(connection.headers))) if cookie is None else self.signed_in(cookie)

    def bearer(self, bearer: Bearer, need: Need) -> Caller:
        """Whoever a ticket stands for; raises as `admit`."""
        access = self._access()
        sign_in = access.sign_ins.get(bearer.sign_in_id or "")
        user = None if sign_in is None else access.users.get(sign_in.user_id)
        caller = Caller(access.keys.get(bearer.key_id or ""), user, sign_in)
        self.check(caller, need)
        return caller

    def key(self, text: str) -> Key:
        """The key of this text; raises Unauthenticated."""
        key_id = id_of(text)
        if key_id is None:
            raise Unauthenticated("this is no key: a part is missing or mistyped", remedy="Copy the key whole.")
        key = self._access().keys.get(key_id)
        if key is None or not secrets.compare_digest(key.sha256, digest(text)):
            raise Unauthenticated("this key is not known here")
        return key

    def signed_in(self, cookie: str) -> Caller:
        """Who is signed in by this cookie; raises Unauthenticated."""
        access = self._access()
        sign_in = access.sign_ins.get(sign_ins.id_of(cookie) or "")
        if sign_in is None or not secrets.compare_digest(sign_in.sha256, sign_ins.digest(cookie)):
            raise _ended()
        return Caller(user=access.users.get(sign_in.user_id), sign_in=sign_in)

    def check(self, caller: Caller, need: Need) -> None:
        """Raises Unauthenticated if what the caller came in by does not count any more, and Forbidden if it is not for
        this."""
        if need in BY_NO_KEY or (caller.holder is None and self.open):
            return
        role = self._key_role(caller.key) if caller.sign_in is None else self._user_role(caller.sign_in)
        if need not in SCOPES[role]:
            raise Forbidden(f"the role {role} may not do this", remedy=f"It needs {need}.")

    def ends_at(self, caller: Caller) -> datetime | None:
        """When the caller has to be checked again; None: not before keys and users change."""
        sign_in = None if caller.sign_in is None else self._access().sign_ins.get(caller.sign_in.id)
        return sign_in.ends_at if sign_in is not None else caller.key.expires_at if caller.key else None

    def _key_role(self, held: Key | None) -> Role:
        key = None if held is None else self._access().keys.get(held.id)
        if key is None:
            raise Unauthenticated("a key is needed", remedy="Make one with rollcall keys create, or sign in.")
        if key.revoked_at is not None:
            raise Unauthenticated("this key was revoked")
        if key.expires_at is not None and key.expires_at <= self._clock():
            raise Unauthenticated("this key has expired")
        return key.role

    def _user_role(self, held: SignIn) -> Role:
        sign_in = self._access().sign_ins.get(held.id)
        user = None if sign_in is None else self._access().users.get(sign_in.user_id)
        if sign_in is None or user is None or sign_in.ends_at <= self._clock():
            raise _ended()
        if user.disabled_at is not None:
            raise Unauthenticated("this user is disabled")
        return user.role


def _ended() -> Unauthenticated:
    return Unauthenticated("this sign-in has ended", remedy="Sign in again.")


def presented(headers: Headers) -> str:
    """The key that a request brings: `Bearer`, or the password of `Basic` whoever the user; raises Unauthenticated."""
    given = headers.getlist("authorization")
    if not given:
        raise Unauthenticated(
            "a key is needed", remedy="Sign in, or send a key as Authorization: Bearer or as HTTP Basic's password."
        )
    scheme, _, rest = given[0].partition(" ")
    if len(given) == 1 and len(rest) <= LONGEST_CREDENTIAL:
        if scheme.lower() == "bearer":
            return rest.strip()
        if scheme.lower() == "basic":
            with contextlib.suppress(ValueError):
                return base64.b64decode(rest.strip(), validate=True).decode().partition(":")[2]
    raise Unauthenticated("the Authorization header is none that is read here")


class EdgeCaller(NamedTuple):
    """The edge that calls, and the wire version it speaks."""

    id: str
    wire: int


def check_edge(caller: Caller, edge_id: str, places: Mapping[str, str]) -> None:
    """Raises Forbidden if an edge calls by another's key, or by one of another site; `places` is every edge's site."""
    key = caller.key
    if key is None:
        return
    if key.edge_id not in (None, edge_id) or places.get(edge_id) not in (None, *(key.sites or ())):
        raise Forbidden("this key is another edge's", remedy="Make a key of the role edge for each edge.")


def edge_of(connection: HTTPConnection) -> EdgeCaller:
    """The edge that calls, by its headers; raises Invalid if they are missing and WireMismatch for another wire."""
    edge_id = connection.headers.get(EDGE_HEADER, "")
    if not EDGE_ID.fullmatch(edge_id):
        raise Invalid(f"{EDGE_HEADER} does not name an edge", remedy="This endpoint is for edges.")
    said = connection.headers.get(WIRE_HEADER, "")
    if not re.fullmatch(r"[0-9]{1,6}", said):
        raise Invalid(f"{WIRE_HEADER} is not a version of the wire")
    wire = int(said)
    if wire > WIRE:
        raise WireMismatch(
            f"the edge speaks wire version {wire}, and this control plane {WIRE}",
            remedy="Update the control plane, or install the edge of this control plane's version.",
        )
    if wire < OLDEST_WIRE:
        raise WireMismatch(f"wire version {wire} is no longer spoken here", remedy="Update the edge.")
    return EdgeCaller(edge_id, wire)
