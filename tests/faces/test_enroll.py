"""A photo yields the encoding of its one person, or the reason why not, with figures and a remedy."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from faces.encoding import distances
from faces.engine import Engine, images
from faces.engine.enroll import Enrolled, Limits, enroll, prominence
from faces.errors import Reason, Refused
from faces.face import Box, Face, Picture


@pytest.fixture(scope="module")
def obama(data: Path) -> Picture:
    return images.load((data / "portraits" / "obama.jpg").read_bytes())


@pytest.fixture(scope="module")
def enrolled(engine: Engine, obama: Picture) -> Enrolled:
    return enroll(engine, images.jpeg(obama))


def refusal(engine: Engine, picture: Picture, limits: Limits | None = None) -> Refused:
    with pytest.raises(Refused) as caught:
        enroll(engine, images.jpeg(picture, 95), limits or Limits())
    assert caught.value.remedy
    return caught.value


def test_a_portrait_gives_an_encoding_a_face_and_its_quality(enrolled: Enrolled) -> None:
    assert np.linalg.norm(enrolled.encoding) == pytest.approx(1, abs=1e-5)
    assert enrolled.face.exact
    assert enrolled.quality.weaknesses == ()
    assert enrolled.face.box.clipped(enrolled.picture.shape[1], enrolled.picture.shape[0]) == enrolled.face.box


def test_hostile_21_a_photo_without_a_face_is_refused(engine: Engine, obama: Picture, enrolled: Enrolled) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (300, 300, 3)).astype(np.uint8)
    suit = obama[enrolled.face.box.y2 + 60 :]
    for picture in (noise, suit, np.zeros((1, 1, 3), np.uint8), np.full((1, 20_000, 3), 99, np.uint8)):
        assert refusal(engine, picture).reason is Reason.NO_FACE


def test_hostile_21_two_people_are_refused_and_counted(engine: Engine, data: Path) -> None:
    picture = images.load((data / "portraits" / "two_people.jpg").read_bytes())
    refused = refusal(engine, picture)
    assert refused.reason is Reason.SEVERAL_FACES
    assert refused.detail == {"faces": 2}


def test_a_bystander_in_the_background_does_not_stand_in_the_way(engine: Engine, data: Path) -> None:
    photo = (data / "people" / "Jesse_Jackson" / "Jesse_Jackson_0001.jpg").read_bytes()
    picture = images.load(photo)
    assert len(engine.detect(picture)) >= 2
    person = enroll(engine, photo)
    assert np.hypot(*(np.array(person.face.box.centre) - 125)) < 40


def test_hostile_21_a_face_of_20_pixels_is_too_small(engine: Engine, obama: Picture, enrolled: Enrolled) -> None:
    scale = 20 / enrolled.face.box.size
    small = images.resized(obama, round(obama.shape[1] * scale), round(obama.shape[0] * scale))
    refused = refusal(engine, small)
    assert refused.reason is Reason.FACE_TOO_SMALL
    assert refused.detail["size_px"] == pytest.approx(20, abs=4)
    assert refused.detail["min_face_px"] == 48


def test_a_small_face_in_a_large_picture_is_found_and_called_too_small(
    engine: Engine, obama: Picture, enrolled: Enrolled
) -> None:
    scale = 40 / enrolled.face.box.size
    small = images.resized(obama, round(obama.shape[1] * scale), round(obama.shape[0] * scale))
    scene = np.full((2000, 3000, 3), 80, np.uint8)
    scene[900 : 900 + len(small), 1400 : 1400 + small.shape[1]] = small
    assert refusal(engine, scene).reason is Reason.FACE_TOO_SMALL


def test_a_blurred_face_is_refused_with_its_sharpness(engine: Engine, obama: Picture, enrolled: Enrolled) -> None:
    blurred = cv2.GaussianBlur(obama, (0, 0), enrolled.face.box.size / 112 * 4)
    refused = refusal(engine, blurred)
    assert refused.reason is Reason.TOO_BLURRED
    assert 0 <= refused.detail["sharpness"] < 0.4 == refused.detail["min_sharpness"]


def test_limits_are_the_callers(engine: Engine, obama: Picture, enrolled: Enrolled) -> None:
    size = enrolled.face.box.size
    assert refusal(engine, obama, Limits(min_face_px=size + 30)).reason is Reason.FACE_TOO_SMALL
    assert refusal(engine, obama, Limits(min_sharpness=1.01)).reason is Reason.TOO_BLURRED
    assert refusal(engine, obama, Limits(max_bytes=1000)).reason is Reason.TOO_LARGE
    assert refusal(engine, obama, Limits(max_pixels=1000)).reason is Reason.TOO_LARGE


def test_what_is_no_image_is_refused(engine: Engine) -> None:
    with pytest.raises(Refused) as caught:
        enroll(engine, b"GIF89a")
    assert caught.value.reason is Reason.NOT_AN_IMAGE


@pytest.mark.parametrize("side", [200, 700, 1400, 3000])
def test_a_face_that_fills_the_picture_is_found_at_any_size(
    engine: Engine, obama: Picture, enrolled: Enrolled, side: int
) -> None:
    box = enrolled.face.box
    close_up = cv2.resize(obama[box.y1 : box.y2, box.x1 : box.x2], (round(side * box.width / box.height), side))
    found = enroll(engine, images.jpeg(close_up), Limits(min_sharpness=0))
    assert distances(engine.model, found.encoding[None], enrolled.encoding[None])[0, 0] < 0.25


def test_prominence_grows_with_size_and_falls_to_zero_in_the_corners() -> None:
    picture = np.zeros((400, 600, 3), np.uint8)

    def at(x: int, y: int, half: int) -> float:
        box = Box(x - half, y - half, x + half, y + half)
        return prominence(picture, Face(box, np.zeros((5, 2), np.float32), 0.9, exact=True))

    assert at(300, 200, 50) == pytest.approx(100)
    assert at(300, 200, 50) > at(300, 200, 40) > at(450, 200, 40) > at(600, 400, 40) == 0
    assert at(700, 500, 40) == 0
