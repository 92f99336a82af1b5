"""dlib's HOG detector: what the original service and `face_recognition` find faces with.

Frontal faces from about 40 px on. dlib holds the GIL while it searches (11 ms at 640 x 360), so that other threads
wait: YuNet is quicker, finds more, and lets them run.
"""

from __future__ import annotations

import math
from typing import Any, Final

import dlib
import numpy as np
import numpy.typing as npt

from faces.engine import images
from faces.face import Box, Face, Landmarks, Picture

UPSAMPLED: Final = 1
"""How often the picture is doubled before the search, as the library does."""


class Hog:
    """The detector with dlib's five-point predictor, which measures on the full picture: all its faces are exact."""

    def __init__(self, predictor: Any) -> None:
        self._predictor = predictor
        self._detector = dlib.get_frontal_face_detector()

    def detect(self, picture: Picture, scale: float = 1.0) -> list[Face]:
        reduced = images.scaled(picture, scale) if scale < 1 else picture
        found, scores, _ = self._detector.run(np.ascontiguousarray(reduced), UPSAMPLED, 0.0)
        factors = picture.shape[1] / reduced.shape[1], picture.shape[0] / reduced.shape[0]
        boxes = [_box(rectangle, *factors) for rectangle in found]
        faces = [
            Face(box, self._landmarks(picture, box), 1 - 0.3 * math.exp(-score), exact=True)
            for box, score in zip(boxes, scores, strict=True)
        ]
        return sorted(faces, key=lambda face: -face.box.area_px)

    def refine(self, picture: Picture, face: Face) -> Face | None:
        return face

    def _landmarks(self, picture: Picture, box: Box) -> Landmarks:
        shape = self._predictor(np.ascontiguousarray(picture), rectangle(box))
        return five(np.array([(point.x, point.y) for point in shape.parts()], np.float64))


def rectangle(box: Box) -> Any:
    """A box as dlib draws it: right and bottom lie just inside."""
    return dlib.rectangle(box.x1, box.y1, box.x2 - 1, box.y2 - 1)


def five(points: npt.NDArray[np.float64]) -> Landmarks:
    """Our five landmarks from dlib's five points: the corners of the left eye, of the right eye, the base of the nose.

    dlib has no mouth: nose tip and mouth corners are where they are in the mean of 556 photos for that base of the nose
    (to 0.06 of the distance between the eyes; by least squares).
    """
    corners = points[:, 0] + 1j * points[:, 1]
    left, right = corners[:2].mean(), corners[2:4].mean()
    across, middle = left - right, (left + right) / 2
    base = (corners[4] - middle) / (across or 1)
    nose = 1.3 * base.real + 1j * (0.52 * base.imag + 0.18)
    mouth = 0.14 * base.real + 1j * (0.66 * base.imag + 0.56)
    marks = np.array([right, left, *(middle + across * mark for mark in (nose, mouth - 0.42, mouth + 0.42))])
    return np.stack((marks.real, marks.imag), axis=1).astype(np.float32)


def _box(rectangle: Any, across: float, down: float) -> Box:
    return Box(
        round(rectangle.left() * across),
        round(rectangle.top() * down),
        round((rectangle.right() + 1) * across),
        round((rectangle.bottom() + 1) * down),
    )
