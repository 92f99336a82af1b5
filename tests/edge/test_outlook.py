from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.outlook import DARK_S, FROZEN_S, Outlook
from faces.face import Picture

chance = np.random.default_rng(8)


def grey(value: int, noise: int = 0) -> Picture:
    picture = np.full((120, 160, 3), value, np.int16) + chance.integers(-noise, noise + 1, (120, 160, 3))
    return picture.clip(0, 255).astype(np.uint8)


def views(pictures: Iterable[Picture]) -> list[tuple[int, str]]:
    """The changes of view, each with its moment: a picture a second."""
    outlook = Outlook()
    return [(moment, str(outlook.view)) for moment, picture in enumerate(pictures) if outlook.changed(picture, moment)]


def live(seconds: int) -> Iterator[Picture]:
    return (grey(100, noise=6) for _ in range(seconds))


def test_a_covered_lens_is_dark_until_it_sees() -> None:
    covered = (grey(12, noise=8) for _ in range(100))
    assert views([*live(20), *covered, *live(5)]) == [(20 + DARK_S - 1, "dark"), (120, "clear")]


def test_a_black_picture_is_dark_rather_than_frozen() -> None:
    assert views([grey(0)] * 200) == [(DARK_S, "dark")]


def test_a_lamp_in_the_night_is_something_to_see() -> None:
    def night() -> Picture:
        picture = grey(8, noise=6)
        picture[:16, :40] = 200
        return picture

    assert views(night() for _ in range(100)) == []


def test_light_that_fails_for_a_moment_is_no_event() -> None:
    assert views([*live(5), *[grey(0)] * 8, *live(5), *[grey(0)] * 8]) == []


def test_a_picture_that_stays_the_same_is_frozen_until_it_moves() -> None:
    still = [grey(100, noise=40)] * 100
    assert views([*live(20), *still, *live(5)]) == [(20 + FROZEN_S, "frozen"), (120, "clear")]


def test_coding_the_same_picture_again_does_not_move_it() -> None:
    still = grey(100, noise=40).astype(np.int16)
    coded = ((still + chance.integers(-1, 2, still.shape)).clip(0, 255).astype(np.uint8) for _ in range(70))
    assert views(coded) == [(FROZEN_S, "frozen")]


def test_a_live_picture_of_nothing_is_not_frozen() -> None:
    assert views(live(200)) == []


def test_another_size_is_another_picture() -> None:
    small, large = np.full((90, 160, 3), 99, np.uint8), np.full((180, 320, 3), 99, np.uint8)
    assert views(([small] * 40 + [large] * 40) * 2) == []


@pytest.mark.parametrize("film", ["stage.mp4", "signer-1.mkv", "signer-2.mkv", "signer-3.mkv"])
def test_films_are_clear(data: Path, film: str) -> None:
    capture, outlook, moment = cv2.VideoCapture(str(data / "video" / film)), Outlook(), 0.0
    while (read := capture.read())[0]:
        moment += 1.0
        assert not outlook.changed(read[1], moment), "though it is played so slowly"
