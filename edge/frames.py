"""Frames, and what was seen in them, as values that pass from part to part."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import msgspec
import numpy as np
import numpy.typing as npt

from faces.engine import images
from faces.events import Event
from faces.face import Box, Picture
from faces.wire import FrameHeader, Seen

THUMBNAIL_PX = 128
"""Longer side, at most, of an event's picture of the face."""

LIVE_PX = 1280
"""Longer side, at most, of a live frame."""

CUT = 20
"""Mean difference of two pictures' values (0 to 255) that makes a cut: 27 and more in films, at most 14 by moving."""


SAMPLES, CELL = 320, 8
"""A picture's width in samples, and the samples on either side of a cell whose mean is watched for motion: 16 pixels of
640, which a face worth a look fills, and over which a sensor's noise is nearly nothing."""

MOVED = 6
"""Difference of a cell's means (0 to 255) that is motion: a sensor's noise of 8, which is a lot, makes 5.7 at most."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A picture of a camera. `captured_at` is the wall clock, UTC; `moment` the same in seconds of a clock that never
    steps: intervals are measured with it."""

    camera: str
    number: int
    captured_at: datetime
    moment: float
    picture: Picture

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        height, width = self.picture.shape[:2]
        return width, height


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What an event keeps of the frame that decided it: when, where in a picture of which size, and the face."""

    captured_at: datetime
    box: Box
    size: tuple[int, int]
    thumbnail: Picture

    @classmethod
    def of(cls, frame: Frame, box: Box) -> Evidence:
        return cls(frame.captured_at, box, frame.size, thumbnail(frame.picture, box))


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """What was seen in a frame, most important face first, and the events that came of it."""

    frame: Frame
    seen: tuple[Seen, ...]
    events: tuple[Event, ...]


def thumbnail(picture: Picture, box: Box) -> Picture:
    """The face with some room around it, at most THUMBNAIL_PX wide and high."""
    height, width = picture.shape[:2]
    area = box.grown(1.5).clipped(width, height)
    return images.shrink(picture[area.y1 : area.y2, area.x1 : area.x2], THUMBNAIL_PX).copy()


class Cuts:
    """Notices when one picture does not follow from the one before: a cut, a camera that was turned, a light."""

    def __init__(self) -> None:
        self._before: npt.NDArray[np.int16] | None = None

    def at(self, picture: Picture) -> bool:
        """Whether the scene changed with this picture."""
        coarse = picture[::16, ::16].astype(np.int16)
        before, self._before = self._before, coarse
        if before is None or before.shape != coarse.shape:
            return True
        return bool(np.abs(coarse - before).mean() > CUT)


class Stillness:
    """Tells whether anything has moved since a picture that was looked at."""

    def __init__(self) -> None:
        self._now: npt.NDArray[np.int32] | None = None
        self._looked_at: npt.NDArray[np.int32] | None = None

    def at(self, picture: Picture) -> bool:
        """Whether this picture shows what the one that was looked at last did."""
        now = self._now = _cells(picture)
        before = self._looked_at
        return (
            before is not None
            and before.shape == now.shape
            and int(np.abs(now - before).max(initial=0)) <= MOVED * CELL**2
        )

    def looked(self) -> None:
        """The picture given last has been looked at."""
        self._looked_at = self._now


def _cells(picture: Picture) -> npt.NDArray[np.int32]:
    """The sum of the green samples of each cell; samples at the edges that fill none are left out."""
    step = max(1, picture.shape[1] // SAMPLES)
    green = picture[::step, ::step, 1]
    rows, columns = (side // CELL for side in green.shape)
    lines = green[: rows * CELL, : columns * CELL].reshape(rows, CELL, columns * CELL).sum(axis=1, dtype=np.int32)
    cells: npt.NDArray[np.int32] = lines.reshape(rows, columns, CELL).sum(axis=2, dtype=np.int32)
    return cells


def live(sight: Sight) -> tuple[FrameHeader, Picture]:
    """A live frame: the picture with at most LIVE_PX on its longer side, and what is said of it."""
    frame = sight.frame
    picture = images.shrink(frame.picture, LIVE_PX)
    height, width = picture.shape[:2]
    faces = [_scaled(seen, width / frame.size[0]) for seen in sight.seen]
    return FrameHeader(
        camera=frame.camera, captured_at=frame.captured_at, width=width, height=height, faces=faces
    ), picture


def _scaled(seen: Seen, factor: float) -> Seen:
    x1, y1, x2, y2 = (round(edge * factor) for edge in seen.box)
    return msgspec.structs.replace(seen, box=(x1, y1, x2, y2))
