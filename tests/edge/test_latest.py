from __future__ import annotations

import threading
import time

from edge.latest import Latest, LatestOfEach


def test_the_newest_value_wins() -> None:
    latest: Latest[str] = Latest()
    latest.put("old")
    latest.put("new")
    assert latest.after(0, 0) == (2, "new")


def test_a_value_is_given_once_to_each_reader() -> None:
    latest: Latest[str] = Latest()
    latest.put("a")
    number, _ = latest.after(0, 0)
    assert latest.after(number, 0) == (number, None)
    assert latest.after(0, 0) == (1, "a")


def test_a_reader_is_woken_by_a_new_value() -> None:
    latest: Latest[str] = Latest()
    threading.Timer(0.02, latest.put, ["late"]).start()
    began = time.monotonic()
    assert latest.after(0, 10) == (1, "late")
    assert time.monotonic() - began < 5


def test_the_newest_of_each_is_given_in_turn_however_often_one_changes() -> None:
    latest: LatestOfEach[str] = LatestOfEach()
    given = []
    for number in range(3):
        for value in (f"a{number}", f"b{number}", f"a{number}+"):
            latest.put(value[0], value)
        given.append(latest.take(0))
    assert given == ["a0+", "b1", "a2+"]
    assert [latest.take(0), latest.take(0)] == ["b2", None]
