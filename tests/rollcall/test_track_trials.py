from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from faces.encoding import SFACE, Matrix, Vector
from faces.engine import Engine
from faces.face import Picture
from rollcall.track_trials import (
    FILMED,
    FRAMES,
    Remembering,
    Shot,
    Subject,
    Trial,
    gallery,
    of_person,
    shoot,
    splits,
    trials,
)


@pytest.fixture(scope="module")
def subjects(data: Path, engine: Engine) -> list[Subject]:
    folders = sorted((data / "people").iterdir())[:3]
    return [Subject(f.name, tuple(shoot(engine, photo) for photo in sorted(f.iterdir()))) for f in folders]


def axis(index: int) -> Vector:
    vector = np.zeros(128, np.float32)
    vector[index] = 1
    return vector


def shot(encoding: Vector | None) -> Shot:
    return Shot("a.jpg", encoding, None if encoding is not None else "too_blurred", None)


def trial(*, enrolled: bool, named: str | None, probes: int = 3) -> Trial:
    return Trial(
        person="ann",
        files=("a.jpg",),
        enrolled=enrolled,
        named=named,
        nearest=None,
        distance=None,
        runner_up_distance=None,
        probes=probes,
    )


def test_three_of_five_photos_are_enrolled_in_ten_ways() -> None:
    found = splits(3)
    assert len(set(found)) == 10
    assert all(len(set(range(5)) - set(split)) == FILMED for split in found)


@pytest.mark.parametrize(
    ("enrolled", "named", "failed"),
    [
        (True, "ann", False),
        (True, "bob", True),
        (True, None, True),
        (False, None, False),
        (False, "bob", True),
    ],
)
def test_only_the_persons_own_name_is_right_and_a_stranger_has_none(
    enrolled: bool, named: str | None, failed: bool
) -> None:
    assert trial(enrolled=enrolled, named=named).failed is failed


def test_a_failure_says_why() -> None:
    assert trial(enrolled=False, named="bob").why == "taken for bob"
    assert trial(enrolled=True, named=None, probes=2).why == "too few usable probes"
    assert trial(enrolled=True, named=None, probes=9).why == "too far"


def test_whoever_has_a_refused_photo_among_those_to_be_enrolled_is_not_in_the_gallery() -> None:
    ann, bob = Subject("ann", tuple(map(shot, [axis(0), axis(1)]))), Subject("bob", (shot(axis(2)), shot(None)))
    assert gallery(SFACE, [ann, bob], (0, 1)).ids == ("ann",)
    assert gallery(SFACE, [ann, bob], (0,)).ids == ("ann", "bob")


def test_a_refused_photo_can_still_be_filmed(data: Path, engine: Engine) -> None:
    found = shoot(engine, data / "portraits" / "two_people.jpg")
    assert (found.encoding, found.refusal) == (None, "several_faces")
    assert found.scene is not None


def test_a_file_that_is_no_photo_gives_no_film(tmp_path: Path, engine: Engine) -> None:
    (tmp_path / "a.jpg").write_bytes(b"no photo")
    found = shoot(engine, tmp_path / "a.jpg")
    assert (found.encoding, found.refusal, found.scene) == (None, "not_an_image", None)
    assert trials(engine, "ann", [found], [gallery(SFACE, [], ())], 0.45) == []


@pytest.mark.parametrize("who", range(3))
def test_a_person_passes_in_a_film_of_other_photos_and_is_a_stranger_when_left_out(
    engine: Engine, subjects: list[Subject], who: int
) -> None:
    split = (0, 1, 2)
    mated, out = of_person(engine, subjects[who], split, gallery(engine.model, subjects, split), engine.th_accept)
    assert (mated.enrolled, mated.named, mated.failed) == (True, subjects[who].name, False)
    assert (out.enrolled, out.named, out.failed) == (False, None, False)
    assert mated.files == tuple(shot.file for shot in subjects[who].shots[3:])
    assert out.distance is not None
    assert out.distance > engine.th_accept
    assert 3 <= mated.probes <= 2 * FRAMES


class Counting:
    """The real engine, counting its encodings."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.encoded = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._engine, name)

    def encode(self, picture: Picture, faces: Sequence[object], *, mirror: bool = False) -> Matrix:
        self.encoded += 1
        return self._engine.encode(picture, faces, mirror=mirror)  # type: ignore[arg-type]


def test_what_was_computed_for_one_gallery_is_not_computed_for_the_next(
    engine: Engine, subjects: list[Subject]
) -> None:
    counting = Counting(engine)
    known = gallery(engine.model, subjects[1:], (0, 1, 2))
    first, second = trials(counting, subjects[0].name, subjects[0].shots[3:], [known, known], 0.45)  # type: ignore[arg-type]
    assert first == second
    assert counting.encoded == first.probes


def test_a_picture_that_is_no_frame_of_the_film_is_never_remembered(engine: Engine, data: Path) -> None:
    remembering = Remembering(engine, frozenset())
    dark = np.zeros((64, 64, 3), np.uint8)
    assert remembering.detect(dark) == []
    assert not remembering._known
