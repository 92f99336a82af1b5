"""What the pages in docs/ say is what runs: their commands, links and settings."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import pytest
import requests

from faces.signing import headers, secret_of
from rollcall.cli import cli
from rollcall.up import free_port

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))
WITHIN_S = 120.0


def blocks(page: str, heading: str) -> list[str]:
    """The shell commands below a heading of a page."""
    text = (ROOT / "docs" / page).read_text()
    (section,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    return re.findall(r"```sh\n(.*?)```", section, re.S)


class Machine:
    """A terminal in which a page's commands are typed; what it prints is read as it comes."""

    def __init__(self, folder: Path, replaced: Mapping[str, str]) -> None:
        self._replaced = replaced
        self._printed = folder / f"printed-{free_port()}"
        self._output: IO[bytes] = self._printed.open("wb")
        environment = {k: v for k, v in os.environ.items() if k not in ("DATA_DIR", "ROLLCALL_KEY")}
        self._bash = subprocess.Popen(
            ["bash", "-e"],
            stdin=subprocess.PIPE,
            stdout=self._output,
            stderr=self._output,
            cwd=folder,
            env=environment | {"PYTHONPATH": str(ROOT), "STREAM_PORT": "0"},
            start_new_session=True,
        )

    def type(self, command: str, **more: str) -> None:
        for written, here in {**self._replaced, **more}.items():
            command = command.replace(written, here)
        assert self._bash.stdin is not None
        self._bash.stdin.write(command.encode())
        self._bash.stdin.flush()

    def printed(self, pattern: str) -> str:
        """What it prints that fits the pattern, as soon as it does; fails if that takes too long."""
        deadline = time.monotonic() + WITHIN_S
        while not (found := re.search(pattern, self._printed.read_text(errors="replace"))):
            assert time.monotonic() < deadline, f"no {pattern!r} in:\n{self._printed.read_text(errors='replace')}"
            assert self._bash.poll() in (None, 0), self._printed.read_text(errors="replace")
            time.sleep(0.05)
        return found[0]

    def interrupt(self) -> None:
        """Ctrl-C: what runs in it ends, and what is typed next follows."""
        os.killpg(self._bash.pid, signal.SIGINT)

    def stop(self) -> None:
        os.killpg(self._bash.pid, signal.SIGTERM)
        self._bash.communicate()
        self._output.close()


@contextmanager
def machines(folder: Path, replaced: Mapping[str, str]) -> Iterator[Callable[[], Machine]]:
    started: list[Machine] = []

    def start() -> Machine:
        started.append(Machine(folder, replaced))
        return started[-1]

    try:
        yield start
    finally:
        for machine in reversed(started):
            machine.stop()


def test_whoever_follows_the_quick_start_opens_a_gate(data: Path, tmp_path: Path) -> None:
    (tmp_path / "ann.jpg").write_bytes((data / "portraits" / "lin-manuel-miranda.png").read_bytes())
    (tmp_path / "gate.mp4").symlink_to(data / "video" / "stage.mp4")
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    plane, receiver = free_port(), free_port()
    replaced = {
        ".venv/bin/python": sys.executable,
        ":5000": f":{plane}",
        "8900": str(receiver),
        "export DATA_DIR=centre-data": f"export PORT={plane} DATA_DIR=centre-data",
    }
    password = "words that nobody guesses"
    with machines(tmp_path, replaced) as machine:
        centre = machine()
        for block in blocks("quick-start.md", "The centre"):
            centre.type(block)
        token = centre.printed(r"rcj_\w+")
        gate = machine()
        (block,) = blocks("quick-start.md", "The receiver")
        secret = centre.printed(r"whsec_[\w+/=]+")
        gate.type(block, **{"whsec_...": secret})
        edge = machine()
        for block in blocks("quick-start.md", "The gate"):
            edge.type(block, **{"rcj_...": token})
        gate.printed("the gate opens for Ann")

        (block,) = blocks("quick-start.md", "The dashboard")
        centre.type(block, **{"--data centre-data\n": f"--data centre-data <<< '{password}'\necho she may sign in\n"})
        centre.printed("she may sign in")
        signing_in = {"name": "carol", "password": password}
        assert requests.post(f"http://127.0.0.1:{plane}/v1/session", json=signing_in, timeout=10).status_code == 201

        centre.type("kill $(jobs -p)\n")
        here = {"whsec_...": secret, "8900": str(free_port())}
        nearer = machine()
        (block,) = blocks("quick-start.md", "The receiver")
        nearer.type(block, **here)
        (block,) = blocks("quick-start.md", "With the line down")
        edge.interrupt()
        edge.type(block, **here)
        nearer.printed("the gate opens for Ann")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_json_of_a_page_can_be_read(page: Path) -> None:
    for body in re.findall(r"```json\n(.*?)```", page.read_text(), re.S):
        json.loads(body)


def test_a_receiver_of_the_page_verifies_a_webhook() -> None:
    (lines,) = re.findall(r"```python\n(.*?Webhook.*?)```", (ROOT / "docs" / "webhooks.md").read_text(), re.S)
    body = b'{"name": "Ann"}'
    told = {"secret": secret_of(bytes(32)), "body": body, "headers": headers("m", datetime.now(UTC), body, [bytes(32)])}
    exec(lines, told)  # noqa: S102 - these lines are ours
    assert told["told"] == {"name": "Ann"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_a_page_exists(page: Path) -> None:
    named = re.findall(r"python -m rollcall (\w+)", page.read_text())
    assert set(named) <= set(cli.commands)
