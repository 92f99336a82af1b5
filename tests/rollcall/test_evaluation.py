from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faces.encoding import SFACE, unit
from rollcall.evaluation import Person, Trials, at, at_fpir, distance_for, rank1, rate, trials, wilson


def axis(index: int, *, lean: int | None = None, distance: float = 0.0) -> np.ndarray:
    """A unit vector along one axis, at `distance` from it towards another."""
    vector = np.zeros(128, np.float32)
    vector[index] = 1 - distance
    if lean is not None:
        vector[lean] = math.sqrt(1 - (1 - distance) ** 2)
    return unit(vector)


def person(name: str, *encodings: np.ndarray) -> Person:
    return Person(name, np.stack(encodings))


ANN = person("ann", axis(0), axis(0, lean=100, distance=0.2), axis(0, lean=101, distance=0.5))
BOB = person("bob", axis(1), axis(1, lean=102, distance=0.1), axis(1, lean=103, distance=0.3))


def test_every_photo_not_enrolled_is_one_mated_trial_in_every_rotation() -> None:
    found = trials(SFACE, [ANN, BOB], [], photos=1, probes=1, rotations=3)
    assert (found.gallery, len(found.mated), len(found.non_mated)) == (2, 12, 12)
    assert sorted(found.mated[found.mated_person == 0][:2]) == pytest.approx([0.2, 0.5], abs=1e-5)


def test_without_strangers_each_person_is_left_out_in_turn() -> None:
    found = trials(SFACE, [ANN, BOB], [], photos=1, probes=1, rotations=1)
    assert found.non_mated == pytest.approx([1, 1, 1, 1], abs=1e-5)


def test_a_stranger_is_searched_for_among_all() -> None:
    stranger = person("eve", axis(0, lean=50, distance=0.4))
    found = trials(SFACE, [ANN, BOB], [stranger], photos=1, probes=1, rotations=1)
    assert found.non_mated == pytest.approx([0.4], abs=1e-5)
    assert np.sort(found.impostors) == pytest.approx([0.4, 1.0], abs=1e-5)
    assert (at(found, 0.39).fpir.count, at(found, 0.41).fpir.count) == (0, 1)


def test_somebody_whom_the_gallery_takes_for_another_is_a_miss_at_any_distance() -> None:
    odd = person("odd", axis(5), axis(1, lean=60, distance=0.05))
    found = trials(SFACE, [person("bob", axis(1), axis(1)), odd], [], photos=1, probes=1, rotations=1)
    assert at(found, 2.0).fnir.count == 1
    assert rank1(found).count == len(found.mated) - 1


def test_probes_are_searched_by_their_mean() -> None:
    spread = person("ann", axis(0), axis(0, lean=7, distance=0.5), axis(0, lean=8, distance=0.5))
    alone = trials(SFACE, [spread, BOB], [], photos=1, probes=1, rotations=1)
    together = trials(SFACE, [spread, BOB], [], photos=1, probes=2, rotations=1)
    assert (together.mated_person == 0).sum() == 1
    assert together.mated[0] < alone.mated[0]


@given(st.lists(st.floats(0, 2, width=32), min_size=1, max_size=60), st.floats(0, 0.9))
def test_at_a_wanted_fpir_no_more_strangers_than_that_pass(nearest: list[float], fpir: float) -> None:
    array = np.asarray(nearest, np.float32)
    one = np.zeros(len(array), np.intp)
    found = Trials(1, array, one, array, one, array, 0)
    allowed = at_fpir(found, fpir)
    assert allowed.fpir.rate is not None
    assert allowed.fpir.rate <= fpir + 1e-9


def test_the_advised_distance_shrinks_as_the_gallery_grows_and_ends_where_nothing_is_known() -> None:
    impostors = np.linspace(0.3, 1.2, 100_000).astype(np.float32)
    none = np.zeros(0, np.float32)
    found = Trials(1, none, none.astype(np.intp), none, none.astype(np.intp), impostors, 0)
    advised = [distance_for(found, 0.003, gallery) for gallery in (1, 10, 100, 10_000)]
    assert advised[:3] == pytest.approx([0.3027, 0.30027, 0.300027], abs=2e-5)
    assert advised[3] is None


@pytest.mark.parametrize(
    ("share", "n", "low", "high"), [(0.0, 10, 0.0, 0.2775), (0.5, 10, 0.2366, 0.7634), (1.0, 10, 0.7225, 1.0)]
)
def test_wilsons_interval_is_the_textbooks(share: float, n: float, low: float, high: float) -> None:
    assert wilson(share, n) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


def test_failures_that_all_fall_on_one_person_count_for_less() -> None:
    people = np.repeat(np.arange(20), 5)
    spread, piled = np.zeros(100, bool), np.zeros(100, bool)
    spread[::20] = True
    piled[:5] = True

    def width(failed: np.ndarray) -> float:
        low, high = rate(failed, people).interval or (0, 0)
        return high - low

    assert width(piled) > 1.5 * width(spread)


def test_no_trials_are_no_rate() -> None:
    assert rate(np.zeros(0, bool), np.zeros(0, np.intp)).rate is None
