"""A WebSocket's end of its TCP connection: little waits unsent in the kernel, and it can be cut off at once."""

from __future__ import annotations

import asyncio
import socket
from typing import Any, cast

from starlette.types import Scope

from control_plane.cut import CUT, extension
from control_plane.ws.flood import Bounded

UNSENT_BYTES = 64 << 10
"""What the kernel takes of a socket before it is sent: with megabytes of it, a slow watcher's frames would be old, and
one that never reads would hold them."""


class Protocol(Bounded):
    """uvicorn's within bounds, and the extension CUT."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            connection = cast(socket.socket, transport.get_extra_info("socket"))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)

    def handle_connect(self, event: Any) -> None:
        super().handle_connect(event)
        if hasattr(self, "scope"):
            # The application's task has not begun yet.
            cast(Scope, self.scope)["extensions"][CUT] = extension(self.transport)
