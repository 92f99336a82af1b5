from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from edge.frames import Evidence
from edge.tracks import FORGET_S, KEPT_PROBES, Probe, Track, Tracker
from faces.encoding import DIMENSIONS, Vector
from faces.face import Box, Face

NOON = datetime(2025, 6, 1, 12, 0, tzinfo=UTC)


def face(x: int, y: int = 100, size: int = 60) -> Face:
    return Face(Box(x, y, x + size, y + size), np.zeros((5, 2), np.float32), 0.9, False)


def vector(axis: int) -> Vector:
    result = np.zeros(DIMENSIONS, np.float32)
    result[axis] = 1
    return result


def evidence(x: int = 0) -> Evidence:
    return Evidence(NOON, Box(x, 0, 9, 9), (640, 360), np.zeros((9, 9, 3), np.uint8))


@pytest.mark.parametrize(
    ("before", "now", "same"),
    [
        (face(100), face(110), True),
        (face(100), face(140), True),
        (face(100), face(160), False),
        (face(100, size=60), face(90, 90, 80), True),
        (face(100, size=60), face(60, 60, 140), False),
    ],
)
def test_a_face_follows_its_track_as_far_as_it_can_move(before: Face, now: Face, same: bool) -> None:
    tracker = Tracker("sface")
    (first,) = tracker.update([before], 0.0)
    (second,) = tracker.update([now], 0.03)
    assert (first is second) is same


def test_each_face_takes_the_track_that_goes_with_it_best() -> None:
    tracker = Tracker("sface")
    left, right = tracker.update([face(100), face(150)], 0.0)
    # Both have moved right: the left one stands where it is nearer to where the right one was.
    assert tracker.update([face(170), face(130)], 0.03) == [right, left]


def test_no_track_is_taken_twice() -> None:
    tracker = Tracker("sface")
    (track,) = tracker.update([face(100)], 0.0)
    found = tracker.update([face(104), face(108)], 0.03)
    assert found[0] is track
    assert found[1] is not track


def test_tracks_are_numbered_and_no_number_comes_twice() -> None:
    tracker = Tracker("sface")
    (first,) = tracker.update([face(0)], 0.0)
    tracker.end(first)
    (second,) = tracker.update([face(0)], 0.1)
    assert (first.id, second.id) == (1, 2)


def test_a_track_outlives_a_short_absence_and_no_long_one() -> None:
    tracker = Tracker("sface")
    (track,) = tracker.update([face(0)], 0.0)
    assert tracker.gone(FORGET_S) == []
    assert tracker.gone(FORGET_S + 0.01) == [track]


@pytest.mark.parametrize(
    ("now", "moment", "doubtful"), [(face(105), 0.03, False), (face(130), 0.03, True), (face(100), 0.5, True)]
)
def test_a_jump_or_a_gap_makes_a_track_doubtful(now: Face, moment: float, doubtful: bool) -> None:
    tracker = Tracker("sface")
    tracker.update([face(100)], 0.0)
    (track,) = tracker.update([now], moment)
    assert track.doubtful is doubtful


def test_a_doubt_lasts_until_there_is_a_probe() -> None:
    tracker = Tracker("sface")
    tracker.update([face(100)], 0.0)
    tracker.update([face(130)], 0.03)
    (track,) = tracker.update([face(130)], 0.06)
    assert track.doubtful
    track.add(Probe(vector(0), 0.5), evidence())
    assert not track.doubtful


def track_of(*axes: int) -> Track:
    track = Track(1, "sface", face(0), 0.0)
    for axis in axes:
        track.add(Probe(vector(axis), 0.5), evidence())
    return track


@pytest.mark.parametrize(
    ("axes", "axis", "other"), [((), 0, False), ((0,), 0, False), ((0, 1), 0, False), ((0, 1), 2, True)]
)
def test_an_encoding_of_somebody_else_is_told_from_one_of_the_same(
    axes: tuple[int, ...], axis: int, other: bool
) -> None:
    assert track_of(*axes).is_other(vector(axis)) is other


def test_the_mean_is_of_unit_length() -> None:
    assert np.linalg.norm(track_of(0, 1).mean) == pytest.approx(1)


def test_probes_are_bounded_and_the_best_are_kept() -> None:
    track = Track(1, "sface", face(0), 0.0)
    qualities = [float(number * 7 % (KEPT_PROBES + 5)) for number in range(KEPT_PROBES + 5)]
    for number, quality in enumerate(qualities):
        track.add(Probe(vector(number), quality), evidence(number))
    assert sorted(probe.quality for probe in track.probes) == list(range(5, KEPT_PROBES + 5))
    assert track.taken == KEPT_PROBES + 5


def test_the_best_look_is_the_evidence() -> None:
    track = Track(1, "sface", face(0), 0.0)
    for x, quality in ((1, 0.3), (2, 0.8), (3, 0.5)):
        track.add(Probe(vector(0), quality), evidence(x))
    assert track.evidence is not None
    assert track.evidence.box.x1 == 2


def test_who_was_in_sight_stays_while_nothing_moves() -> None:
    tracker = Tracker("sface")
    here, gone = tracker.update([face(100), face(400)], 0.0)
    tracker.update([face(100)], 0.1)
    tracker.stay(0.1 + FORGET_S)
    assert tracker.gone(0.1 + FORGET_S) == [gone]
    assert tracker.in_sight == [here]
