"""The guard at the door: what pages of other origins and requests for other hosts may not do, whoever calls."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from control_plane.problems import ForeignHost, ForeignOrigin, Unauthenticated
from faces.errors import RollcallError

LOOPBACK = re.compile(r"(localhost|127(?:\.\d{1,3}){3}|\[::1\])(:\d{1,5})?", re.IGNORECASE)
BY_PROXIES = re.compile(r"forwarded|via|x-forwarded-.*|x-real-ip", re.IGNORECASE)
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class Guard:
    """Refuses unsafe requests made by pages of other origins than our own and `origins`, and, while everything is open
    (`is_open`), requests for another host (DNS rebinding) and those that a proxy on this machine passes on for others.

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
        """Raises ForeignHost, ForeignOrigin or Unauthenticated for a request that may not be served, wherever it
        leads."""
        headers, is_open = Headers(scope=scope), self._is_open()
        check_host(headers, any_name=not is_open)
        if is_open:
            check_direct(headers)
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


def check_direct(headers: Headers) -> None:
    """Raises Unauthenticated for a request that a proxy says to have passed on, whatever host it made it ask for."""
    if any(BY_PROXIES.fullmatch(name) for name in headers):
        raise Unauthenticated(
            "a proxy passes this on, and there are no users and no access keys yet",
            remedy="Make one with rollcall users create NAME --role admin or rollcall keys create --role admin.",
        )


def check_origin(headers: Headers, others: Collection[str] = ()) -> None:
    """Raises ForeignOrigin if a browser says that a page of another origin asks, unless it is among `others`. The same
    host on another port is another origin; `null` is one too."""
    origins = [origin.lower() for origin in headers.getlist("origin")]
    if origins and all(origin in others for origin in origins):
        return
    foreign = any(origin not in own_origins(headers) for origin in origins)
    if foreign or headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        raise ForeignOrigin(
            "pages of other origins may not do this",
            remedy="Open the dashboard at the same address, call from a program, or name the origin in ORIGINS.",
        )


def own_origins(headers: Headers) -> frozenset[str]:
    """The origins of our own pages, by the one Host that was asked for."""
    return frozenset(f"{scheme}://{headers['host'].lower()}" for scheme in ("http", "https"))
