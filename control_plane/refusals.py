"""Which refusals the audit log is told of: so few that nobody can flood it. No clock in here, bounded memory."""

from __future__ import annotations

from control_plane.limits import Buckets, Rate

ONE_EACH = Rate(1, 60.0)
"""Of the same, by the same caller."""

OF_STRANGERS = Rate(60, 60.0)
"""Of all whose key or cookie is none that was made here: they cost nothing to make up."""


class Refusals:
    """Whether one more is told. What strangers do takes nothing from those who are known."""

    def __init__(self) -> None:
        self._each = Buckets(ONE_EACH)
        self._strangers = Buckets(OF_STRANGERS)

    def told(self, who: str, what: str, now: float, *, stranger: bool) -> bool:
        """Whether to tell of this at `now` (seconds)."""
        if self._each.take(f"{who} {what}", now):
            return False
        return not (stranger and self._strangers.take("", now))
