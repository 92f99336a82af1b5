"""The application: it is its constructor."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles

from control_plane.api.failures import HANDLERS, refuse
from control_plane.api.route import served
from control_plane.api.routes import ROUTES
from control_plane.api.schema import with_document
from control_plane.auth import LoopbackGuard
from control_plane.config import Config
from control_plane.plane import Plane
from control_plane.protection import Protection
from control_plane.store.db import Database, utcnow
from control_plane.ws import edges, watchers

DASHBOARD = Path(__file__).parent / "dashboard"
VERSION = "0.1.0"


def create_app(config: Config, database: Database, clock: Callable[[], datetime] = utcnow) -> Starlette:
    """The control plane on a database whose schema is up to date; it closes the database at its end."""
    plane = Plane(config, database, clock)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with plane.running():
            yield

    app = Starlette(
        routes=routes(plane),
        middleware=[Middleware(Protection), Middleware(LoopbackGuard, refuse=refuse)],
        exception_handlers=HANDLERS,
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    return app


def routes(plane: Plane) -> list[BaseRoute]:
    return [
        *served(with_document(ROUTES, VERSION), plane),
        WebSocketRoute("/v1/edge/link", partial(edges.link, plane=plane)),
        WebSocketRoute("/ws/face-stream", partial(watchers.stream, plane=plane)),
        Route("/", index),
        Mount("/dashboard", StaticFiles(directory=DASHBOARD)),
    ]


async def index(_request: Request) -> Response:
    return FileResponse(DASHBOARD / "index.html")
