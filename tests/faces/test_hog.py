"""The HOG detector finds what the library finds, with landmarks like YuNet's."""

from __future__ import annotations

from pathlib import Path

import dlib
import face_recognition
import numpy as np
import pytest

from faces.engine import images, models
from faces.engine.hog import Hog, five
from faces.engine.yunet import YuNet
from faces.face import Picture


@pytest.fixture(scope="module")
def hog() -> Hog:
    return Hog(dlib.shape_predictor(str(models.find(models.FIVE_POINTS))))


@pytest.fixture(scope="module")
def pictures(data: Path) -> list[Picture]:
    return [images.load(path.read_bytes()) for path in sorted((data / "people").glob("*/*_0004.jpg"))[:12]]


def test_faces_are_where_the_library_finds_them(hog: Hog, pictures: list[Picture]) -> None:
    found = 0
    for picture in pictures:
        theirs = {(left, top, right + 1, bottom + 1) for top, right, bottom, left in _locations(picture)}
        faces = hog.detect(picture)
        assert {tuple(face.box.clipped(picture.shape[1], picture.shape[0])) for face in faces} == theirs
        assert all(0.7 <= face.score <= 1 and face.exact for face in faces)
        found += len(faces)
    assert found >= 12


def _locations(picture: Picture) -> list[tuple[int, int, int, int]]:
    locations: list[tuple[int, int, int, int]] = face_recognition.face_locations(picture)
    height, width = picture.shape[:2]
    return [(top, min(right, width - 1), min(bottom, height - 1), left) for top, right, bottom, left in locations]


def test_landmarks_are_near_yunets(hog: Hog, pictures: list[Picture]) -> None:
    yunet = YuNet.load()
    gaps = []
    for picture in pictures:
        face = hog.detect(picture)[0]
        theirs = max(yunet.detect(picture), key=lambda other: other.box.overlap(face.box))
        across = np.linalg.norm(theirs.landmarks[1] - theirs.landmarks[0])
        gaps.append(np.linalg.norm(face.landmarks - theirs.landmarks, axis=1).mean() / across)
    assert np.mean(gaps) < 0.15


def test_a_reduced_picture_gives_boxes_in_pixels_of_the_full_one(hog: Hog, data: Path) -> None:
    picture = images.load((data / "portraits" / "obama.jpg").read_bytes())
    (full,), (reduced,) = hog.detect(picture, 0.6), hog.detect(picture, 0.3)
    assert full.box.overlap(reduced.box) > 0.7
    assert hog.refine(picture, reduced) is reduced


def test_an_empty_picture_has_no_faces(hog: Hog) -> None:
    assert hog.detect(np.zeros((60, 80, 3), np.uint8)) == []


def test_five_points_in_one_place_give_finite_landmarks() -> None:
    assert np.isfinite(five(np.full((5, 2), 40.0))).all()
