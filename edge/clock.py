"""Time as an edge can know it: by a clock that nobody sets, and by the control plane's."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from datetime import datetime


def elapsed_s() -> float:
    """Seconds by a clock that nobody sets, and that goes on while the machine sleeps where the system has one."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class ClockOffset:
    """How far this machine's clock is ahead of the control plane's, from answers that tell its time.

    Each answer is taken to be of the middle of its round trip, so half of that is the most it is wrong by; of the last
    few the quickest counts. It is kept against a clock that nobody sets, so that it is right as soon as this machine's
    own is put right.
    """

    def __init__(self, wall: Callable[[], float] = time.time, elapsed: Callable[[], float] = elapsed_s) -> None:
        self._wall = wall
        self._elapsed = elapsed
        self._samples: deque[tuple[float, float]] = deque(maxlen=4)

    def take(self, asked_s: float, now: datetime) -> None:
        """Take an answer that comes now to what was asked at `asked_s` of the clock that nobody sets."""
        answered_s = self._elapsed()
        self._samples.append((answered_s - asked_s, (asked_s + answered_s) / 2 - now.timestamp()))

    def ahead_s(self) -> float | None:
        """Seconds; None as long as nothing is known."""
        if not self._samples:
            return None
        return self._wall() - self._elapsed() + min(self._samples)[1]
