"""A camera against a real RTSP server that is killed, stalled, changed and corrupted."""

from __future__ import annotations

import itertools
import logging
import os
import random
import signal
import socket
import subprocess
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from edge.camera import Camera
from edge.frames import Frame
from edge.notice import Change, Notice
from faces.face import Picture
from tests.conftest import SYSTEM_PYTHON

SERVER = Path(__file__).with_name("rtsp_server.py")
PASSWORD = "s3cret:@/word"
QUOTED = "s3cret%3A%40%2Fword"

RECOVERS_S = 5.0
"""Done-when: the picture is there so soon after the camera's return."""

FRESH_S = 1.0
"""A frame is not older: drawing, coding and decoding take a tenth of it, the rest is for machines with much to do."""


def drawn_at(picture: Picture) -> float | None:
    """When a picture of the server was drawn, in seconds of the monotonic clock; None if it is corrupted."""
    height, width = picture.shape[:2]
    bits = 0
    for y, x in itertools.product(range(5), range(8)):
        bits = bits << 1 | int(picture[height * (2 * y + 1) // 10, width * (2 * x + 1) // 16, 1] > 128)
    milliseconds = (bits >> 8).to_bytes(4, "big")
    return (bits >> 8) / 1000 if zlib.crc32(milliseconds) & 0xFF == bits & 0xFF else None


class Server:
    """The camera's server; it stands at one port, whoever runs it."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.start(320, 240)

    def start(self, width: int, height: int) -> None:
        command = [SYSTEM_PYTHON, str(SERVER), str(self.port), str(width), str(height), "user", PASSWORD]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"

    def signal(self, number: signal.Signals) -> None:
        os.kill(self._process.pid, number)

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


class Line:
    """The line between camera and edge: a TCP proxy that can hold back what it carries, and garble it."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"rtsp://user:{QUOTED}@127.0.0.1:{self._listening.getsockname()[1]}/live?token={QUOTED}"
        self.open = threading.Event()
        self.open.set()
        self.garbled = False
        self._chance = random.Random(8)
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = [self._listening]
        self._run(self._listen)

    def _run(self, target: Callable[..., None], *args: socket.socket) -> None:
        self._threads.append(threading.Thread(target=target, args=args))
        self._threads[-1].start()

    def _listen(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                self._sockets.append(near)
                try:
                    far = socket.create_connection(("127.0.0.1", self._to))
                except OSError:
                    near.close()
                    continue
                self._sockets.append(far)
                self._run(self._carry, near, far)
                self._run(self._carry_back, far, near)

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        _cut(source, sink)

    def _carry_back(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                self.open.wait()
                sink.sendall(self._garble(data) if self.garbled else data)
        _cut(source, sink)

    def _garble(self, data: bytes) -> bytes:
        """Every hundredth byte or so another, and noise between."""
        garbled = bytearray(data)
        for _ in range(1 + len(data) // 100):
            garbled[self._chance.randrange(len(data))] = self._chance.randrange(256)
        return bytes(garbled) + (self._chance.randbytes(200) if self._chance.random() < 0.2 else b"")

    def close(self) -> None:
        self.open.set()
        _cut(*self._sockets)
        for thread in self._threads:
            thread.join()


def _cut(*sockets: socket.socket) -> None:
    for each in sockets:
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()


class Taken(NamedTuple):
    """A frame as it was taken."""

    at: float
    drawn: float | None
    size: tuple[int, int]


class Watcher:
    """Takes all that a camera gives, as the edge does, and keeps what is needed to judge it."""

    def __init__(self, camera: Camera) -> None:
        self.camera = camera
        self.taken: list[Taken] = []
        self.notices: list[Notice] = []
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=camera.run), threading.Thread(target=self._take)]
        for thread in self._threads:
            thread.start()

    def _take(self) -> None:
        while not self._ending.is_set():
            item = self.camera.next(0.1)
            if isinstance(item, Frame):
                self.taken.append(Taken(time.monotonic(), drawn_at(item.picture), item.size))
            elif item:
                self.notices.append(item)

    @property
    def changes(self) -> list[Change]:
        return [notice.change for notice in self.notices]

    def recovered(self, since: float, size: tuple[int, int]) -> bool:
        """Whether a frame of this size was taken that was drawn after this moment."""
        return any(taken.size == size and (taken.drawn or 0) > since for taken in self.taken[-50:])

    def close(self) -> None:
        self._ending.set()
        self.camera.stop()
        for thread in self._threads:
            thread.join(20)
            assert not thread.is_alive()


class Scene(NamedTuple):
    server: Server
    line: Line
    watcher: Watcher
    garbled: list[tuple[float, float]]


@pytest.fixture
def scene(gstreamer: str) -> Iterator[Scene]:
    server = Server()
    line = Line(server.port)
    watcher = Watcher(Camera("door", line.url))
    yield Scene(server, line, watcher, [])
    watcher.close()
    line.close()
    server.kill()


Until = Callable[..., None]


def killed(scene: Scene, size: tuple[int, int], until: Until) -> None:
    """The server is killed and comes back with pictures of another size."""
    scene.server.kill()
    until(lambda: scene.watcher.changes[-1:] == [Change.LOST])
    scene.server.start(*size)
    back(scene, size, until)


def stalled(scene: Scene, size: tuple[int, int], until: Until) -> None:
    """The server stops, and its connection stands."""
    scene.server.signal(signal.SIGSTOP)
    until(lambda: scene.watcher.changes[-1:] == [Change.LOST])
    scene.server.signal(signal.SIGCONT)
    back(scene, size, until)


def garbled(scene: Scene, size: tuple[int, int], until: Until) -> None:
    """Garbage comes. What is made of it, until the next whole picture, may repeat parts of the picture before."""
    since = time.monotonic()
    scene.line.garbled = True
    time.sleep(1.5)
    scene.line.garbled = False
    scene.garbled.append((since, time.monotonic() + 1.5))
    back(scene, size, until)


def held_back(scene: Scene, size: tuple[int, int], until: Until) -> None:
    """The network stands still for a while, shorter than makes a loss, then gives everything at once."""
    scene.line.open.clear()
    time.sleep(1.5)
    scene.line.open.set()
    back(scene, size, until)


def back(scene: Scene, size: tuple[int, int], until: Until) -> None:
    """The camera's picture is there soon after its return, and goes on."""
    now = time.monotonic()
    until(lambda: scene.watcher.recovered(now, size), RECOVERS_S)
    upto = len(scene.watcher.taken) + 20
    until(lambda: len(scene.watcher.taken) >= upto)


def go_through(scene: Scene, rounds: int, until: Until) -> None:
    """Every fault so many times; then everything that was taken must be right."""
    watcher = scene.watcher
    until(lambda: watcher.taken, 20)
    for number in range(rounds):
        size = (640, 360) if number % 2 == 0 else (320, 240)
        killed(scene, size, until)
        held_back(scene, size, until)
        garbled(scene, size, until)
        stalled(scene, size, until)
    whole = [(taken.at, taken.drawn) for taken in watcher.taken if taken.drawn is not None]
    assert len(whole) > rounds * 80
    assert max(at - drawn for at, drawn in whole) < FRESH_S, "no stale frame"
    clear = [drawn for at, drawn in whole if not any(since < at < upto for since, upto in scene.garbled)]
    assert len(clear) > rounds * 60
    assert clear == sorted(set(clear)), "no frame twice, none after a later one"
    changes = watcher.changes
    assert changes[0::2] == [Change.LOST] * (len(changes) // 2)
    assert changes[1::2] == [Change.BACK] * (len(changes) // 2)
    assert len(changes) >= rounds * 4, "killed and stalled are losses; garbage may be"


def test_a_camera_comes_back_from_every_fault(
    scene: Scene, until: Until, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    go_through(scene, 1, until)
    assert "s3cret" not in caplog.text + "".join(map(str, scene.watcher.notices))
    assert "".join(capfd.readouterr()) == "", "OpenCV and FFmpeg keep quiet"


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_a_camera_comes_back_from_every_fault_ten_times_in_a_row(scene: Scene, until: Until) -> None:
    go_through(scene, 10, until)
