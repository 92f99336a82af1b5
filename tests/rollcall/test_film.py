from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from faces.engine import Engine, images
from rollcall import film


def test_the_same_seed_gives_the_same_film(data: Path, engine: Engine) -> None:
    picture = images.load((data / "portraits" / "biden.jpg").read_bytes())
    scenes = [film.Scene(None, None, 0.2), film.Scene(picture, engine.detect(picture)[0].box, 0.4)]
    first, second = list(film.frames(scenes)), list(film.frames(scenes))
    assert len(first) == 9
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert not np.array_equal(first[0], next(film.frames(scenes, seed=1)))


def test_a_film_is_read_back_with_its_face_in_it(tmp_path: Path, data: Path, engine: Engine) -> None:
    picture = images.load((data / "portraits" / "biden.jpg").read_bytes())
    scene = film.Scene(picture, engine.detect(picture)[0].box, 1.0)
    assert film.write(tmp_path / "a.avi", film.frames([scene])) == film.FPS
    capture = cv2.VideoCapture(str(tmp_path / "a.avi"))
    there, bgr = capture.read()
    capture.release()
    assert there
    assert bgr.shape == (film.HEIGHT, film.WIDTH, 3)
    (face,) = engine.detect(np.ascontiguousarray(bgr[:, :, ::-1]))
    assert 60 <= face.box.height <= 80
