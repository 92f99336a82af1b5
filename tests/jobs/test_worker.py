from __future__ import annotations

import threading
import time
from pathlib import Path
from queue import SimpleQueue

import pytest

from control_plane.store import schema
from control_plane.store.db import Database, Unavailable
from faces.errors import SettingError
from jobs.config import Config
from jobs.metrics import Metrics
from jobs.worker import Job, Pool, Worker
from tests import services
from tests.conftest import NOW


def test_a_worker_with_nothing_to_do_stops_at_once(store: Database, tmp_path: Path) -> None:
    settings = {"DATABASE_URL": str(store.url), "DATA_DIR": str(tmp_path)}
    worker, stop = Worker(Config.read(settings, Path("/nonexistent")), Metrics()), threading.Event()
    stop.set()
    began = time.monotonic()
    worker.run(stop)
    assert time.monotonic() - began < 3.0


def config(url: str, folder: Path) -> Config:
    return Config.read({"DATABASE_URL": url, "DATA_DIR": str(folder)}, Path("/nonexistent"))


def test_the_control_plane_is_waited_for_that_migrates_sqlite(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'rollcall.db'}"
    with pytest.raises(Unavailable, match="control plane is waited for"):
        Worker(config(url, tmp_path), Metrics())
    with Database(url) as database:
        schema.migrate(database, NOW)
    stop = threading.Event()
    stop.set()
    Worker(config(url, tmp_path), Metrics()).run(stop)


def test_of_postgres_it_is_said_what_to_run(tmp_path: Path) -> None:
    with services.postgres_database() as url, pytest.raises(SettingError, match="the schema is empty") as refused:
        Worker(config(url, tmp_path), Metrics())
    assert "migrate" in refused.value.remedy


def test_of_jobs_that_wait_the_last_ones_go_last() -> None:
    ran: SimpleQueue[str] = SimpleQueue()
    go_on = threading.Semaphore(0)

    def run(row: str) -> None:
        ran.put(row)
        assert go_on.acquire(timeout=30)

    jobs = [Job(name, run, lambda *_, **__: [], 60_000, last=name == "later") for name in ("later", "sooner")]
    pool = Pool(None, Metrics(), lambda _: None, "queue", 2, jobs)
    later, sooner = pool.sends.values()
    pool.threads.start()
    try:
        for row in ("first", "second"):
            later(row)
            assert ran.get(timeout=30) == row
        later("fourth")
        sooner("third")
        deadline = time.monotonic() + 30
        while pool.threads.work_queue.qsize() < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        for row in ("third", "fourth"):
            go_on.release()
            assert ran.get(timeout=30) == row
    finally:
        go_on.release(4)
        pool.stop()
