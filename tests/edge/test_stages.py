from __future__ import annotations

from pathlib import Path

import numpy as np

from edge.stages import Timed
from faces.engine import Engine, images


def test_a_timed_engine_finds_what_the_engine_finds(engine: Engine, data: Path) -> None:
    picture = images.load((data / "portraits" / "obama.jpg").read_bytes())
    took: list[str] = []
    clock = iter(range(100))
    timed = Timed(engine, lambda stage, seconds: took.append(f"{stage} {seconds}"), lambda: float(next(clock)))
    face = timed.refine(picture, timed.detect(picture, 0.5)[0])
    plain = engine.refine(picture, engine.detect(picture, 0.5)[0])
    assert face is not None
    assert plain is not None
    assert face.box == plain.box
    assert np.array_equal(timed.encode(picture, [face], mirror=True), engine.encode(picture, [plain], mirror=True))
    assert timed.sharpness(picture, face) == engine.sharpness(picture, plain)
    assert took == ["detect 1.0", "refine 1.0", "encode 1.0"]
    assert (timed.name, timed.model, timed.th_accept) == (engine.name, engine.model, engine.th_accept)
