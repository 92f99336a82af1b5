"""YuNet, the detector: a picture in, boxes with five landmarks out."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from faces.engine import graphs, images, models
from faces.face import Box, Face, Landmarks, Picture

Floats = npt.NDArray[np.float32]

SCORE = 0.7
"""A detection counts from this score on, 0 to 1."""

OVERLAP = 0.3
"""Of two detections that overlap by more than this (intersection over union), the better one stays."""

STRIDES = (8, 16, 32)
OUTPUTS = [f"{kind}_{stride}" for stride in STRIDES for kind in ("cls", "obj", "bbox", "kps")]

LOOK_PX = 128
"""Side of the square to which `refine` brings a face's surroundings."""

LOOKS = (1.4, 1.6, 2.0)
"""How many times as wide as the face's longer side those surroundings are, each time it looks.

YuNet's landmarks jump by a pixel or two with the grid of its cells; several looks average that out. Pairs of photos of
one person in Labeled Faces in the Wild (80 people, 5 photos) that are farther apart than 0.45: 13.3 % with the
landmarks of `detect` on the full picture, 11.5 % with one look, 10.1 % with these three, 9.8 % with five.
"""


class Detections(NamedTuple):
    """What one run finds, in pixels of the picture it ran on.

    `scores` has shape (n,), `corners` (n, 4) as x1, y1, x2, y2, `landmarks` (n, 5, 2).
    """

    scores: Floats
    corners: Floats
    landmarks: Floats


class YuNet:
    """The detector. Its methods may be called from several threads at once."""

    def __init__(self, session: models.Session) -> None:
        self._session = session

    @classmethod
    def load(cls, models_folder: Path | None = None, threads: int = 1) -> YuNet:
        content = models.read(models.YUNET, models_folder)
        return cls(models.session(graphs.yunet(content), threads))

    def detect(self, picture: Picture, scale: float = 1.0) -> list[Face]:
        """All faces, largest first, found on the picture reduced by `scale` (0 < scale <= 1)."""
        reduced = images.scaled(picture, scale) if scale < 1 else picture
        return _faces(self.run(reduced), _factors(picture, reduced), np.zeros(2, np.float32), exact=scale >= 1)

    def refine(self, picture: Picture, face: Face) -> Face | None:
        """The same face, measured on its surroundings cut from the full picture; None if it is not found there."""
        seen = [found for factor in LOOKS if (found := self._look(picture, face.box, factor)) is not None]
        return _mean(seen) if seen else None

    def _look(self, picture: Picture, box: Box, factor: float) -> Face | None:
        """The face at `box`, found on a square `factor` times as wide, brought to `LOOK_PX`."""
        side = max(1, round(max(box.width, box.height) * factor))
        left, top = (round(middle - side / 2) for middle in box.centre)
        height, width = picture.shape[:2]
        area = Box(left, top, left + side, top + side).clipped(width, height)
        if area.size == 0:
            return None
        cut = picture[area.y1 : area.y2, area.x1 : area.x2]
        seen = images.scaled(cut, LOOK_PX / side)
        offset = np.array([area.x1, area.y1], np.float32)
        faces = _faces(self.run(seen), _factors(cut, seen), offset, exact=True)
        best = max(faces, key=lambda other: other.box.overlap(box), default=None)
        return best if best is not None and best.box.overlap(box) > OVERLAP else None

    def run(self, picture: Picture) -> Detections:
        """The detections on this very picture, best first."""
        height, width = picture.shape[:2]
        pad_y, pad_x = -height % STRIDES[-1], -width % STRIDES[-1]
        if pad_y or pad_x:
            picture = cv2.copyMakeBorder(picture, 0, pad_y, 0, pad_x, cv2.BORDER_CONSTANT)
        outputs = self._session.run(OUTPUTS, {"input": cv2.dnn.blobFromImage(picture)})
        columns = [(width + pad_x) // stride for stride in STRIDES]
        levels = [
            _decode(stride, columns[i], *(output[0] for output in outputs[4 * i : 4 * i + 4]))
            for i, stride in enumerate(STRIDES)
        ]
        return _suppressed(Detections(*(np.concatenate(parts) for parts in zip(*levels, strict=True))))


def _decode(stride: int, columns: int, cls: Floats, obj: Floats, bbox: Floats, kps: Floats) -> Detections:
    """Detections of one level, whose cells are `stride` pixels wide and stand in rows of `columns`."""
    scores = np.sqrt(cls[:, 0] * obj[:, 0])
    (cells,) = np.nonzero(scores >= SCORE)
    corner = np.stack((cells % columns, cells // columns), axis=1).astype(np.float32)
    centre = (corner + bbox[cells, :2]) * stride
    half = np.exp(bbox[cells, 2:]) * stride / 2
    landmarks = (corner[:, None] + kps[cells].reshape(-1, 5, 2)) * stride
    return Detections(scores[cells], np.concatenate((centre - half, centre + half), axis=1), landmarks)


def _suppressed(found: Detections) -> Detections:
    """Without those that a better one covers."""
    boxes = [(float(x1), float(y1), float(x2 - x1), float(y2 - y1)) for x1, y1, x2, y2 in found.corners]
    kept = cv2.dnn.NMSBoxes(boxes, found.scores.tolist(), SCORE, OVERLAP) if boxes else []
    keep = np.asarray(kept, dtype=np.intp)
    return Detections(*(part[keep] for part in found))


def _factors(picture: Picture, scaled: Picture) -> Floats:
    """How many pixels of `picture` one of `scaled` stands for, across and down."""
    return np.array([picture.shape[1] / scaled.shape[1], picture.shape[0] / scaled.shape[0]], np.float32)


def _faces(found: Detections, factors: Floats, offset: Floats, *, exact: bool) -> list[Face]:
    """Detections on a part of a picture as faces of that picture, largest first."""
    corners = (found.corners.reshape(-1, 2, 2) * factors + offset).reshape(-1, 4)
    landmarks: Landmarks = found.landmarks * factors + offset
    faces = [
        Face(Box(*(round(float(edge)) for edge in corner)), points, float(score), exact)
        for score, corner, points in zip(found.scores, corners, landmarks, strict=True)
    ]
    return sorted(faces, key=lambda face: -face.box.area_px)


def _mean(seen: list[Face]) -> Face:
    """What several looks at one face agree on."""
    edges = np.mean([face.box for face in seen], axis=0)
    landmarks: Landmarks = np.mean([face.landmarks for face in seen], axis=0, dtype=np.float32)
    score = sum(face.score for face in seen) / len(seen)
    return Face(Box(*(round(float(edge)) for edge in edges)), landmarks, score, exact=True)
