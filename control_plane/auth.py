"""Who may call. While there are no access keys: whoever is on this machine, and no page of another origin."""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from control_plane.problems import ForeignHost, ForeignOrigin
from faces.errors import Invalid, RollcallError, WireMismatch
from faces.wire import EDGE_HEADER, WIRE, WIRE_HEADER

LOOPBACK = re.compile(r"(localhost|127(?:\.\d{1,3}){3}|\[::1\])(:\d{1,5})?", re.IGNORECASE)
EDGE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
OLDEST_WIRE = max(1, WIRE - 1)


class Caller(StrEnum):
    """Who may call a route. Every route says so."""

    ANYBODY = "anybody"
    OPERATOR = "operator"
    EDGE = "edge"


ANYBODY, OPERATOR, EDGE = Caller


class EdgeCaller(NamedTuple):
    """The edge that calls, and the wire version it speaks."""

    id: str
    wire: int


class LoopbackGuard:
    """Refuses requests for another host (DNS rebinding), and unsafe ones made by pages of other origins.

    It looks at the headers alone and never at a URL made of them, which a crafted Host can bend.
    """

    def __init__(self, app: ASGIApp, refuse: Callable[[HTTPConnection, RollcallError], ASGIApp]) -> None:
        self._app = app
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = self._app
        if scope["type"] in ("http", "websocket"):
            try:
                check(scope)
            except RollcallError as error:
                answer = self._refuse(HTTPConnection(scope), error)
        await answer(scope, receive, send)


def check(scope: Scope) -> None:
    """Raises ForeignHost or ForeignOrigin for a request that may not be served, wherever it leads."""
    headers = Headers(scope=scope)
    check_host(headers)
    if scope["type"] == "websocket" or scope["method"] not in SAFE_METHODS:
        check_origin(headers)


def check_host(headers: Headers) -> None:
    """Raises ForeignHost unless the request names this machine, once."""
    hosts = headers.getlist("host")
    if len(hosts) != 1 or not LOOPBACK.fullmatch(hosts[0]):
        raise ForeignHost(
            "this is not a name of this machine",
            remedy="While there are no access keys, call it by 127.0.0.1, [::1] or localhost.",
        )


def check_origin(headers: Headers) -> None:
    """Raises ForeignOrigin if a browser says that a page of another origin asks. The same host on another port is
    another origin; `null` is one too."""
    origins = headers.getlist("origin")
    own = {f"{scheme}://{headers['host'].lower()}" for scheme in ("http", "https")}
    foreign = any(origin.lower() not in own for origin in origins)
    if foreign or headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        raise ForeignOrigin(
            "pages of other origins may not do this",
            remedy="Open the dashboard at the same address, or call from a program.",
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
