from __future__ import annotations

import logging
import math
import sqlite3
import threading
import time
from collections.abc import Callable
from itertools import pairwise

import pytest

from edge.repeat import Backoff, Busy, Repeater
from faces.errors import RollcallError


def test_waits_double_up_to_the_most_and_start_again_after_success() -> None:
    backoff = Backoff(1.0, 5.0, chance=lambda: 1.0)
    assert [backoff.wait_s() for _ in range(5)] == [1, 2, 4, 5, 5]
    backoff.reset()
    assert backoff.wait_s() == 1


@pytest.mark.parametrize(("chance", "wait"), [(0.0, 0.0), (0.5, 2.0), (1.0, 4.0)])
def test_a_wait_is_anything_up_to_its_bound(chance: float, wait: float) -> None:
    assert Backoff(4.0, 4.0, chance=lambda: chance).wait_s() == wait


class Work:
    """Notes when it runs; fails while told to, or so many times."""

    def __init__(self, wait: float, *, failures: float = math.inf) -> None:
        self.began: list[float] = []
        self.error: Exception | None = None
        self.failures = failures
        self.wait = wait

    @property
    def runs(self) -> int:
        return len(self.began)

    def __call__(self) -> float:
        self.began.append(time.monotonic())
        if self.error and self.runs <= self.failures:
            raise self.error
        return self.wait


def started(work: Work, backoff: Backoff) -> tuple[Repeater, threading.Thread]:
    repeater = Repeater("the work", work, backoff)
    thread = threading.Thread(target=repeater.run)
    thread.start()
    return repeater, thread


def test_work_waits_for_its_time_and_is_woken(until: Callable[..., None]) -> None:
    work = Work(60.0)
    repeater, thread = started(work, Backoff(60, 60))
    until(lambda: work.runs == 1)
    repeater.wake()
    until(lambda: work.runs == 2)
    repeater.stop()
    thread.join(5)
    assert not thread.is_alive()
    assert work.runs == 2


@pytest.mark.parametrize("error", [RollcallError("no"), sqlite3.OperationalError("disk full"), OSError()])
def test_a_failure_is_waited_out_even_if_there_is_work(error: Exception, until: Callable[..., None]) -> None:
    work = Work(60.0)
    work.error = error
    repeater, thread = started(work, Backoff(0.2, 0.2, chance=lambda: 1.0))
    until(lambda: repeater.failing)
    repeater.wake()
    work.error = None
    until(lambda: not repeater.failing)
    waits = [after - before for before, after in pairwise(work.began)]
    assert min(waits) >= 0.2, "a wake does not cut a backoff short"
    repeater.stop()
    thread.join(5)


def test_success_ends_the_backoff(until: Callable[..., None]) -> None:
    work, backoff = Work(60.0, failures=3), Backoff(0.01, 60, chance=lambda: 1.0)
    work.error = RollcallError("no")
    repeater, thread = started(work, backoff)
    until(lambda: work.runs == 4 and not repeater.failing)
    repeater.stop()
    thread.join(5)
    assert backoff.wait_s() == 0.01


def test_a_hurry_cuts_a_backoff_short(until: Callable[..., None]) -> None:
    work = Work(60.0)
    work.error = RollcallError("no")
    repeater, thread = started(work, Backoff(60, 60, chance=lambda: 1.0))
    until(lambda: repeater.failing)
    repeater.hurry()
    until(lambda: work.runs == 2)
    repeater.stop()
    thread.join(5)


def test_no_hurry_cuts_short_the_wait_that_was_asked_for(until: Callable[..., None]) -> None:
    work, moment = Work(60.0), 1000.0
    work.error = Busy("later", 30.0)
    repeater = Repeater("the work", work, Backoff(60, 60), clock=lambda: moment)
    thread = threading.Thread(target=repeater.run)
    thread.start()
    until(lambda: repeater.failing)
    moment = 1029.0
    repeater.hurry()
    assert not repeater._may_go_on()
    moment = 1030.0
    repeater.hurry()
    until(lambda: work.runs == 2)
    repeater.stop()
    thread.join(5)


def test_an_outage_is_logged_once_at_its_start_and_once_at_its_end(
    until: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    work = Work(60.0)
    work.error = RollcallError("out of reach")
    repeater, thread = started(work, Backoff(0.001, 0.001))
    until(lambda: work.runs > 5)
    work.error = None
    until(lambda: not repeater.failing)
    repeater.stop()
    thread.join(5)
    assert [record.getMessage() for record in caplog.records] == ["the work: out of reach", "the work works again"]


def test_a_fault_nobody_thought_of_ends_the_work() -> None:
    def broken() -> float:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Repeater("the work", broken, Backoff(1, 1)).run()
