"""Events as the edge logs them."""

from __future__ import annotations

import re

from faces.events import Event, EventKind


def line(event: Event) -> str:
    """An event as one line of `key=value`, for people and for programs."""
    facts: dict[str, object] = {"camera": event.camera, "at": event.captured_at.isoformat(timespec="milliseconds")}
    if event.kind in (EventKind.DECISION, EventKind.SIGHTING):
        facts |= {"name": event.name, "identity": event.identity_id, "track": event.track}
        facts |= {"distance": event.distance, "runner_up": event.runner_up_distance, "threshold": event.threshold}
    facts |= {"reason": event.reason, "event": event.id}
    said = (f"{key}={_shown(value)}" for key, value in facts.items() if value is not None)
    return " ".join((str(event.status or event.kind), *said))


def _shown(value: object) -> str:
    """A value on one line: text that holds more than a word is quoted, and nothing in it reaches a terminal raw."""
    if isinstance(value, float):
        return f"{value:.4f}"
    text = str(value)
    return text if re.fullmatch(r"[\w.:+-]+", text) else _quoted(text)


def _quoted(text: str) -> str:
    escaped = (char if char.isprintable() and char not in '"\\' else f"\\u{ord(char):04x}" for char in text)
    return f'"{"".join(escaped)}"'
