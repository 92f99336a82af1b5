"""A face in a picture: where it is, and its five landmarks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]
"""A picture: uint8, shape (height, width, 3), RGB, upright."""

Landmarks = npt.NDArray[np.float32]
"""Float32, shape (5, 2), pixels: right eye, left eye, nose tip, right and left mouth corner (the person's own
right and left, as YuNet gives them)."""


class Box(NamedTuple):
    """A rectangle in pixels of the full picture; x2 and y2 lie just outside. May reach beyond the picture."""

    x1: int
    y1: int
    x2: int
    y2: int

    @property
    def width(self) -> int:
        return max(0, self.x2 - self.x1)

    @property
    def height(self) -> int:
        return max(0, self.y2 - self.y1)

    @property
    def size(self) -> int:
        """The shorter side, in pixels."""
        return min(self.width, self.height)

    @property
    def area_px(self) -> int:
        return self.width * self.height

    @property
    def centre(self) -> tuple[float, float]:
        return (self.x1 + self.x2) / 2, (self.y1 + self.y2) / 2

    def clipped(self, width: int, height: int) -> Box:
        """This box cut to a picture of `width` x `height` pixels."""
        x1, y1 = min(max(self.x1, 0), width), min(max(self.y1, 0), height)
        return Box(x1, y1, min(max(self.x2, x1), width), min(max(self.y2, y1), height))

    def grown(self, factor: float) -> Box:
        """This box `factor` times as wide and high about its centre."""
        cx, cy = self.centre
        half_w, half_h = self.width * factor / 2, self.height * factor / 2
        return Box(round(cx - half_w), round(cy - half_h), round(cx + half_w), round(cy + half_h))

    def overlap(self, other: Box) -> float:
        """Intersection over union, 0 to 1."""
        width = min(self.x2, other.x2) - max(self.x1, other.x1)
        height = min(self.y2, other.y2) - max(self.y1, other.y1)
        if width <= 0 or height <= 0:
            return 0.0
        shared = width * height
        return shared / (self.area_px + other.area_px - shared)


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """A detected face, in coordinates of the full picture.

    `exact` says that box and landmarks were measured on the full picture, as an encoding needs them, and not on
    a smaller one.
    """

    box: Box
    landmarks: Landmarks
    score: float
    exact: bool
