from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rollcall.supervisor import Process, StartFailed, Supervisor


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def until(condition: Callable[[], bool], within_s: float = 60.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_process_that_died_is_started_again_after_a_moment(tmp_path: Path) -> None:
    clock = Clock()
    with Supervisor(logs=tmp_path, clock=clock) as supervisor:
        process = Process("zen", "this", {})
        supervisor.start(process)
        first = process.running
        until(lambda: supervisor.ended("zen"))
        supervisor.check()
        assert process.running is first
        clock.now += 60
        supervisor.check()
        assert process.running is not first


def test_a_process_whose_end_is_its_own_decision_is_not_started_again(tmp_path: Path) -> None:
    with Supervisor(logs=tmp_path) as supervisor:
        process = Process("zen", "this", {}, restart=False)
        supervisor.start(process)
        first = process.running
        until(lambda: supervisor.ended("zen"))
        supervisor.check()
        assert process.running is first


def test_a_wrong_setting_stops_the_start_and_the_remedy_is_the_log(tmp_path: Path) -> None:
    with Supervisor(logs=tmp_path) as supervisor:
        supervisor.start(Process("worker", "jobs.worker", {"THREADS": "many"}))
        until(lambda: supervisor.ended("worker"))
        with pytest.raises(StartFailed) as error:
            supervisor.check()
    assert "THREADS is not a whole number" in error.value.remedy


def test_leaving_ends_every_process(tmp_path: Path) -> None:
    with Supervisor(logs=tmp_path) as supervisor:
        processes = [Process(name, "http.server", {}) for name in ("one", "two")]
        for process in processes:
            supervisor.start(process)
    assert all(p.running is not None and p.running.poll() is not None for p in processes)


def test_something_that_never_answers_is_a_failed_start(tmp_path: Path) -> None:
    clock = Clock()

    def ticking() -> float:
        clock.now += 1
        return clock.now

    with pytest.raises(StartFailed, match="nothing answers"):
        Supervisor(logs=tmp_path, clock=ticking).wait_ready("http://127.0.0.1:1/")
