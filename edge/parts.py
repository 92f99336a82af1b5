"""What an edge is made of: parts that run on threads of their own until they are stopped."""

from __future__ import annotations

import logging
import threading
from typing import NamedTuple, Protocol

log = logging.getLogger("edge.parts")

STOP_S = 10.0
"""What a part has to end by itself."""

AGAIN_S = 1.0
"""Before a part that failed is started again."""


class Part(Protocol):
    """What runs on a thread of its own until stopped."""

    def run(self) -> None: ...

    def stop(self) -> None: ...


class Running(NamedTuple):
    """A part, and the thread that it runs on."""

    part: Part
    thread: threading.Thread


def start(name: str, part: Part, stopping: threading.Event) -> Running:
    """Run a part on a thread. A fault nobody thought of is logged and the part started again, unless `stopping`."""
    thread = threading.Thread(target=_keep_running, args=(part, name, stopping), name=name, daemon=True)
    thread.start()
    return Running(part, thread)


def _keep_running(part: Part, name: str, stopping: threading.Event) -> None:
    while True:
        try:
            return part.run()
        except Exception:
            log.exception("%s failed", name)
        if stopping.wait(AGAIN_S):
            return
