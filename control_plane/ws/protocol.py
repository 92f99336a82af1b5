"""A WebSocket's end of its TCP connection: little waits unsent in the kernel, and it can be cut off at once."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any, cast

from starlette.types import Scope

from control_plane.ws.flood import Bounded

UNSENT_BYTES = 64 << 10
"""What the kernel takes of a socket before it is sent: with megabytes of it, a slow watcher's frames would be old, and
one that never reads would hold them."""

CUT = "rollcall.cut"
"""The extension of a WebSocket's scope that cuts it off."""


class Protocol(Bounded):
    """uvicorn's within bounds, and the extension CUT."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)

    def handle_connect(self, event: Any) -> None:
        super().handle_connect(event)
        if hasattr(self, "scope"):
            # The application's task has not begun yet.
            cast(Scope, self.scope)["extensions"][CUT] = {"now": self._cut}

    def _cut(self) -> None:
        # To close it would wait for what was sent to be read. Lingering for no time drops that, and resets.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    @property
    def _socket(self) -> socket.socket:
        return cast(socket.socket, self.transport.get_extra_info("socket"))


def cut(scope: Scope) -> None:
    """Cut a WebSocket off at once, whatever was sent and not read."""
    if (extension := scope["extensions"].get(CUT)) is not None:
        extension["now"]()
