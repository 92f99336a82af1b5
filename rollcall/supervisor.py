"""The supervisor of the all-in-one: the three processes that production runs apart, started and kept running."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import requests

from faces.errors import RollcallError

log = logging.getLogger("rollcall")

READY_WITHIN_S = 120.0
"""A small box may first have to bring its database up to date. Whoever ends meanwhile is noticed at once."""

STOP_WITHIN_S = 10.0
RESTART_AFTER_S = 1.0
BAD_SETTING = 2
"""The exit status of a process that was told something wrong: starting it again would not help."""


class StartFailed(RollcallError):
    """A process did not come up; its log says why."""

    code = "start_failed"


@dataclass
class Process:
    """One supervised process. `restart` False: its end is its own decision (a camera that is a film)."""

    name: str
    module: str
    environment: Mapping[str, str]
    restart: bool = True
    running: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    due_at: float = 0.0


class Supervisor:
    """Starts processes, restarts those that die, and stops all of them together.

    `logs` is the folder of one log file a process; None: their output goes where ours goes.
    """

    def __init__(self, *, logs: Path | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._logs = logs
        self._clock = clock
        self._processes: dict[str, Process] = {}
        self._files: list[IO[bytes]] = []

    def start(self, process: Process) -> None:
        """Start a process in a session of its own, so that Ctrl-C reaches us alone and we end all in order."""
        self._processes[process.name] = process
        output = self._output(process.name)
        process.running = subprocess.Popen(
            [sys.executable, "-m", process.module],
            env={**os.environ, **process.environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )

    def check(self) -> None:
        """Restart what has died; raises StartFailed where a restart would not help."""
        for process in self._processes.values():
            status = process.running.poll() if process.running else None
            if status is None or not process.restart:
                continue
            if status == BAD_SETTING:
                raise StartFailed(f"the {process.name} did not start", remedy=self._last_words(process.name))
            if not process.due_at:
                log.warning("the %s ended with status %d and is started again", process.name, status)
                process.due_at = self._clock() + RESTART_AFTER_S
            elif self._clock() >= process.due_at:
                process.due_at = 0.0
                self.start(process)

    def ended(self, name: str) -> bool:
        running = self._processes[name].running
        return running is None or running.poll() is not None

    def pid(self, name: str) -> int:
        """Of the process that runs under this name, or did last; raises StartFailed if none ever has."""
        running = self._processes[name].running
        if running is None:
            raise StartFailed(f"the {name} was not started")
        return running.pid

    def wait_ready(self, url: str) -> None:
        """Return when `url` answers 200; raises StartFailed if that takes too long."""
        deadline = self._clock() + READY_WITHIN_S
        while self._clock() < deadline:
            self.check()
            with contextlib.suppress(requests.RequestException):
                if requests.get(url, timeout=2).status_code == 200:
                    return
            time.sleep(0.05)
        raise StartFailed(f"nothing answers at {url}", remedy=self._last_words("control plane"))

    def stop(self) -> None:
        """End all processes, the last started first, and wait for them."""
        for process in reversed(self._processes.values()):
            if process.running is not None:
                _end(process.running)
        for file in self._files:
            file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _output(self, name: str) -> IO[bytes] | None:
        if self._logs is None:
            return None
        self._logs.mkdir(parents=True, exist_ok=True)
        file = self._log(name).open("ab")
        self._files.append(file)
        return file

    def _log(self, name: str) -> Path:
        return (self._logs or Path()) / f"{name.replace(' ', '_')}.log"

    def _last_words(self, name: str) -> str:
        if self._logs is None or not self._log(name).is_file():
            return "Its last lines above say why."
        return " ".join(self._log(name).read_text(errors="replace").splitlines()[-3:])


def _end(running: subprocess.Popen[bytes]) -> None:
    running.terminate()
    try:
        running.wait(STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        running.kill()
        running.wait()
