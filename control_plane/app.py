"""The application: it is its constructor."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import FileResponse
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from control_plane.api.failures import HANDLERS, refuse
from control_plane.api.route import Endpoint, served
from control_plane.api.routes import ROUTES
from control_plane.api.schema import with_document
from control_plane.auth import EDGE, EVENTS_READ
from control_plane.config import Config
from control_plane.guard import Guard
from control_plane.observed import Observed
from control_plane.plane import Plane
from control_plane.protection import Protection
from control_plane.store.db import Database, utcnow
from control_plane.ws import edges, watchers
from control_plane.ws.session import Socket

DASHBOARD = Path(__file__).parent / "dashboard"
VERSION = "0.1.0"


def create_app(config: Config, database: Database, clock: Callable[[], datetime] = utcnow) -> Starlette:
    """The control plane on a database whose schema is up to date; it closes the database at its end."""
    plane = Plane(config, database, clock)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with plane.running():
            yield

    served_here = routes(plane)
    check_declared(served_here)
    app = Starlette(
        routes=served_here,
        middleware=[
            Middleware(Observed, metrics=plane.metrics),
            Middleware(ProxyHeadersMiddleware, trusted_hosts=list(config.trusted_proxies)),
            Middleware(Protection),
            Middleware(Guard, refuse=refuse, is_open=lambda: plane.gate.open, origins=config.origins),
        ],
        exception_handlers=HANDLERS,
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    app.state.plane = plane
    return app


def routes(plane: Plane) -> list[BaseRoute]:
    return [
        *served(with_document(ROUTES, VERSION), plane),
        WebSocketRoute("/v1/edge/link", Socket(edges.link, EDGE, plane)),
        WebSocketRoute("/ws/face-stream", Socket(watchers.stream, EVENTS_READ, plane)),
        Route("/", Public(index), methods=["GET"]),
        Mount("/dashboard", Public(StaticFiles(directory=DASHBOARD))),
    ]


async def index(scope: Scope, receive: Receive, send: Send) -> None:
    await FileResponse(DASHBOARD / "index.html")(scope, receive, send)


@dataclass(frozen=True, slots=True)
class Public:
    """What anybody may read: the dashboard's own files, which hold nobody's data."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


def check_declared(routes: Iterable[BaseRoute]) -> None:
    """Raises TypeError for a route that does not say who may call it."""
    for route in routes:
        leads_to = route.app if isinstance(route, Mount) else getattr(route, "endpoint", None)
        if not isinstance(leads_to, Endpoint | Socket | Public):
            raise TypeError(f"{route} does not declare what its caller needs")
