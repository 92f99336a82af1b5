from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from edge.frames import CELL, LIVE_PX, THUMBNAIL_PX, Cuts, Evidence, Frame, Sight, Stillness, live, thumbnail
from faces.events import Status
from faces.face import Box, Picture
from faces.wire import Seen

NOON = datetime(2025, 6, 1, 12, 0, tzinfo=UTC)


def picture(width: int, height: int, value: int = 0) -> Picture:
    return np.full((height, width, 3), value, np.uint8)


def frame(width: int = 640, height: int = 360) -> Frame:
    return Frame("door", 1, NOON, 0.0, picture(width, height))


@pytest.mark.parametrize(
    ("box", "shape"),
    [
        (Box(100, 100, 148, 160), (90, 72, 3)),
        (Box(100, 100, 400, 400), (THUMBNAIL_PX, THUMBNAIL_PX, 3)),
        (Box(-20, -20, 20, 20), (30, 30, 3)),
    ],
)
def test_a_thumbnail_shows_the_face_and_some_room(box: Box, shape: tuple[int, int, int]) -> None:
    assert thumbnail(picture(640, 480), box).shape == shape


def test_a_thumbnail_does_not_keep_the_whole_picture_alive() -> None:
    assert thumbnail(picture(640, 480), Box(100, 100, 150, 150)).base is None


def test_evidence_says_when_and_where() -> None:
    evidence = Evidence.of(frame(), Box(10, 10, 50, 50))
    assert (evidence.captured_at, evidence.box, evidence.size) == (NOON, Box(10, 10, 50, 50), (640, 360))


def test_a_live_frame_is_made_smaller_and_its_boxes_with_it() -> None:
    seen = Seen(box=(400, 200, 600, 500), status=Status.PASS, name="Ada", identity_id="7", distance=0.3, track=4)
    header, small = live(Sight(frame(2560, 1440), (seen,), ()))
    assert small.shape == (720, LIVE_PX, 3)
    assert (header.camera, header.captured_at, header.width, header.height) == ("door", NOON, 1280, 720)
    assert header.faces == [
        Seen(box=(200, 100, 300, 250), status=Status.PASS, name="Ada", identity_id="7", distance=0.3, track=4)
    ]


def test_a_small_frame_is_sent_as_it_is() -> None:
    seen = Seen(box=(4, 2, 6, 5), status=Status.REJECT)
    sight = Sight(frame(), (seen,), ())
    header, same = live(sight)
    assert same is sight.frame.picture
    assert header.faces == [seen]


def test_a_cut_is_noticed_and_a_small_change_is_not() -> None:
    cuts = Cuts()
    assert cuts.at(picture(640, 360, 100)), "the first picture follows from nothing"
    assert not cuts.at(picture(640, 360, 110))
    assert cuts.at(picture(640, 360, 140))
    assert cuts.at(picture(320, 180, 140)), "another resolution is another scene"


def noisy(value: float, chance: np.random.Generator, size: tuple[int, int] = (360, 640)) -> Picture:
    return np.clip(chance.normal(value, 5, (*size, 3)), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("size", [(360, 640), (1080, 1920), (50, 70), (7, 5)])
def test_a_sensor_s_noise_is_still_and_a_small_thing_that_comes_is_not(size: tuple[int, int]) -> None:
    chance, stillness = np.random.default_rng(0), Stillness()
    assert not stillness.at(noisy(120, chance, size)), "nothing has been looked at yet"
    stillness.looked()
    if min(size) < CELL:
        return
    assert all(stillness.at(noisy(120, chance, size)) for _ in range(10))
    picture = noisy(120, chance, size)
    side = max(24, size[1] // 20)
    picture[11 : 11 + side, 11 : 11 + side] += 25
    assert not stillness.at(picture)
    assert not stillness.at(picture), "until it has been looked at"
    stillness.looked()
    assert stillness.at(picture)


def test_what_changes_slowly_has_moved_in_the_end() -> None:
    stillness, light = Stillness(), np.arange(120, 140)
    pictures = [np.full((360, 640, 3), value, np.uint8) for value in light]
    stillness.at(pictures[0])
    stillness.looked()
    assert [stillness.at(picture) for picture in pictures] == [value - 120 <= 6 for value in light]
