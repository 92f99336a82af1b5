from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import dramatiq
import pytest

from faces.logs import REQUEST_ID, JsonLines, Lines
from jobs.broker import make_broker

log = logging.getLogger("jobs.test")


@pytest.fixture
def said() -> Iterator[io.StringIO]:
    """What is logged, as JSON lines."""
    told = io.StringIO()
    lines = Lines(told)
    lines.setFormatter(JsonLines("worker"))
    # Whatever level other tests of this process have left behind.
    lines.setLevel(logging.WARNING)
    logging.getLogger().addHandler(lines)
    yield told
    logging.getLogger().removeHandler(lines)


def test_what_a_job_logs_and_its_failure_bear_its_name_its_row_and_the_request_that_sent_it(said: io.StringIO) -> None:
    # What was asked before in this thread is not what the job is about.
    REQUEST_ID.set("")
    broker = make_broker(None)

    @dramatiq.actor(actor_name="enroll", broker=broker, max_retries=0)
    def enroll(row_id: str) -> None:
        log.warning("at it")
        if row_id == "row-1":
            raise ValueError("broken")

    worker = dramatiq.Worker(broker, worker_threads=1, worker_timeout=20)
    worker.start()
    for message in (enroll.message("row-1").copy(options={"request_id": "r1"}), enroll.message("row-2")):
        broker.enqueue(message)
        broker.join("default", fail_fast=False)  # type: ignore[attr-defined]
    worker.stop()
    log.warning("done")
    told: list[dict[str, Any]] = [json.loads(line) for line in said.getvalue().splitlines()]
    ids = [(r["message"].split()[0], r.get("job"), r.get("job_id"), r.get("request_id")) for r in told]
    assert ids == [
        ("at", "enroll", "row-1", "r1"),
        ("Failed", "enroll", "row-1", "r1"),
        ("Retries", "enroll", "row-1", "r1"),
        ("at", "enroll", "row-2", None),
        ("done", None, None, None),
    ]
