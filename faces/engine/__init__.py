"""Engines: what detects, aligns and encodes faces. The only heavy part; nothing else in `faces` imports it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from faces.encoding import FACE_RECOGNITION, FACE_RECOGNITION_BGR, SFACE, Matrix
from faces.errors import SettingError
from faces.face import Face, Picture

ENGINES = (SFACE, FACE_RECOGNITION, FACE_RECOGNITION_BGR)

YUNET, HOG = DETECTORS = ("yunet", "hog")
"""What finds the faces for a `face_recognition` engine. The `sface` engine has YuNet only."""

# OpenCV reads this limit when it is first imported. It is the second lock: `images.load` checks a file's header before
# OpenCV sees it.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", "100000000")


class Engine(Protocol):
    """One engine. Its methods may be called from several threads at once and release the GIL while they compute."""

    @property
    def name(self) -> str:
        """The engine's name, as in settings."""

    @property
    def model(self) -> str:
        """The name that each encoding of this engine bears."""

    @property
    def th_accept(self) -> float:
        """The distance up to which a probe passes where neither gallery nor edge say otherwise."""

    def detect(self, picture: Picture, scale: float = 1.0) -> list[Face]:
        """All faces, largest first, found on the picture reduced by `scale` (0 < scale <= 1).

        Boxes and landmarks are in pixels of the full picture; at a scale below 1 they are not exact.
        """

    def refine(self, picture: Picture, face: Face) -> Face | None:
        """The same face with box and landmarks measured on the full picture; None if it is not found there."""

    def encode(self, picture: Picture, faces: Sequence[Face], *, mirror: bool = False) -> Matrix:
        """Encodings of exact faces, float32 of shape (len(faces), 128), comparable by `encoding.distances`.

        `mirror` averages each with the encoding of its mirror image: one more pass, fewer misses (enrolment).
        """

    def sharpness(self, picture: Picture, face: Face) -> float:
        """How sharp the aligned face is, 0 (no edges at all) to 1."""


def load(name: str = SFACE, *, models: Path | None = None, threads: int = 1, detector: str = YUNET) -> Engine:
    """Load an engine by name. `models` is a folder whose weight files are used instead of the installed ones.

    `threads` bounds each session of ONNX Runtime, and OpenCV and numpy's matrix products in the whole process.
    Raises SettingError for an unknown name or detector, ModelFileError for a missing or altered weight file.
    """
    if name not in ENGINES:
        raise SettingError(f"ENGINE: there is no engine {name!r}", remedy=f"Use one of: {', '.join(ENGINES)}.")
    if detector not in DETECTORS or (name == SFACE and detector != YUNET):
        remedy = f"Use {YUNET}, or {HOG} with the engine {FACE_RECOGNITION} or {FACE_RECOGNITION_BGR}."
        raise SettingError(f"DETECTOR: the engine {name} has no detector {detector!r}", remedy=remedy)
    import cv2
    import threadpoolctl

    cv2.setNumThreads(threads)
    # Left alone, the library under numpy keeps a thread spinning on each core after every search.
    threadpoolctl.threadpool_limits(threads, user_api="blas")
    if name == SFACE:
        from faces.engine.sface import SFaceEngine

        return SFaceEngine.load(models=models, threads=threads)
    from faces.engine.resnet import ResNetEngine

    return ResNetEngine.load(name, models=models, threads=threads, detector=detector)
