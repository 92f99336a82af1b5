from __future__ import annotations

from pathlib import Path

import numpy as np

from faces.corrections import TOO_CLOSE, too_close
from faces.encoding import SFACE, distances, unit
from faces.engine import Engine
from faces.engine.enroll import enroll


def turned(distance: float) -> np.ndarray:
    """A unit vector so far, by cosine distance, from the first axis."""
    cosine = 1 - distance
    vector = np.zeros(128, np.float32)
    vector[0], vector[1] = cosine, np.sqrt(1 - cosine**2)
    return vector


def test_a_correction_nearer_than_the_limit_is_too_close_and_one_beyond_it_is_not() -> None:
    own = turned(0.0)[None]
    assert too_close(SFACE, own, turned(TOO_CLOSE - 0.01))
    assert not too_close(SFACE, own, turned(TOO_CLOSE + 0.01))


def test_a_correction_nearer_to_half_the_photos_than_these_are_to_each_other_is_too_close() -> None:
    own = np.stack([turned(0.0), unit(np.eye(128, dtype=np.float32)[2])])
    assert distances(SFACE, own, own)[0, 1] > 0.9
    assert too_close(SFACE, own, turned(0.5))
    near_each_other = np.stack([turned(0.0), turned(0.1)])
    assert not too_close(SFACE, near_each_other, -turned(0.5))


def test_somebody_without_encodings_has_nothing_to_lose() -> None:
    assert not too_close(SFACE, np.empty((0, 128), np.float32), turned(0.0))


def test_of_real_faces_the_persons_own_photo_is_too_close_and_a_strangers_is_not(data: Path, engine: Engine) -> None:
    photos = ("obama.jpg", "obama2.jpg", "biden.jpg", "alex-lacamoire.png")
    first, second, *others = (enroll(engine, (data / "portraits" / p).read_bytes()).encoding for p in photos)
    assert too_close(SFACE, first[None], first)
    assert too_close(SFACE, first[None], second)
    assert not any(too_close(SFACE, np.stack([first, second]), other) for other in others)
