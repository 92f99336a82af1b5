from __future__ import annotations

import threading
import time

from edge.latest import Latest


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
