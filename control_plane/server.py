"""uvicorn, which leaves a load balancer time before it ends."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from socket import socket
from types import FrameType

import uvicorn


class Server(uvicorn.Server):
    """On SIGTERM `ending` is called, which makes /readyz say no; `drain_s` later no more requests are taken, `ended` is
    called, which has those that wait be answered, WebSockets are closed with 1012 (come back), and what is under way
    ends. A second signal, or Ctrl-C, shortens the wait."""

    def __init__(
        self, config: uvicorn.Config, drain_s: float, ending: Callable[[], None], ended: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._drain_s, self._ending, self._ended = drain_s, ending, ended
        self._draining = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if sig != signal.SIGTERM or self._draining or not self._drain_s:
            super().handle_exit(sig, frame)
            return
        self._draining = True
        self._ending()
        timer = threading.Timer(self._drain_s, self._stop)
        timer.daemon = True
        timer.start()

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        self._ended()
        await super().shutdown(sockets)

    def _stop(self) -> None:
        self.should_exit = True
