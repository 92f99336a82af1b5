"""A connection that is cut off at once, whatever was sent on it and not read."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import cast

from starlette.types import Scope

CUT = "rollcall.cut"
"""The extension of a scope that cuts its connection off."""


def extension(transport: asyncio.BaseTransport) -> dict[str, object]:
    """What stands in a scope's extensions as CUT."""

    def now() -> None:
        # To close it would wait for what was sent to be read. Lingering for no time drops that, and resets.
        connection = cast(socket.socket, transport.get_extra_info("socket"))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        cast(asyncio.Transport, transport).abort()

    return {"now": now}


def cut(scope: Scope) -> bool:
    """Cut a connection off at once, whatever was sent and not read; False where the server cannot."""
    found = scope.get("extensions", {}).get(CUT)
    if found is not None:
        found["now"]()
    return found is not None
