"""An engine whose every step is timed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from faces.encoding import Matrix
from faces.engine import Engine
from faces.face import Face, Picture

Took = Callable[[str, float], None]
"""Takes a stage and the seconds that it took."""


class Timed:
    """An engine as it is; `took` is told what each step took."""

    def __init__(self, engine: Engine, took: Took, clock: Callable[[], float] = time.perf_counter) -> None:
        self._engine = engine
        self._took = took
        self._clock = clock
        self.name, self.model, self.th_accept = engine.name, engine.model, engine.th_accept

    def detect(self, picture: Picture, scale: float = 1.0) -> list[Face]:
        began = self._clock()
        faces = self._engine.detect(picture, scale)
        self._took("detect", self._clock() - began)
        return faces

    def refine(self, picture: Picture, face: Face) -> Face | None:
        began = self._clock()
        refined = self._engine.refine(picture, face)
        self._took("refine", self._clock() - began)
        return refined

    def encode(self, picture: Picture, faces: Sequence[Face], *, mirror: bool = False) -> Matrix:
        began = self._clock()
        encodings = self._engine.encode(picture, faces, mirror=mirror)
        self._took("encode", self._clock() - began)
        return encodings

    def sharpness(self, picture: Picture, face: Face) -> float:
        return self._engine.sharpness(picture, face)
