"""Places for values where the newest wins: the writer never waits for a slow reader."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class Latest(Generic[T]):
    """Any number of writers and readers. A reader remembers the number of the value it saw last."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._number = 0
        self._value: T | None = None

    def put(self, value: T) -> None:
        with self._changed:
            self._number += 1
            self._value = value
            self._changed.notify_all()

    def after(self, number: int, timeout_s: float) -> tuple[int, T | None]:
        """The newest value and its number, once that is not `number`; (`number`, None) if it stays so."""
        with self._changed:
            if self._changed.wait_for(lambda: self._number != number, timeout_s):
                return self._number, self._value
            return number, None


class LatestOfEach(Generic[T]):
    """A place for one value a key, for one reader: it gets the newest of each, in the order in which it owes them a
    look, so that no key is ever passed over for another that changes more often."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: dict[str, T] = {}

    def put(self, key: str, value: T) -> None:
        with self._changed:
            # A key that waits already keeps its place.
            self._waiting[key] = value
            self._changed.notify_all()

    def take(self, timeout_s: float) -> T | None:
        """What waits longest; None if nothing does within `timeout_s`."""
        with self._changed:
            if self._changed.wait_for(lambda: self._waiting, timeout_s):
                return self._waiting.pop(next(iter(self._waiting)))
            return None
