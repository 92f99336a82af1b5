"""Whether the process lives, and whether it can work."""

from __future__ import annotations

from typing import Literal

import msgspec
from starlette.responses import Response

from control_plane.api.route import Call, Route, answer
from control_plane.auth import ANYBODY
from control_plane.problems import Ending
from control_plane.store import version
from control_plane.store.db import Unavailable

NEEDED = version.newest()
"""A later one is no fault: while releases change, the schema goes first."""


class Health(msgspec.Struct, frozen=True):
    status: Literal["ok"] = "ok"


class Ready(Health, frozen=True, kw_only=True):
    """`encrypted`: whether photos and encodings are sealed before they are written to a disk."""

    encrypted: bool


async def alive(call: Call[None, None]) -> Response:
    """Whether the process lives."""
    return answer(Health())


async def ready(call: Call[None, None]) -> Response:
    """Whether it can work: 503 while it cannot, or is about to end."""
    if call.plane.ending:
        raise Ending("this control plane is about to end", remedy="Ask another one.")
    if await call.plane.read(version.current) < NEEDED:
        raise Unavailable("the database's schema is older than this version needs", remedy=version.MIGRATE)
    if not call.plane.feed.alive:
        raise Unavailable("commits are no longer noticed", remedy="Start the control plane again.")
    vault = call.plane.database.vault
    return answer(Ready(encrypted=vault is not None and vault.sealing))


ROUTES = (
    Route("GET", "/healthz", alive, ANYBODY, {200: Health}),
    Route("GET", "/readyz", ready, ANYBODY, {200: Ready}),
)
