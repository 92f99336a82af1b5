from __future__ import annotations

import logging
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from edge.gate import Gate
from edge.record import Recorder
from edge.room import BALLAST_EVERY_S
from edge.spool import Spool
from faces.events import Event, Status, uuid7

NOON = datetime(2025, 6, 1, 12, 0, tzinfo=UTC)


def passed(number: int) -> Event:
    key = uuid7(NOON, number.to_bytes(10, "big"))
    return Event(id=key, camera="door", captured_at=NOON, status=Status.PASS, name="Ada")


def test_the_gate_is_told_though_the_disk_is_gone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    moment, folder = 0.0, tmp_path / "data"
    folder.mkdir()
    spool, gate, woken = Spool(folder / "spool.db", elapsed=lambda: moment), Gate("http://127.0.0.1:9/"), []
    recorder = Recorder(spool, gate, lambda: woken.append(1))
    shutil.rmtree(folder)
    moment += BALLAST_EVERY_S
    events = [passed(1), passed(2)]
    recorder.record(events)
    offered = [gate._waiting.get_nowait() for _ in events]
    assert [decided and decided.event for decided in offered] == events
    assert len(woken) == 2
    assert f"event {events[0].id} is lost" in caplog.text
    spool.close()
