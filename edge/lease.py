"""The lease on admitting people: how long an edge may go by a gallery that nobody has confirmed. No clock in here."""

from __future__ import annotations

from typing import NamedTuple

DAY_S = 86400.0
SAVE_EVERY_S = 60.0


class Spent(NamedTuple):
    """How much of the lease was used up, in seconds, and what the wall clock said then (seconds of its epoch)."""

    seconds: float
    at: float


class Lease:
    """Runs out `days` after the last confirmation; 0 never does.

    Time is counted by a clock that cannot be set (`now`, seconds); only for the time that the edge was off is the wall
    clock asked (`wall`), and it can add to what was counted but take nothing away. Confirmed by one thread at a time;
    any may ask.
    """

    def __init__(self, days: float, saved: Spent | None, now: float, wall: float) -> None:
        self.days = self._own_days = days
        self._saved = saved
        spent = saved.seconds + max(0.0, wall - saved.at) if saved else 0.0
        self._confirmed = now - spent

    def limit(self, days: float | None) -> None:
        """Last so long from now on; None: as long as the edge is set up for."""
        self.days = self._own_days if days is None else days

    def confirm(self, now: float) -> None:
        self._confirmed = now

    def spent_s(self, now: float) -> float:
        """Seconds since the last confirmation."""
        return now - self._confirmed

    def expired(self, now: float) -> bool:
        return 0 < self.days * DAY_S <= self.spent_s(now)

    def due(self, now: float, wall: float) -> Spent | None:
        """What is to be saved now, if anything: each minute, and when a confirmation or the wall clock has changed it
        much. What is saved bears the time, so that a restart adds only what the edge was off for."""
        spent, saved = now - self._confirmed, self._saved
        if saved and abs(spent - saved.seconds) < SAVE_EVERY_S and 0 <= wall - saved.at < SAVE_EVERY_S:
            return None
        self._saved = Spent(spent, wall)
        return self._saved
