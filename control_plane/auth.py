"""Who may call: whose key allows it. While there are no keys: whoever is on this machine, and no page of another
origin."""

from __future__ import annotations

import base64
import contextlib
import re
import secrets
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from control_plane.problems import Forbidden, ForeignHost, ForeignOrigin, Unauthenticated
from control_plane.store.keys import Key, Role, digest, id_of
from faces.errors import Invalid, RollcallError, WireMismatch
from faces.wire import EDGE_HEADER, WIRE, WIRE_HEADER

LOOPBACK = re.compile(r"(localhost|127(?:\.\d{1,3}){3}|\[::1\])(:\d{1,5})?", re.IGNORECASE)
EDGE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
OLDEST_WIRE = max(1, WIRE - 1)


class Need(StrEnum):
    """What a caller must be allowed to. Every route says so; the application does not start with one that does not."""

    ANYBODY = "anybody"
    EDGE = "edge"
    JOIN = "join-token"
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


ANYBODY, EDGE, JOIN = Need.ANYBODY, Need.EDGE, Need.JOIN
PEOPLE_READ, PEOPLE_WRITE = Need.PEOPLE_READ, Need.PEOPLE_WRITE
IMPORTS_READ, IMPORTS_WRITE = Need.IMPORTS_READ, Need.IMPORTS_WRITE
EVENTS_READ, EVENTS_WRITE = Need.EVENTS_READ, Need.EVENTS_WRITE
GALLERIES_READ, GALLERIES_WRITE = Need.GALLERIES_READ, Need.GALLERIES_WRITE
WEBHOOKS_READ, WEBHOOKS_WRITE = Need.WEBHOOKS_READ, Need.WEBHOOKS_WRITE
SITES_READ, SITES_WRITE = Need.SITES_READ, Need.SITES_WRITE
KEYS_READ, KEYS_WRITE = Need.KEYS_READ, Need.KEYS_WRITE
AUDIT_READ = Need.AUDIT_READ

BY_NO_KEY = frozenset({ANYBODY, JOIN})
"""What no key is asked for: there is nothing to guard, or the endpoint asks for something else."""

