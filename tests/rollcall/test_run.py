"""`rollcall up` as a person runs it."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from faces.engine import Engine, images
from rollcall import film
from rollcall.up import free_port

WITHIN_S = 180.0


def up(*arguments: str | Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-u", "-m", "rollcall", "up", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def children(parent: int) -> set[int]:
    found = subprocess.run(["pgrep", "-P", str(parent)], capture_output=True, text=True, check=False)
    return {int(pid) for pid in found.stdout.split()}


def test_it_prints_decisions_as_they_happen_goes_on_when_keys_are_needed_and_ctrl_c_leaves_no_process_behind(
    tmp_path: Path, data: Path, engine: Engine
) -> None:
    picture = images.load((data / "portraits" / "biden.jpg").read_bytes())
    film.write(tmp_path / "a.avi", film.frames([film.Scene(picture, engine.detect(picture)[0].box, 3.0)]))
    port = free_port()
    running = up("--video", tmp_path / "a.avi", "--loop", "--data", tmp_path / "d", "--port", port, "--stream-port", 0)
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.extend(running.stdout or ()))
    reader.start()
    deadline = time.monotonic() + WITHIN_S

    def wait_for(true: Callable[[], bool]) -> None:
        while not true():
            assert time.monotonic() < deadline, lines
            assert running.poll() is None, lines
            time.sleep(0.05)

    def asked(**headers: str) -> int:
        return requests.get(f"http://127.0.0.1:{port}/faces", headers=headers, timeout=10).status_code

    wait_for(lambda: any("REJECT" in line for line in lines))
    assert f"http://127.0.0.1:{port}" in "".join(lines)
    assert asked() == 200
    command = [sys.executable, "-m", "rollcall", "keys", "create", "--role", "admin", "--data", tmp_path / "d"]
    key = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    wait_for(lambda: asked() == 401)
    assert asked(Authorization=f"Bearer {key}") == 200
    before = len(lines)
    wait_for(lambda: any("REJECT" in line for line in lines[before:]))
    processes = children(running.pid)
    assert len(processes) == 3
    running.send_signal(signal.SIGINT)
    assert running.wait(WITHIN_S) == 130
    reader.join(5)
    running.communicate()
    assert not any(Path(f"/proc/{pid}").exists() for pid in processes)


def test_a_port_that_is_taken_is_said_with_its_remedy(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        running = up("--data", tmp_path, "--port", str(taken.getsockname()[1]))
        output, _ = running.communicate(timeout=WITHIN_S)
    assert running.returncode == 1
    assert "in use by another program" in output
    assert "--port" in output


@pytest.mark.parametrize(
    "given", [("--rtsp", "rtsp://u:s3cret@127.0.0.1:1/"), ("--rtsp=rtsp://u:s3cret@127.0.0.1:1/",)]
)
def test_a_cameras_password_is_in_no_process_s_arguments_nor_output(tmp_path: Path, given: tuple[str, ...]) -> None:
    running = up(*given, "--data", tmp_path, "--port", free_port(), "--stream-port", 0)
    log = tmp_path / "logs" / "edge.log"
    deadline = time.monotonic() + WITHIN_S
    while not (log.is_file() and "camera_lost" in log.read_text()):
        assert time.monotonic() < deadline
        assert running.poll() is None, running.communicate()
        time.sleep(0.05)
    arguments = [Path(f"/proc/{pid}/cmdline").read_text() for pid in (running.pid, *children(running.pid))]
    running.send_signal(signal.SIGINT)
    output, _ = running.communicate(timeout=WITHIN_S)
    assert len(arguments) == 4
    said = "".join([output, *arguments, *(path.read_text() for path in log.parent.iterdir())])
    assert "rtsp://127.0.0.1:1/" in said
    assert "s3cret" not in said


@pytest.mark.parametrize("arguments", [("--camera", "0", "--rtsp", "rtsp://h/"), ("--video", "/nowhere.mp4")])
def test_what_cannot_be_meant_is_a_usage_error(arguments: tuple[str, ...]) -> None:
    running = up(*arguments)
    output, _ = running.communicate(timeout=WITHIN_S)
    assert running.returncode == 2
    assert "Usage" in output
