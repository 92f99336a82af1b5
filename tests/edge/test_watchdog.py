from __future__ import annotations

import pytest

from edge.watchdog import Late, Watchdog


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_work_that_takes_longer_than_its_bound_is_late() -> None:
    watchdog = Watchdog(clock := Clock())
    with watchdog.working("camera door", 60), watchdog.working("delivery", 300):
        clock.now += 60
        assert watchdog.late() == []
        clock.now += 1
        assert watchdog.late() == [Late("camera door", 61)]
        clock.now += 240
        assert watchdog.late() == [Late("camera door", 301), Late("delivery", 301)]
    assert watchdog.late() == []


def test_who_has_nothing_to_do_is_never_late() -> None:
    watchdog = Watchdog(clock := Clock())
    work = watchdog.watched("sync", 10, lambda: 7)
    assert work() == 7
    clock.now += 1e9
    assert watchdog.late() == []


def test_two_threads_may_work_at_the_same_stage() -> None:
    watchdog = Watchdog(clock := Clock())
    with watchdog.working("camera door", 60):
        clock.now += 61
        with watchdog.working("camera door", 60):
            assert len(watchdog.late()) == 1
        assert len(watchdog.late()) == 1


def test_work_that_fails_is_over() -> None:
    watchdog = Watchdog(clock := Clock())
    with pytest.raises(ZeroDivisionError):
        watchdog.watched("sync", 10, lambda: 1 // 0)()
    clock.now += 11
    assert watchdog.late() == []
