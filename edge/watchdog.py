"""Which threads work at what, and since when: what takes far longer than it can hangs. Its clock is passed in."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

T = TypeVar("T")

LOOK_S = 60.0
"""To look at one frame, on the slowest of machines."""

DELIVERY_S = 300.0
"""To post one batch: a thumbnail a second, on the worst of lines."""

SYNC_S = 3600.0
"""To bring all galleries up to date: a hundred thousand people over a line of 56 kB/s take a quarter of that."""


class Late(NamedTuple):
    """A piece of work that has taken longer than its bound, in seconds."""

    stage: str
    took_s: float


class Watchdog:
    """Told by each thread when it begins a piece of work and when it is done with it. A thread that waits for something
    to do is not late, however long that takes."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._working: dict[object, tuple[str, float, float]] = {}
        self._changing = threading.Lock()

    @contextmanager
    def working(self, stage: str, bound_s: float) -> Iterator[None]:
        """The thread works at this as long as it is in here, for so many seconds at most."""
        piece = object()
        began = self._clock()
        with self._changing:
            self._working[piece] = (stage, began, began + bound_s)
        try:
            yield
        finally:
            with self._changing:
                del self._working[piece]

    def watched(self, stage: str, bound_s: float, work: Callable[[], T]) -> Callable[[], T]:
        """The same work, watched."""

        def piece() -> T:
            with self.working(stage, bound_s):
                return work()

        return piece

    def late(self) -> list[Late]:
        """What hangs."""
        now = self._clock()
        with self._changing:
            return [Late(stage, now - began) for stage, began, until in self._working.values() if now > until]
