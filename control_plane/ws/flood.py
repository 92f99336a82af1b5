"""A WebSocket that is flooded is ended: what costs its sender next to nothing, like an empty fragment or a ping, costs
the process that reads it far more."""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

MOST_FRAMES = 2000
"""Frames of any kind that are taken in a second: an edge sends 15 live frames of each camera."""

MOST_FRAGMENTS = 1000
"""Fragments that one message may come in. Empty ones add nothing to its size, and would never come to an end."""


POLICY_VIOLATION = 1008
"""The close code of RFC 6455, 7.4.1."""

MOST_UNREAD_BYTES = 1 << 16
"""Where more waits to be read than this, the last word is not waited for either."""


class Bounded(WebSocketsSansIOProtocol):
    """uvicorn's protocol, within these bounds."""

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self._second = 0.0
        self._taken = 0

    def handle_events(self) -> None:
        now = self.loop.time()
        if now - self._second >= 1.0:
            self._second, self._taken = now, 0
        self._taken += len(self.conn.events)
        if self._taken > MOST_FRAMES or len(self.frames) > MOST_FRAGMENTS:
            self._end()
        else:
            super().handle_events()

    def _end(self) -> None:
        self.conn.events_received()
        self.conn.fail(POLICY_VIOLATION, "too many frames")
        self.handle_parser_exception()
        if self.transport.get_write_buffer_size() > MOST_UNREAD_BYTES:
            self.transport.abort()
