"""Doing something again and again: at its time, when woken, and after a failure not too soon."""

from __future__ import annotations

import logging
import random
import sqlite3
import threading
import time
from collections.abc import Callable

from faces.errors import RollcallError

log = logging.getLogger("edge.repeat")


class Busy(RollcallError):
    """Somebody asks to be left alone for `retry_after_s` seconds."""

    code = "busy"

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Backoff:
    """Waits of anything up to a bound that doubles from `first_s` to `most_s` (full jitter), so that a thousand edges
    do not return in the same second."""

    def __init__(self, first_s: float, most_s: float, chance: Callable[[], float] = random.random) -> None:
        self._first = first_s
        self._most = most_s
        self._chance = chance
        self._next = first_s

    def wait_s(self) -> float:
        """The next wait."""
        wait, self._next = self._next, min(self._next * 2, self._most)
        return wait * self._chance()

    def reset(self) -> None:
        """It worked: start from the first wait again."""
        self._next = self._first


class Repeater:
    """Calls `work` until stopped. It returns the seconds to wait; a failure is logged once and waited out. Nothing
    shortens the wait that a `Busy` control plane asks for, save `stop`."""

    def __init__(
        self,
        name: str,
        work: Callable[[], float],
        backoff: Backoff,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.failing = False
        self._clock = clock
        self._not_before = float("-inf")
        self._name = name
        self._work = work
        self._backoff = backoff
        self._changed = threading.Condition()
        self._stopped = self._woken = self._hurried = False

    def run(self) -> None:
        while not self._stopped:
            with self._changed:
                self._woken = self._hurried = False
            wait = self._try()
            with self._changed:
                self._changed.wait_for(self._may_go_on, wait)

    def wake(self) -> None:
        """There is work. Waits, but not those after a failure, are over."""
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def hurry(self) -> None:
        """What made it fail may be over: every wait is."""
        with self._changed:
            self._hurried = True
            self._changed.notify_all()

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _may_go_on(self) -> bool:
        if self._stopped or self._clock() < self._not_before:
            return self._stopped
        return self._hurried or (self._woken and not self.failing)

    def _try(self) -> float:
        try:
            wait = self._work()
        except (RollcallError, sqlite3.Error, OSError) as error:
            log.log(logging.DEBUG if self.failing else logging.WARNING, "%s: %s", self._name, error)
            self.failing = True
            asked_s = error.retry_after_s if isinstance(error, Busy) else 0.0
            self._not_before = self._clock() + asked_s
            return asked_s + self._backoff.wait_s()
        if self.failing:
            log.info("%s works again", self._name)
        self.failing = False
        self._backoff.reset()
        return wait
