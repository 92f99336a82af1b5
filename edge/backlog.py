"""Telling frames as they are taken from frames that waited on the way."""

from __future__ import annotations

LATE_S = 0.5
"""A gap that is so much longer than usual was no gap at the camera: what it sent meanwhile waits somewhere."""

CATCH_UP_S = 2.0
"""A backlog takes no longer: it comes as fast as it can be decoded."""

LEARNS = 0.1
"""Weight of the newest interval in the usual one."""


class Backlog:
    """Tells which frames of a stream are old by when they arrive, for cameras' own time stamps cannot be trusted.

    What was queued, while the stream was opened or while the network stood still, comes faster than it was taken; the
    first frame that had to be waited for is the first that is new.
    """

    def __init__(self, interval_s: float) -> None:
        """`interval_s`: what is known of the time between frames; the right one is learnt."""
        self._interval = interval_s
        self._before: float | None = None
        self._behind_since: float | None = None

    def old(self, moment: float) -> bool:
        """Whether the frame that arrives at this moment, in seconds, was taken long before."""
        before, self._before = self._before, moment
        if before is None:
            self._behind_since = moment
            return True
        gap = moment - before
        if self._behind_since is None and gap > self._interval + LATE_S:
            self._behind_since = moment
            return True
        if self._behind_since is not None:
            if gap < self._interval / 2 and moment - self._behind_since < CATCH_UP_S:
                return True
            self._behind_since = None
        self._interval += LEARNS * (gap - self._interval)
        return False
