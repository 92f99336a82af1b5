from __future__ import annotations

import threading
import time
from pathlib import Path

from control_plane.store.db import Database
from jobs.config import Config
from jobs.metrics import Metrics
from jobs.worker import Worker


def test_a_worker_with_nothing_to_do_stops_at_once(store: Database, tmp_path: Path) -> None:
    settings = {"DATABASE_URL": str(store.url), "DATA_DIR": str(tmp_path)}
    worker, stop = Worker(Config.read(settings, Path("/nonexistent")), Metrics()), threading.Event()
    stop.set()
    began = time.monotonic()
    worker.run(stop)
    assert time.monotonic() - began < 3.0
