"""Quality scores fall where a face gets worse, and say why."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import pytest

from faces import quality
from faces.engine import Engine, images
from faces.engine.chips import TEMPLATE, chip
from faces.face import Box, Face, Picture
from faces.quality import Weakness


@pytest.fixture(scope="module")
def photo(engine: Engine, data: Path) -> tuple[Picture, Face]:
    picture = images.load((data / "people" / "Bill_Clinton" / "Bill_Clinton_0001.jpg").read_bytes())
    face = engine.refine(picture, engine.detect(picture)[0])
    assert face is not None
    return picture, face


def assessed(picture: Picture, face: Face) -> quality.Quality:
    return quality.assess(picture, face, quality.sharpness_of(chip(picture, face.landmarks)))


def test_a_good_photo_has_high_scores_and_no_weakness(photo: tuple[Picture, Face]) -> None:
    found = assessed(*photo)
    assert min(found.size, found.sharpness, found.pose, found.brightness) > 0.7
    assert found.weaknesses == ()


def test_sharpness_falls_with_every_blur(photo: tuple[Picture, Face]) -> None:
    picture, face = photo
    blurs = [picture, *(cv2.GaussianBlur(picture, (0, 0), sigma) for sigma in (1, 2, 3, 5))]
    scores = [assessed(blurred, face).sharpness for blurred in blurs]
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] < quality.MIN_SHARPNESS_PROBE < quality.MIN_SHARPNESS_ENROLL < scores[0]
    assert Weakness.BLURRED in assessed(blurs[-1], face).weaknesses


@pytest.mark.parametrize("transposed", [False, True])
def test_camera_shake_in_one_direction_is_blur(photo: tuple[Picture, Face], transposed: bool) -> None:
    picture, face = photo
    line = np.full((1, 13), 1 / 13)
    shaken = cv2.filter2D(picture, -1, line.T if transposed else line)
    assert assessed(shaken, face).sharpness < 0.6 * assessed(picture, face).sharpness


def test_sharpness_does_not_depend_on_light(photo: tuple[Picture, Face]) -> None:
    picture, face = photo
    dim = (picture * 0.5).astype(np.uint8)
    assert assessed(dim, face).sharpness == pytest.approx(assessed(picture, face).sharpness, abs=0.1)


def test_a_face_without_any_edge_is_not_sharp() -> None:
    assert quality.sharpness_of(np.full((112, 112, 3), 100, np.uint8)) == 0


@pytest.mark.parametrize(("gain", "weakness"), [(0.1, Weakness.DARK), (0.5, None), (1.0, None), (2.5, Weakness.BRIGHT)])
def test_brightness_is_poor_at_both_ends(photo: tuple[Picture, Face], gain: float, weakness: Weakness | None) -> None:
    picture, face = photo
    found = assessed(np.clip(picture * gain, 0, 255).astype(np.uint8), face)
    assert found.weaknesses == ((weakness,) if weakness else ())
    assert (found.brightness < 0.5) == (weakness is not None)


def test_a_small_face_says_so() -> None:
    picture = np.full((100, 100, 3), 120, np.uint8)
    found = quality.assess(picture, Face(Box(10, 10, 50, 60), TEMPLATE / 3, 0.9, exact=True), sharpness=1)
    assert found.size_px == 40
    assert found.size == pytest.approx(0.5)
    assert found.weaknesses == (Weakness.SMALL,)


def test_a_face_outside_the_picture_is_dark_and_does_not_fail() -> None:
    face = Face(Box(200, 200, 300, 300), TEMPLATE + 200, 0.9, exact=True)
    assert quality.assess(np.full((100, 100, 3), 120, np.uint8), face, 1).brightness == 0


def head(yaw: float = 0, pitch: float = 0, roll: float = 0) -> np.ndarray:
    """Landmarks of a model head (eye distance 100), turned by degrees and seen from afar."""
    points = np.array([[-50, 0, 0], [50, 0, 0], [0, 0.56 * 115, 44], [-40, 115, 0], [40, 115, 0]])
    y, p, r = (math.radians(angle) for angle in (yaw, pitch, roll))
    about_y = np.array([[math.cos(y), 0, math.sin(y)], [0, 1, 0], [-math.sin(y), 0, math.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, math.cos(p), math.sin(p)], [0, -math.sin(p), math.cos(p)]])
    about_z = np.array([[math.cos(r), -math.sin(r), 0], [math.sin(r), math.cos(r), 0], [0, 0, 1]])
    return (points @ (about_z @ about_x @ about_y).T)[:, :2].astype(np.float32)


@pytest.mark.parametrize("angle", [-45, -20, 0, 20, 45])
def test_pose_is_read_from_a_model_head(angle: float) -> None:
    assert quality.pose_of(head(yaw=angle)).yaw == pytest.approx(angle, abs=4)
    assert quality.pose_of(head(pitch=angle)).pitch == pytest.approx(angle, abs=4)
    assert quality.pose_of(head(roll=angle)).roll == pytest.approx(angle, abs=1)


def test_a_turned_or_nodding_head_is_weak_and_a_leaning_one_is_not() -> None:
    picture = np.full((300, 300, 3), 120, np.uint8)
    turns = {(60, 0, 0): (Weakness.TURNED,), (0, 60, 0): (Weakness.TILTED,), (0, 0, 60): ()}
    for turn, weaknesses in turns.items():
        face = Face(Box(50, 50, 200, 200), head(*turn) + 100, 0.9, exact=True)
        found = quality.assess(picture, face, 1)
        assert found.weaknesses == weaknesses
        assert (found.pose < 0.6) == bool(weaknesses)


def test_all_landmarks_in_one_point_give_a_finite_pose() -> None:
    pose = quality.pose_of(np.full((5, 2), 9, np.float32))
    assert all(math.isfinite(value) for value in (pose.yaw, pose.pitch, pose.roll, pose.score))


def test_as_dict_is_plain_json() -> None:
    face = Face(Box(0, 0, 40, 40), head() + 20, 0.9, exact=True)
    plain = quality.assess(np.zeros((50, 50, 3), np.uint8), face, 0.123456).as_dict()
    assert plain["sharpness"] == 0.123
    assert plain["weaknesses"] == ["small", "blurred", "dark"]
    assert {type(value) for value in plain.values()} <= {int, float, list}
