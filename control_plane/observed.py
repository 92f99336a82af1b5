"""Every request bears an id, which the answer and the logs repeat, and is counted."""

from __future__ import annotations

import logging
import re
import time
from typing import Any
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from control_plane.metrics import Metrics
from faces.logs import REQUEST_ID
from faces.wire import REQUEST_HEADER

log = logging.getLogger(__name__)

SLOW_S = 5.0
"""What took longer is worth a line in the log; so is a fault of ours."""


class Observed:
    """Around the whole application. An id that a caller gives is kept if it is plain."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(REQUEST_HEADER, "")
        REQUEST_ID.set(given if re.fullmatch(r"[A-Za-z0-9._-]{1,64}", given) else uuid4().hex)
        if scope["type"] == "http":
            await self._http(scope, receive, send)
            return
        with self._metrics.open_socket(scope["path"] if scope["path"] in SOCKETS else "other"):
            await self._app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        began, status = time.perf_counter(), 500

        async def marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_HEADER] = REQUEST_ID.get()
            await send(message)

        try:
            await self._app(scope, receive, marked)
        finally:
            took, route = time.perf_counter() - began, route_of(scope)
            self._metrics.answered(scope["method"], route, status, took)
            if status >= 500 or took > SLOW_S:
                log.warning("%s %s: %d after %.1f s", scope["method"], route, status, took)


SOCKETS = ("/v1/edge/link", "/ws/face-stream")


def route_of(scope: Scope) -> str:
    """The template of the path that was asked for, which names nobody; `none` where there is no such path."""
    endpoint: Any = scope.get("endpoint")
    routes = getattr(endpoint, "routes", None)
    if isinstance(routes, dict) and routes:
        return str(next(iter(routes.values())).path)
    return "none" if endpoint is None else "page"
