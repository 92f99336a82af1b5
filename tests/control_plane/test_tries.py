from __future__ import annotations

import pytest

from control_plane.problems import TooManyRequests
from control_plane.tries import FORGOTTEN_AFTER_S, FREE, LONGEST_S, Tries


def waits(tries: Tries, now: float, name: str = "ann", place: str = "10.0.0.1") -> int:
    """How long a try has to wait; 0: it was made, and failed."""
    try:
        tries.begin(name, place, now)
    except TooManyRequests as error:
        return error.retry_after_s
    return 0


def test_after_some_tries_each_next_one_waits_longer_up_to_a_minute() -> None:
    tries, now, waited = Tries(), 0.0, []
    for _ in range(FREE + 9):
        wait = waits(tries, now)
        now += wait
        if wait:
            assert waits(tries, now - 0.5) > 0
            assert waits(tries, now) == 0
        waited.append(wait)
    assert waited == [0] * FREE + [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_whoever_asks_from_everywhere_is_no_quicker() -> None:
    tries = Tries()
    made = sum(waits(tries, second, place=f"10.0.{second % 250}.{second % 99}") == 0 for second in range(3600))
    assert made < FREE + 6 + 3600 / LONGEST_S + 1


def test_a_hundred_at_once_are_no_way_around_it() -> None:
    tries = Tries()
    assert [waits(tries, 0.0) for _ in range(100)].count(0) == FREE


def test_where_somebody_has_signed_in_before_they_wait_for_nobody_else() -> None:
    tries = Tries()
    waits(tries, 0.0, place="home")
    tries.succeed("ann", "home")
    for second in range(500):
        waits(tries, second, place="elsewhere")
    assert waits(tries, 500.0, place="elsewhere") > 0
    assert waits(tries, 500.0, place="home") == 0
    assert waits(tries, 500.0, name="bob", place="elsewhere") == 0


def test_success_and_time_forgive() -> None:
    tries = Tries()
    for _ in range(FREE):
        waits(tries, 0.0)
    assert waits(tries, 0.0) > 0
    tries.succeed("ann", "10.0.0.1")
    assert [waits(tries, 0.0, place="elsewhere") for _ in range(FREE + 3)].count(0) == FREE
    later = FORGOTTEN_AFTER_S + 1
    assert [waits(tries, later, place="elsewhere") for _ in range(FREE + 3)].count(0) == FREE


def test_it_remembers_no_more_than_it_may() -> None:
    tries = Tries(most=10)
    for number in range(1000):
        waits(tries, 0.0, name=f"n{number}")
        tries.succeed(f"n{number}", "home")
        waits(tries, 0.0, name=f"n{number}")
    assert len(tries._failed) <= 10
    assert len(tries._homes) <= 10


@pytest.mark.parametrize("tried", [FREE, FREE + 3])
def test_a_refused_try_is_not_counted(tried: int) -> None:
    tries, now = Tries(), 0.0
    for _ in range(tried):
        now += waits(tries, now)
        waits(tries, now)
    before = waits(tries, now)
    for _ in range(50):
        assert waits(tries, now) == before
