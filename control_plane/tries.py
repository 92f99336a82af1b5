"""How often a password may be tried: after some that are wrong, with growing waits. No clock in here, bounded memory.

The longest wait is a minute, and where somebody has signed in before they wait only for what is tried from there: who
tries the passwords of an administrator slows himself down, and shuts nobody out.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TypeVar

from control_plane.problems import TooManyRequests

K = TypeVar("K")
V = TypeVar("V")

FREE = 5
"""Tries that nobody waits for."""

LONGEST_S = 60.0
FORGOTTEN_AFTER_S = 900.0
MOST_KNOWN = 10_000


@dataclass(slots=True)
class _Failed:
    count: int
    last_at: float

    @property
    def free_at(self) -> float:
        over = self.count - FREE
        return self.last_at + (0.0 if over < 0 else min(2.0**over, LONGEST_S))


class Tries:
    """The tries of each name, and of each name from where it has signed in before."""

    def __init__(self, most: int = MOST_KNOWN) -> None:
        self._most = most
        self._failed: OrderedDict[tuple[str, str], _Failed] = OrderedDict()
        self._homes: OrderedDict[tuple[str, str], None] = OrderedDict()

    def begin(self, name: str, place: str, now: float) -> None:
        """Count a try at `now` (seconds) as one that failed, so that many at once are no way around it; raises
        TooManyRequests, and counts nothing, while the name has to wait."""
        key = self._key(name, place)
        failed = self._failed.pop(key, None)
        if failed is None or now - failed.last_at > FORGOTTEN_AFTER_S:
            failed = _Failed(0, now)
        wait = failed.free_at - now
        if wait <= 0 or failed.count < FREE:
            failed.count, failed.last_at, wait = failed.count + 1, now, 0.0
        _remember(self._failed, key, failed, self._most)
        if wait > 0:
            raise TooManyRequests("this name was tried with too many wrong passwords", retry_after_s=wait)

    def succeed(self, name: str, place: str) -> None:
        """The try that has begun was good."""
        self._failed.pop(self._key(name, place), None)
        _remember(self._homes, (name, place), None, self._most)

    def _key(self, name: str, place: str) -> tuple[str, str]:
        return (name, place if (name, place) in self._homes else "")


def _remember(known: OrderedDict[K, V], key: K, value: V, most: int) -> None:
    known.pop(key, None)
    known[key] = value
    if len(known) > most:
        known.popitem(last=False)
