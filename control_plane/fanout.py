"""Live frames to whoever watches, without waiting for anybody: each watcher has a mailbox of one frame a camera."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any, NamedTuple

import msgspec

from faces.events import Status
from faces.wire import FrameHeader, Seen, pack_frame

UNKNOWN = "UNKNOWN"
"""How the original names a face whose name it does not know."""


class Lens(NamedTuple):
    """A camera as it is watched: names of cameras are an edge's own."""

    edge: str
    camera: str


class Frame:
    """A live frame, in the two forms that watchers take; each is made once, however many watch."""

    def __init__(self, header: FrameHeader, jpeg: bytes | memoryview) -> None:
        self._header = header
        self._jpeg = jpeg

    @cached_property
    def packed(self) -> bytes:
        """As `wire.pack_frame` makes it."""
        return pack_frame(self._header, bytes(self._jpeg))

    @cached_property
    def original(self) -> str:
        """The original service's message: the first face in its fields, all of them in `faces`."""
        header = self._header
        faces = [_face(seen) for seen in header.faces]
        first = faces[0] if faces else {"name": None, "distance": None, "status": Status.NO_FACE, "box": None}
        message = {
            "type": "face_event",
            **{name: first[name] for name in ("name", "distance", "status", "box")},
            "timestamp": int(header.captured_at.timestamp()),
            "frame": base64.b64encode(self._jpeg).decode(),
            "faces": faces,
            "site": header.site,
            "camera": header.camera,
        }
        return msgspec.json.encode(message).decode()


def _face(seen: Seen) -> dict[str, Any]:
    return {
        "name": UNKNOWN if seen.name is None else seen.name,
        "distance": None if seen.distance is None else round(seen.distance, 4),
        "status": seen.status,
        "box": list(seen.box),
        "identity_id": seen.identity_id,
        "track": seen.track,
    }


class Mailbox:
    """What waits for one watcher: the newest frame of each lens it watches. `wake` is called when there is one.

    `elsewhere`: the watcher is another control plane, which passes frames on to its own watchers.
    """

    def __init__(self, wake: Callable[[], None], *, elsewhere: bool = False) -> None:
        self.elsewhere = elsewhere
        self._wake = wake
        self._frames: dict[Lens, Frame] = {}

    def offer(self, lens: Lens, frame: Frame) -> None:
        """Put a frame in, in place of the one that was not yet taken."""
        self._frames[lens] = frame
        self._wake()

    def take(self) -> list[Frame]:
        frames, self._frames = list(self._frames.values()), {}
        return frames

    def drop(self, lens: Lens) -> None:
        self._frames.pop(lens, None)


class Pace:
    """How many frames a second somebody wants of a lens, at most. `None`: all there are."""

    def __init__(self, fps: float | None) -> None:
        self._every_s = 0.0 if fps is None else 1 / fps
        self._next = float("-inf")

    def due(self, now: float) -> bool:
        """Whether they want the frame of this moment (seconds, of a clock that never steps)."""
        if now < self._next:
            return False
        # Counted from when it was due, not from when it came: 10 of 15 frames a second are 10. No pause is made up for.
        self._next = (self._next if now - self._next < self._every_s else now) + self._every_s
        return True


class Fanout:
    """Who watches which lens. `changed` is told the edge whose watched cameras may have changed; `clock` gives seconds
    that never step."""

    def __init__(self, changed: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._changed = changed
        self._clock = clock
        self._watching: dict[Lens, dict[Mailbox, Pace]] = {}

    def watch(self, mailbox: Mailbox, lens: Lens, fps: float | None = None) -> None:
        self._watching.setdefault(lens, {})[mailbox] = Pace(fps)
        self._changed(lens.edge)

    def unwatch(self, mailbox: Mailbox, lenses: Iterable[Lens]) -> None:
        for lens in lenses:
            watchers = self._watching.get(lens, {})
            watchers.pop(mailbox, None)
            mailbox.drop(lens)
            if not watchers:
                self._watching.pop(lens, None)
            self._changed(lens.edge)

    def watched(self, edge: str) -> set[str]:
        """The cameras of an edge that somebody watches."""
        return {lens.camera for lens in self._watching if lens.edge == edge}

    def watched_here(self) -> frozenset[Lens]:
        """What is watched by others than other control planes."""
        return frozenset(lens for lens, boxes in self._watching.items() if not all(box.elsewhere for box in boxes))

    def publish(self, lens: Lens, frame: Frame, *, pass_on: bool = True) -> None:
        """Offer a frame to everybody who watches its lens; those who have not taken the last one skip it.

        `pass_on`: also to other control planes. What came from one of them is not passed on.
        """
        now = self._clock()
        for mailbox, pace in self._watching.get(lens, {}).items():
            if (pass_on or not mailbox.elsewhere) and pace.due(now):
                mailbox.offer(lens, frame)
