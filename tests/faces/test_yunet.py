"""The detector finds what OpenCV's own YuNet finds, and `refine` finds it again in the full picture."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from faces.engine import images, models
from faces.engine.yunet import OVERLAP, SCORE, YuNet
from faces.face import Box, Face, Picture


@pytest.fixture(scope="module")
def yunet() -> YuNet:
    return YuNet.load()


@pytest.fixture(scope="module")
def pictures(data: Path) -> list[Picture]:
    paths = sorted((data / "people").glob("*/*_0001.jpg"))[:30] + sorted((data / "portraits").iterdir())
    return [images.load(path.read_bytes()) for path in paths]


@pytest.fixture(scope="module")
def stage(data: Path) -> Picture:
    """A frame of 640 x 360 with an audience in it."""
    film = cv2.VideoCapture(str(data / "video" / "stage.mp4"))
    film.set(cv2.CAP_PROP_POS_FRAMES, 230)
    _, frame = film.read()
    return cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)


def opencv(picture: Picture) -> np.ndarray:
    """Rows of OpenCV's detector: x, y, width, height, five landmarks, score."""
    height, width = picture.shape[:2]
    detector = cv2.FaceDetectorYN.create(str(models.find(models.YUNET)), "", (width, height), SCORE, OVERLAP)
    rows = detector.detect(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1]
    return np.empty((0, 15)) if rows is None else rows


def test_it_finds_the_faces_that_opencv_finds(yunet: YuNet, pictures: list[Picture], stage: Picture) -> None:
    compared = 0
    for picture in [*pictures, stage]:
        ours, theirs = yunet.detect(picture), opencv(picture)
        assert len(ours) == len(theirs)
        for row in theirs:
            landmarks = row[4:14].reshape(5, 2)
            face = min(ours, key=lambda face: float(np.abs(face.landmarks - landmarks).max()))
            assert np.abs(face.landmarks - landmarks).max() < 0.01
            assert np.abs(np.array([*face.box[:2], face.box.width, face.box.height]) - row[:4]).max() <= 1
            assert face.score == pytest.approx(row[14], abs=1e-4)
            compared += 1
    assert compared > 40


def test_faces_come_largest_first_and_exact_only_from_the_full_picture(yunet: YuNet, stage: Picture) -> None:
    full, half = yunet.detect(stage), yunet.detect(stage, 0.5)
    assert len(full) >= 5
    assert [face.box.area_px for face in full] == sorted((face.box.area_px for face in full), reverse=True)
    assert all(face.exact for face in full)
    assert len(half) >= 5
    assert not any(face.exact for face in half)


@pytest.mark.parametrize("scale", [0.9, 0.5, 0.31])
def test_a_reduced_picture_gives_boxes_in_pixels_of_the_full_one(
    yunet: YuNet, pictures: list[Picture], scale: float
) -> None:
    for picture in pictures[:10]:
        full, reduced = yunet.detect(picture)[0], yunet.detect(picture, scale)[0]
        assert full.box.overlap(reduced.box) > 0.7


def test_refined_landmarks_hardly_depend_on_the_scale_of_detection(yunet: YuNet, pictures: list[Picture]) -> None:
    gaps: list[tuple[float, float]] = []
    for picture in pictures[:30]:
        full, reduced = yunet.detect(picture)[0], yunet.detect(picture, 0.3)[0]
        exact, refined = yunet.refine(picture, full), yunet.refine(picture, reduced)
        assert exact is not None
        assert refined is not None
        assert refined.exact
        gaps.append((mean_error(reduced, full), mean_error(refined, exact)))
    before, after = np.mean(gaps, axis=0)
    assert after < before / 3


def mean_error(face: Face, reference: Face) -> float:
    return float(np.linalg.norm(face.landmarks - reference.landmarks, axis=1).mean() / reference.box.width)


def test_refining_keeps_to_the_face_meant_among_neighbours(yunet: YuNet, data: Path) -> None:
    picture = images.load((data / "portraits" / "two_people.jpg").read_bytes())
    faces = yunet.detect(picture)
    assert len(faces) == 2
    for face in faces:
        refined = yunet.refine(picture, face)
        assert refined is not None
        assert refined.box.overlap(face.box) > 0.6


@pytest.mark.parametrize("box", [Box(0, 0, 60, 60), Box(-500, -500, -400, -400), Box(5, 5, 5, 5)])
def test_refining_where_there_is_no_face_gives_none(yunet: YuNet, box: Box) -> None:
    nothing = Face(box, np.zeros((5, 2), np.float32), 0.9, exact=False)
    assert yunet.refine(np.full((200, 200, 3), 90, np.uint8), nothing) is None


@pytest.mark.parametrize("shape", [(1, 1), (1, 20_000), (20_000, 1), (31, 33)])
def test_pictures_of_any_shape_are_searched(yunet: YuNet, shape: tuple[int, int]) -> None:
    picture = np.full((*shape, 3), 127, np.uint8)
    assert yunet.detect(picture) == []
    assert yunet.detect(picture, 0.05) == []
