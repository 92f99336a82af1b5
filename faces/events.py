"""Decisions, and the events that carry them from a camera to everybody concerned."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import msgspec


class Status(StrEnum):
    """What a track's probes amount to. NO_FACE exists on the stream only: no face in the frame."""

    PASS = "PASS"
    REJECT = "REJECT"
    NO_FACE = "NO_FACE"


class EventKind(StrEnum):
    DECISION = "decision"
    SIGHTING = "sighting"
    CAMERA_LOST = "camera_lost"
    CAMERA_BACK = "camera_back"
    CAMERA_DARK = "camera_dark"
    CAMERA_FROZEN = "camera_frozen"
    CAMERA_CLEAR = "camera_clear"
    EVENTS_DROPPED = "events_dropped"


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A decision with where, when and a UUID; or a sighting; or how a camera is; or what an edge had no room to
    keep. A sighting is of somebody on a watch list: it says who and where as a decision does, and no verdict
    (`status`).

    `id` is a UUIDv7 made when the event is made: the key under which repeats are recognised. `captured_at` is the
    edge's clock, UTC. `box` is (x1, y1, x2, y2) in pixels of a picture of `picture` = (width, height).
    `distance` and `runner_up_distance` are of the model `engine`; `threshold` is the TH_ACCEPT that decided.
    `thumbnail` is a small JPEG of the face. `probe` is the encoding of a face that is nobody's, by the model of
    `engine`, where the site keeps those. `dropped` is of EVENTS_DROPPED alone: how many events of each importance
    (`health`, `stranger`, `pass`, `watch`, `deny`) are gone for good, and under `thumbnails` how many were kept without
    one. Being unset, and not null, these two leave no trace in the bytes of other events.
    """

    id: UUID
    kind: EventKind = EventKind.DECISION
    camera: str
    captured_at: datetime
    track: int | None = None
    status: Status | None = None
    identity_id: str | None = None
    name: str | None = None
    distance: float | None = None
    runner_up_distance: float | None = None
    box: tuple[int, int, int, int] | None = None
    picture: tuple[int, int] | None = None
    engine: str | None = None
    gallery_id: str | None = None
    gallery_revision: int | None = None
    threshold: float | None = None
    reason: str | None = None
    thumbnail: bytes | None = None
    dropped: dict[str, int] | msgspec.UnsetType = msgspec.UNSET
    probe: bytes | msgspec.UnsetType = msgspec.UNSET


def uuid7(moment: datetime, randomness: bytes) -> UUID:
    """A UUIDv7 (RFC 9562, 5.7): 48 bits of milliseconds since 1970, then 74 of the 80 bits of `randomness`."""
    milliseconds = int(moment.timestamp() * 1000) & (1 << 48) - 1
    value = milliseconds << 80 | int.from_bytes(randomness[:10], "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return UUID(int=value)


def original_message(event: Event) -> dict[str, Any]:
    """What the original service posted to a webhook for this event."""
    return original_fields(event.name, event.distance, event.captured_at)


def original_fields(name: str | None, distance: float | None, captured_at: datetime) -> dict[str, Any]:
    """The three fields of the original's webhook: distance to four places, time in whole seconds."""
    return {
        "name": name,
        "distance": None if distance is None else round(distance, 4),
        "timestamp": int(captured_at.timestamp()),
    }
