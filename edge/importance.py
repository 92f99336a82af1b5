"""Which events to give up first where not all can be kept."""

from __future__ import annotations

from enum import IntEnum

from faces.events import Event, EventKind, Status
from faces.gallery import Kind


class Importance(IntEnum):
    """From what is given up first to what never is. The names in lower case are the words of a notice's counts."""

    HEALTH = 1
    STRANGER = 2
    PASS = 3
    WATCH = 4
    DENY = 5
    NOTICE = 6

    @property
    def word(self) -> str:
        return self.name.lower()


def importance(event: Event) -> Importance:
    """An event's importance. Somebody recognised whom only the lease kept out counts like one who passed."""
    if event.kind is EventKind.EVENTS_DROPPED:
        return Importance.NOTICE
    if event.kind is EventKind.SIGHTING:
        return Importance.WATCH
    if event.kind is not EventKind.DECISION:
        return Importance.HEALTH
    if event.reason == Kind.DENY:
        return Importance.DENY
    if event.reason == Kind.WATCH:
        return Importance.WATCH
    return Importance.PASS if event.status is Status.PASS or event.reason else Importance.STRANGER
