"""Reading a batch of events: each on its own, so that a bad one is refused alone."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from control_plane.api.route import JSON, dated, decoded, plain
from control_plane.api.wireform import unreadable
from control_plane.plane import EVENTS_AT_ONCE
from control_plane.problems import TooLarge
from control_plane.store.events import Arrival, body_hash
from faces.errors import Invalid
from faces.events import Event, EventKind, Status
from faces.texts import acts
from faces.wire import MSGPACK, EventBatch, Verdict, decode

MOST_EVENTS = 10_000
MOST_BYTES = 32 << 20
MOST_THUMBNAIL_BYTES = 1 << 16
LONGEST_TEXT = 200
LONGEST_ID = 64
MOST_COUNTS = 16
BEYOND_BIGINT = 1 << 63

_READERS: dict[str, Any] = {MSGPACK: decode, JSON: decoded}


@dataclass(frozen=True, slots=True)
class Received:
    """A batch as it came: the events that could be read, and the verdicts on the others by their place in it."""

    events: Sequence[Event]
    hashes: Sequence[bytes]
    refused: dict[int, Verdict]
    clock_offset_s: float | None

    def arrivals(self, edge_id: str) -> list[Arrival]:
        """The events that could be read, in parts that are committed one after the other."""
        return [
            Arrival(
                edge_id=edge_id,
                events=self.events[start : start + EVENTS_AT_ONCE],
                hashes=self.hashes[start : start + EVENTS_AT_ONCE],
                clock_offset_s=self.clock_offset_s,
            )
            for start in range(0, len(self.events), EVENTS_AT_ONCE) or (0,)
        ]

    def merged(self, verdicts: Sequence[Verdict]) -> list[Verdict]:
        """The verdicts on all events, in the batch's order, from those on the ones that could be read."""
        rest = iter(verdicts)
        size = len(verdicts) + len(self.refused)
        return [self.refused[i] if i in self.refused else next(rest) for i in range(size)]


class _Named(msgspec.Struct):
    """As much as is needed to say which event was refused."""

    id: Any = None


def received(data: bytes, media_type: str, coding: str = "") -> Received:
    """A batch from its bytes; raises Invalid if it is none, TooLarge if it is too long, Unsupported."""
    read = _READERS.get(media_type)
    if read is None or coding not in ("", "identity", "gzip"):
        raise unreadable(f"{coding} {media_type}".strip())
    if coding == "gzip":
        data = unzipped(data)
    batch: EventBatch = read(data, EventBatch)
    if len(batch.events) > MOST_EVENTS:
        raise TooLarge(f"a batch has at most {MOST_EVENTS} events", remedy="Send fewer at once.")
    events: list[Event] = []
    refused: dict[int, Verdict] = {}
    for place, raw in enumerate(batch.events):
        try:
            events.append(_checked(read(raw, Event)))
        except Invalid as error:
            refused[place] = Verdict(_id_of(read, raw), "refused", error.message)
    return Received(events, [body_hash(e) for e in events], refused, _offset(batch.clock_offset_s))


def _offset(clock_offset_s: float | None) -> float | None:
    return clock_offset_s if clock_offset_s is not None and math.isfinite(clock_offset_s) else None


def unzipped(data: bytes) -> bytes:
    """A gzip body as it was; raises Invalid for what is none, TooLarge for what would be larger than a body may be."""
    unzip = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        whole = unzip.decompress(data, MOST_BYTES)
    except zlib.error as error:
        raise Invalid(f"the body is not gzip: {error}") from error
    if unzip.unconsumed_tail:
        raise TooLarge(f"the body is larger than {MOST_BYTES} bytes when unpacked", remedy="Send fewer at once.")
    if not unzip.eof or unzip.unused_data:
        raise Invalid("the body is not one whole gzip")
    return whole


def _id_of(read: Any, raw: msgspec.Raw) -> str:
    try:
        found = read(raw, _Named).id
    except Invalid:
        return ""
    return found[:LONGEST_ID] if isinstance(found, str) else ""


def _checked(event: Event) -> Event:
    """The event; raises Invalid for what the log cannot hold or no camera can have seen."""
    if event.captured_at.tzinfo is None:
        raise Invalid("captured_at has no time zone")
    if not dated(event.captured_at):
        raise Invalid("captured_at is before the year 1 or after the year 9999")
    if event.status is Status.NO_FACE or (event.status is None) == (event.kind is EventKind.DECISION):
        raise Invalid("status: a decision is PASS or REJECT, and nothing else has one")
    if event.dropped and (event.kind is not EventKind.EVENTS_DROPPED or not _countable(event.dropped)):
        raise Invalid("dropped: it is a count for each of a few words, of events_dropped alone")
    if not event.camera:
        raise Invalid("camera is empty")
    for field, longest in _TEXTS.items():
        text = getattr(event, field)
        if text is not None and (len(text) > longest or acts(text)):
            raise Invalid(f"{field} is too long, or holds characters that are no text")
    for field in ("distance", "runner_up_distance", "threshold"):
        if not math.isfinite(getattr(event, field) or 0):
            raise Invalid(f"{field} is not a finite number")
    for field in ("track", "gallery_revision"):
        if abs(getattr(event, field) or 0) >= BEYOND_BIGINT:
            raise Invalid(f"{field} is too large")
    if event.thumbnail is not None and len(event.thumbnail) > MOST_THUMBNAIL_BYTES:
        raise Invalid(f"thumbnail is larger than {MOST_THUMBNAIL_BYTES} bytes")
    return event


def _countable(dropped: dict[str, int]) -> bool:
    return len(dropped) <= MOST_COUNTS and all(
        len(word) <= LONGEST_ID and plain(word) and 0 <= count < BEYOND_BIGINT for word, count in dropped.items()
    )


_TEXTS = {
    "camera": LONGEST_TEXT,
    "name": LONGEST_TEXT,
    "reason": LONGEST_TEXT,
    "identity_id": LONGEST_ID,
    "engine": LONGEST_ID,
    "gallery_id": LONGEST_ID,
}
