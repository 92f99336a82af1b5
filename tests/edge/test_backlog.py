from __future__ import annotations

from itertools import accumulate

import pytest

from edge.backlog import Backlog


def kept(gaps: list[float], interval_s: float = 0.04) -> list[int]:
    """Which of the frames, that come after these gaps, are not old."""
    backlog = Backlog(interval_s)
    return [number for number, moment in enumerate(accumulate(gaps)) if not backlog.old(moment)]


@pytest.mark.parametrize(
    ("gaps", "new"),
    [
        ([0, 0.04, 0.04, 0.04], [1, 2, 3]),
        ([0, 0.001, 0.001, 0.03, 0.04, 0.04], [3, 4, 5]),
    ],
    ids=["no backlog", "read while the stream was opened"],
)
def test_what_came_while_the_stream_was_opened_is_old(gaps: list[float], new: list[int]) -> None:
    assert kept(gaps) == new


def test_what_waited_while_the_network_stood_still_is_old() -> None:
    steady, burst = [0.04] * 10, [3.0] + [0.002] * 75
    assert kept(steady + burst + [0.038] + steady) == [*range(1, 10), *range(86, 97)]


def test_what_comes_in_bunches_is_new() -> None:
    gaps = [0.04] * 10 + [0.2, 0.001, 0.001, 0.001, 0.001] * 20
    assert kept(gaps) == list(range(1, 110))


@pytest.mark.parametrize("told", [0.04, 1.0], ids=["wrong", "right"])
def test_the_usual_interval_is_learnt(told: float) -> None:
    assert kept([1.0] * 60, told)[-30:] == list(range(30, 60)), "one frame a second is no stream that stands still"


def test_no_more_than_two_seconds_are_lost_to_a_camera_that_is_faster_than_told() -> None:
    assert kept([0.008] * 300, 0.04)[0] == pytest.approx(250, abs=1)
