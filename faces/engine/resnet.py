"""The `face_recognition` engine: the encodings of that library, for galleries that exist already.

Found by YuNet or HOG, aligned by dlib's own code, encoded by dlib's own weights in ONNX Runtime: equal to the library
within 1e-6 and 20 times faster. Alignment holds the GIL for 0.5 ms a face, the encoder does not hold it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import cv2
import dlib
import numpy as np

from faces import quality
from faces.encoding import DIMENSIONS, FACE_RECOGNITION_BGR, Matrix, Vector
from faces.engine import HOG, YUNET, chips, dlib_net, hog, models
from faces.engine.hog import Hog
from faces.engine.yunet import YuNet
from faces.face import Box, Face, Picture

PADDING: Final = 0.25
"""Margin of the chip, as in the library."""


class ResNetEngine:
    """dlib's encodings, compared by Euclidean distance.

    The model `face_recognition-bgr` swaps red and blue, as the original service did, whose galleries it is for. That
    service aligned by 68 points; probes aligned by five are recognised against its encodings as well as its own were
    (48.9 and 48.6 % of 1,600 photo pairs of one person farther apart than 0.45).
    """

    th_accept = 0.45

    def __init__(self, model: str, detector: YuNet | Hog, predictor: Any, encoder: models.Session) -> None:
        self._model = model
        self._detector = detector
        self._predictor = predictor
        self._encoder = encoder
        self._square: Callable[[Box], Any] = hog.rectangle if isinstance(detector, Hog) else square

    @classmethod
    def load(cls, model: str, *, models: Path | None = None, threads: int = 1, detector: str = YUNET) -> ResNetEngine:
        """Load from `models` or the installed packages; raises ModelFileError. `detector` is yunet or hog."""
        predictor = _predictor(models)
        finder = Hog(predictor) if detector == HOG else YuNet.load(models, threads)
        return cls(model, finder, predictor, _encoder(model, models, threads))

    @property
    def name(self) -> str:
        return self._model

    @property
    def model(self) -> str:
        return self._model

    def detect(self, picture: Picture, scale: float = 1.0) -> list[Face]:
        return self._detector.detect(picture, scale)

    def refine(self, picture: Picture, face: Face) -> Face | None:
        return self._detector.refine(picture, face)

    def encode(self, picture: Picture, faces: Sequence[Face], *, mirror: bool = False) -> Matrix:
        encodings = np.empty((len(faces), DIMENSIONS), np.float32)
        for row, face in enumerate(faces):
            upright = self.chip(picture, face)
            encodings[row] = self.encode_chip(upright)
            if mirror:
                encodings[row] = (encodings[row] + self.encode_chip(np.ascontiguousarray(upright[:, ::-1]))) / 2
        return encodings

    def sharpness(self, picture: Picture, face: Face) -> float:
        return quality.sharpness_of(chips.chip(picture, face.landmarks))

    def chip(self, picture: Picture, face: Face) -> Picture:
        """The face in 150 x 150, as the library cuts it."""
        whole = np.ascontiguousarray(picture)
        shape = self._predictor(whole, self._square(face.box))
        cut: Picture = dlib.get_face_chip(whole, shape, dlib_net.CHIP, PADDING)
        return cut

    def encode_chip(self, upright: Picture) -> Vector:
        """The encoding of a face that is aligned already."""
        (encodings,) = self._encoder.run(None, {"chip": cv2.dnn.blobFromImage(upright)})
        encoding: Vector = encodings[0]
        return encoding


def square(box: Box) -> Any:
    """The square that dlib's detector would draw where YuNet draws `box`.

    Medians over 556 photos. dlib's predictor does not take it closely: the encodings are 0.04 from those with dlib's
    own square, as they are when that square is shifted by 3 px.
    """
    size = box.area_px**0.5
    half = 0.98 * size / 2
    x, y = box.centre[0], box.centre[1] + 0.05 * size
    return hog.rectangle(Box(round(x - half), round(y - half), round(x + half), round(y + half)))


def _predictor(folder: Path | None) -> Any:
    """dlib reads the file itself, so it is checked first."""
    models.read(models.FIVE_POINTS, folder)
    return dlib.shape_predictor(str(models.find(models.FIVE_POINTS, folder)))


def _encoder(model: str, folder: Path | None, threads: int) -> models.Session:
    """The graph is built anew at each start, in 0.1 s: a copy on disk would save half of that."""
    weights = dlib_net.parse(models.read(models.RESNET, folder))
    return models.session(dlib_net.graph(weights, bgr=model == FACE_RECOGNITION_BGR), threads)