_VIEWER = frozenset({PEOPLE_READ, IMPORTS_READ, EVENTS_READ, GALLERIES_READ, SITES_READ})
SCOPES: Mapping[Role, frozenset[Need]] = MappingProxyType(
    {
        Role.ADMIN: frozenset(Need) - {EDGE, JOIN},
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
    """Who calls: by which key; None: nobody is asked for one."""

    key: Key | None = None

    @property
    def sites(self) -> frozenset[str] | None:
        """The ids of the sites that the key is bound to; None: it is good for all."""
        return None if self.key is None or self.key.sites is None else frozenset(self.key.sites)

    @property
    def actor(self) -> str:
        """Who it is, in a word that stays the same: `key:ID`, or `edge:ID` for an edge's own key; `nobody` where
        nobody is asked for a key."""
        if self.key is None:
            return "nobody"
        return f"key:{self.key.id}" if self.key.edge_id is None else f"edge:{self.key.edge_id}"

    def may(self, need: Need) -> bool:
        return self.key is None or need in SCOPES[self.key.role]


class Gate:
    """Who may come in. `keys` gives what keys there are now; `open_without` says that nobody else than this machine can
    reach us: then everything is open until the first key is made. An edge's key alone closes nothing."""

    def __init__(
        self, keys: Callable[[], Mapping[str, Key]], clock: Callable[[], datetime], *, open_without: bool
    ) -> None:
        self._keys = keys
        self._clock = clock
        self._open_without = open_without

    @property
    def open(self) -> bool:
        return self._open_without and all(key.role is Role.EDGE for key in self._keys().values())

    def admit(self, headers: Headers, need: Need) -> Caller:
        """Who calls with these headers; raises Unauthenticated, and Forbidden if they may not do this."""
        caller = Caller() if need in BY_NO_KEY or self.open else Caller(self.key(presented(headers)))
        self.check(caller, need)
        return caller

    def bearer(self, key_id: str | None, need: Need) -> Caller:
        """Whoever bears the key of this id; raises as `admit`."""
        caller = Caller(None if key_id is None else self._keys().get(key_id))
        self.check(caller, need)
        return caller

    def key(self, text: str) -> Key:
        """The key of this text; raises Unauthenticated."""
        key_id = id_of(text)
        if key_id is None:
            raise Unauthenticated("this is no key: a part is missing or mistyped", remedy="Copy the key whole.")
        key = self._keys().get(key_id)
        if key is None or not secrets.compare_digest(key.sha256, digest(text)):
            raise Unauthenticated("this key is not known here")
        return key

    def check(self, caller: Caller, need: Need) -> None:
        """Raises Unauthenticated if the caller's key does not count any more, and Forbidden if it is not for this."""
        if need in BY_NO_KEY or (caller.key is None and self.open):
            return
        key = None if caller.key is None else self._keys().get(caller.key.id)
        if key is None:
            raise Unauthenticated("a key is needed", remedy="Make one with rollcall keys create.")
        if key.revoked_at is not None:
            raise Unauthenticated("this key was revoked")
        if key.expires_at is not None and key.expires_at <= self._clock():
            raise Unauthenticated("this key has expired")
        if need not in SCOPES[key.role]:
            raise Forbidden(f"a key of the role {key.role} may not do this", remedy=f"It needs {need}.")


def presented(headers: Headers) -> str:
    """The key that a request brings: `Bearer`, or the password of `Basic` whoever the user; raises Unauthenticated."""
    given = headers.getlist("authorization")
    if not given:
        raise Unauthenticated(
            "a key is needed", remedy="Send it as Authorization: Bearer, or as HTTP Basic's password."
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


class Guard:
    """Refuses unsafe requests made by pages of other origins than our own and `origins`, and, while everything is open
    (`is_open`), requests for another host (DNS rebinding).

    It looks at the headers alone and never at a URL made of them, which a crafted Host can bend.
    """

    def __init__(
        self,
        app: ASGIApp,
        refuse: Callable[[HTTPConnection, RollcallError], ASGIApp],
        is_open: Callable[[], bool],
        origins: Collection[str] = (),
    ) -> None:
        self._app = app
        self._refuse = refuse
        self._is_open = is_open
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = self._app
        if scope["type"] in ("http", "websocket"):
            try:
                self._check(scope)
            except RollcallError as error:
                answer = self._refuse(HTTPConnection(scope), error)
        await answer(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        """Raises ForeignHost or ForeignOrigin for a request that may not be served, wherever it leads."""
        headers = Headers(scope=scope)
        check_host(headers, any_name=not self._is_open())
        if scope["type"] == "websocket" or scope["method"] not in SAFE_METHODS:
            check_origin(headers, self._origins)


def check_host(headers: Headers, *, any_name: bool = False) -> None:
    """Raises ForeignHost unless the request names a host once, and this machine unless `any_name` will do."""
    hosts = headers.getlist("host")
    if len(hosts) != 1 or not (any_name or LOOPBACK.fullmatch(hosts[0])):
        raise ForeignHost(
            "this is not a name of this machine",
            remedy="While there are no access keys, call it by 127.0.0.1, [::1] or localhost.",
        )


def check_origin(headers: Headers, others: Collection[str] = ()) -> None:
    """Raises ForeignOrigin if a browser says that a page of another origin asks, unless it is among `others`. The same
    host on another port is another origin; `null` is one too."""
    origins = [origin.lower() for origin in headers.getlist("origin")]
    if origins and all(origin in others for origin in origins):
        return
    own = {f"{scheme}://{headers['host'].lower()}" for scheme in ("http", "https")}
    foreign = any(origin not in own for origin in origins)
    if foreign or headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        raise ForeignOrigin(
            "pages of other origins may not do this",
            remedy="Open the dashboard at the same address, call from a program, or name the origin in ORIGINS.",
        )


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
