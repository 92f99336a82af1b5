"""Lines that die without a word: what was sent is acknowledged soon, or the connection is over."""

from __future__ import annotations

import socket
from typing import Final

SILENT_MS: Final = 20_000
"""How long the other end may acknowledge nothing: as long as a WebSocket waits for a pong, which cannot be asked for
while a message is being sent."""


def bound_silence(connection: socket.socket) -> None:
    """Have a send on this connection fail with OSError once the other end has been silent for `SILENT_MS`, where the
    system can; by itself it would go on for a quarter of an hour."""
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENT_MS)
