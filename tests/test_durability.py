"""What is acknowledged is on the disk: a kill cannot show a missing fsync, so the system calls are counted."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest
import requests

from faces import wire
from faces.events import Event, EventKind
from tests.conftest import absent

ROOT = Path(__file__).parents[1]
ACKNOWLEDGED = 50

Traced = Callable[..., subprocess.Popen[str]]

SPOOL = """
import os, sys
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4
from edge.spool import Spool
from faces.events import Event, EventKind
spool = Spool(Path(sys.argv[1]))
def append():
    spool.append(Event(id=uuid4(), kind=EventKind.CAMERA_LOST, camera="door", captured_at=datetime.now(UTC)))
append()
os.getppid()
for _ in range(int(sys.argv[2])):
    append()
os.getppid()
"""


@pytest.fixture
def strace(tmp_path: Path) -> Traced:
    """Start Python under strace; the calls that reach a disk are in `calls`, and getppid as a mark."""
    if not shutil.which("strace"):
        absent("strace")
    if subprocess.run(["strace", "-o", "/dev/null", "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine lets nobody trace a process")

    def start(*arguments: str, **environ: str) -> subprocess.Popen[str]:
        traced = ["strace", "-D", "-f", "-qq", "-e", "trace=fsync,fdatasync,getppid", "-o", str(tmp_path / "calls")]
        return subprocess.Popen(
            [*traced, sys.executable, *arguments],
            cwd=ROOT,
            env={**os.environ, **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return start


def syncs(calls: str) -> int:
    """Calls of fsync or fdatasync that succeeded; one that others interrupt takes two lines."""
    return len(re.findall(r"f(?:data)?sync(?:\(\d+\)| resumed>\)) += 0", calls))


def test_fifty_acknowledged_commits_of_the_spool_are_fifty_syncs(strace: Traced, tmp_path: Path) -> None:
    process = strace("-c", SPOOL, str(tmp_path / "spool.db"), str(ACKNOWLEDGED))
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0, said
    _, between, _ = re.split(r"getppid.*\n", (tmp_path / "calls").read_text())
    assert ACKNOWLEDGED <= syncs(between) <= 2 * ACKNOWLEDGED


def test_fifty_acknowledged_ingests_are_fifty_syncs(strace: Traced, tmp_path: Path) -> None:
    process = strace("-m", "control_plane", DATA_DIR=str(tmp_path), PORT="0", STREAM_PORT="0", DATABASE_URL="")
    try:
        assert process.stdout is not None
        url = next(line for line in process.stdout if "listening on" in line).split("listening on ")[1].strip()
        edge = str(uuid4())
        headers = {wire.EDGE_HEADER: edge, wire.WIRE_HEADER: str(wire.WIRE), "Content-Type": wire.MSGPACK}
        hello = wire.Hello(name="box", version="1", engine="sface", cameras=["door"])
        with requests.Session() as session:
            session.headers.update(headers)
            session.put(f"{url}/v1/edges/{edge}", data=wire.encode(hello), timeout=10).raise_for_status()
            before = syncs((tmp_path / "calls").read_text())
            for _ in range(ACKNOWLEDGED):
                made = Event(id=uuid4(), kind=EventKind.CAMERA_LOST, camera="door", captured_at=datetime.now(UTC))
                batch = wire.EventBatch([msgspec.Raw(wire.encode(made))])
                answer = session.post(f"{url}/v1/events", data=wire.encode(batch), timeout=10)
                (verdict,) = wire.decode(answer.content, wire.Verdicts).verdicts
                assert verdict.outcome == "stored"
            after = syncs((tmp_path / "calls").read_text())
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
    assert after - before >= ACKNOWLEDGED
