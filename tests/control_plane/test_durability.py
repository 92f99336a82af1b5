"""What is acknowledged is on the disk: seen from outside the process."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest
import requests

from faces import wire
from tests.conftest import absent
from tests.control_plane.conftest import reserved_port

BATCHES = 50


@pytest.fixture
def traced(tmp_path: Path, wait_for: Any) -> Any:
    """A control plane's process whose syncs are written down, with its URL and the file they are in."""
    if shutil.which("strace") is None:
        absent("strace")
    syncs = tmp_path / "syncs"
    # With -D the process is the control plane and not strace, so that a signal reaches it.
    command = ["strace", "-D", "-f", "-qq", "-e", "trace=fsync,fdatasync", "-o", str(syncs)]
    with reserved_port() as port:
        settings = {"DATA_DIR": str(tmp_path), "PORT": str(port), "STREAM_PORT": "0"}
        with (tmp_path / "log").open("wb") as log:
            process = subprocess.Popen(
                [*command, sys.executable, "-m", "control_plane"],
                env={**os.environ, **settings},
                stdout=log,
                stderr=log,
            )
        url = f"http://127.0.0.1:{port}"
        try:
            wait_for(lambda: process.poll() is not None or _answers(url), 60)
            yield url, syncs
        finally:
            process.terminate()
            process.wait()


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/readyz", timeout=2).ok
    except (requests.ConnectionError, requests.Timeout):
        return False


def test_no_batch_is_acknowledged_before_a_sync(traced: Any, event: Any) -> None:
    url, syncs = traced
    headers = {wire.EDGE_HEADER: str(uuid4()), wire.WIRE_HEADER: str(wire.WIRE), "Content-Type": wire.MSGPACK}
    hello = wire.encode(wire.Hello(name="box", version="1", engine="sface", cameras=["door"]))
    requests.put(f"{url}/v1/edges/{headers[wire.EDGE_HEADER]}", data=hello, headers=headers, timeout=9)
    before = _count(syncs)
    for number in range(1, BATCHES + 1):
        batch = wire.encode(wire.EventBatch([msgspec.Raw(wire.encode(event()))]))
        answer = requests.post(f"{url}/v1/events", data=batch, headers=headers, timeout=9)
        assert [v.outcome for v in wire.decode(answer.content, wire.Verdicts).verdicts] == ["stored"]
        assert _count(syncs) - before >= number


def _count(syncs: Path) -> int:
    return len(re.findall(r"(?:fsync|fdatasync)\(\d+\) += 0|resumed>\) += 0", syncs.read_text()))
