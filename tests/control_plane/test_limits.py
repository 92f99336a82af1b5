from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.limits import Buckets, Cost, Limits, Rate, network, rate
from control_plane.problems import TooManyRequests


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("30/minute", Rate(30, 2.0)),
        ("1/second", Rate(1, 1.0)),
        ("7200/hour", Rate(7200, 0.5)),
        ("off", None),
    ],
)
def test_a_rate_is_read(text: str, found: Rate | None) -> None:
    assert rate(text) == found


@pytest.mark.parametrize("text", ["30", "0/minute", "-1/minute", "1/day", "x/minute", "1.5/second", "", "٣/minute"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="off"):
        rate(text)


@given(
    count=st.integers(1, 5),
    every_s=st.sampled_from([0.5, 1.0, 7.0]),
    steps=st.lists(st.floats(0, 20), max_size=60),
)
def test_no_more_is_ever_taken_than_the_rate_allows_and_what_was_waited_for_is_had(
    count: int, every_s: float, steps: list[float]
) -> None:
    buckets, now, taken = Buckets(Rate(count, every_s)), 0.0, []
    for step in steps:
        now += step
        wait = buckets.take("x", now)
        assert 0 <= wait <= every_s * (1 + 1e-6)
        if wait:
            now += wait
            assert buckets.take("x", now) == 0
        taken.append(now)
    for first, began in enumerate(taken):
        for last in range(first, len(taken)):
            assert last - first + 1 <= count + (taken[last] - began) / every_s + 1e-4


def test_callers_do_not_share_and_of_too_many_the_one_that_asked_longest_ago_is_forgotten() -> None:
    buckets = Buckets(Rate(1, 10.0), most=2)
    assert [buckets.take(who, 0.0) for who in ("a", "b", "a", "b")] == [0, 0, 10, 10]
    assert buckets.take("c", 1.0) == 0
    assert buckets.take("b", 1.0) == 9
    assert buckets.take("a", 1.0) == 0


def test_a_limit_names_its_setting_and_when_to_come_again() -> None:
    limits = Limits({Cost.ENROLL: Rate(1, 2.5), Cost.JOIN: None})
    limits.take(Cost.ENROLL, "a", 0.0)
    for _ in range(10):
        limits.take(Cost.JOIN, "a", 0.0)
    with pytest.raises(TooManyRequests, match="LIMIT_ENROLL") as error:
        limits.take(Cost.ENROLL, "a", 0.0)
    assert error.value.retry_after_s == 3


def test_to_ask_whether_there_is_one_takes_none() -> None:
    limits = Limits({Cost.SIGN_IN: Rate(1, 2.5), Cost.JOIN: None})
    for _ in range(3):
        limits.check(Cost.SIGN_IN, "a", 0.0)
        limits.check(Cost.JOIN, "a", 0.0)
    limits.take(Cost.SIGN_IN, "a", 0.0)
    with pytest.raises(TooManyRequests, match="LIMIT_SIGN_IN") as error:
        limits.check(Cost.SIGN_IN, "a", 0.0)
    assert error.value.retry_after_s == 3
    limits.check(Cost.SIGN_IN, "a", 2.5)


@pytest.mark.parametrize(
    ("address", "whose"),
    [
        ("10.0.0.7", "10.0.0.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::1", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        ("::ffff:10.0.0.7", "10.0.0.7"),
        ("", ""),
        ("unix", "unix"),
    ],
)
def test_an_address_is_its_networks(address: str, whose: str) -> None:
    assert network(address) == whose
