"""Whether the edge lives: looked at every second, told to systemd; where a thread hangs, the process ends, so that its
supervisor starts another. A camera that hangs is none of this: it is opened again on another thread."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from edge.notify import Notifier
from edge.watchdog import Watchdog

log = logging.getLogger("edge.health")

TICK_S = 1.0
HUNG = 70
"""The exit status of an edge that ended because a thread hung (EX_SOFTWARE of sysexits.h)."""


class Tally:
    """How often the edge has ended so, kept in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.count = 0
        with suppress(OSError, ValueError):
            self.count = int(path.read_text())

    def add(self) -> None:
        self.count += 1
        with suppress(OSError):
            self._path.write_text(f"{self.count}\n")


class Health:
    """Looks for what hangs. `dead` names the threads that have ended unasked, `end` ends the process at once: whatever
    hangs would hold up an orderly end, and nothing of value needs one."""

    def __init__(
        self,
        watchdog: Watchdog,
        notifier: Notifier,
        tally: Tally,
        dead: Callable[[], Iterable[str]],
        end: Callable[[int], object] = os._exit,
    ) -> None:
        self._watchdog = watchdog
        self._notifier = notifier
        self._tally = tally
        self._dead = dead
        self._end = end

    def tick(self) -> None:
        """Look once."""
        hung = [f"{late.stage} has worked at one thing for {late.took_s:.0f} s" for late in self._watchdog.late()]
        hung += [f"{name} has ended unasked" for name in self._dead()]
        if not hung:
            self._notifier.alive()
            return
        for what in hung:
            log.critical("%s: the edge ends, to be started again", what)
        self._tally.add()
        for handler in logging.getLogger().handlers:
            handler.flush()
        self._end(HUNG)
