"""A real edge's link and a real control plane: what live frames cost the edge, by who watches."""

from __future__ import annotations

import contextlib
import itertools
import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

import edge.link
from edge.frames import Frame, Sight
from edge.link import Link, link_url
from faces import wire
from faces.engine import images
from faces.wire import FrameHeader, LinkStatus

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


class Counted:
    """A function, and how often it was called."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.times = 0
        self._function = function

    def __call__(self, *args: Any, **named: Any) -> Any:
        self.times += 1
        return self._function(*args, **named)


class Packing(Counted):
    """Packs frames, and keeps of which moments they were."""

    def __init__(self) -> None:
        super().__init__(wire.pack_frame)
        self.moments: list[datetime] = []

    def __call__(self, header: FrameHeader, *rest: Any) -> Any:
        self.moments.append(header.captured_at)
        return super().__call__(header, *rest)


class Camera:
    """Offers the link a sight every few milliseconds, each of a moment of its own."""

    def __init__(self, link: Link, name: str) -> None:
        self.shown = 0
        self._link = link
        self._name = name
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        picture = np.zeros((360, 640, 3), np.uint8)
        for number in itertools.count():
            if self._stop.wait(0.002):
                return
            moment = NOON + timedelta(milliseconds=number)
            self._link.offer(Sight(Frame(self._name, number, moment, number / 30, picture), (), ()))
            self.shown += 1

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> tuple[Counted, Counted, Packing]:
    """How often a picture was made ready and encoded, and a frame packed to be sent."""
    ready, encoded, packed = Counted(edge.link.live), Counted(images.jpeg), Packing()
    monkeypatch.setattr(edge.link, "live", ready)
    monkeypatch.setattr(edge.link.images, "jpeg", encoded)
    monkeypatch.setattr(edge.link.wire, "pack_frame", packed)
    return ready, encoded, packed


@pytest.fixture
def linked(server: Any, wait_for: Any) -> Iterator[tuple[Any, Link]]:
    """An edge that has introduced itself, and its link."""
    hello = server.edge()
    up = threading.Event()
    link = Link(
        link_url(server.url),
        lambda: hello.headers,
        hinted=lambda _: up.set(),
        ordered=lambda: None,
        status=lambda: LinkStatus(cameras=[], spooled=0),
        quality=70,
    )
    thread = threading.Thread(target=link.run)
    thread.start()
    assert up.wait(10)
    yield hello, link
    link.stop()
    thread.join()


def watch(server: Any, edge_id: str, camera: str = "door") -> Any:
    socket = server.socket("/ws/face-stream", wire.WATCH_PROTOCOL)
    socket.send(json.dumps({"type": "watch", "edge": edge_id, "camera": camera}))
    return socket


def pictures(socket: Any, count: int) -> list[bytes]:
    found: list[bytes] = []
    while len(found) < count:
        if isinstance(message := socket.recv(timeout=10), bytes):
            found.append(message)
    return found


def test_an_edge_encodes_a_frame_once_however_many_watch_and_not_at_all_while_nobody_does(
    server: Any, linked: tuple[Any, Link], counted: tuple[Counted, Counted, Packing], wait_for: Any
) -> None:
    hello, link = linked
    camera = Camera(link, "door")
    try:
        wait_for(lambda: camera.shown > 200)
        assert [each.times for each in counted] == [0, 0, 0]
        with contextlib.ExitStack() as open_sockets:
            crowd = [open_sockets.enter_context(watch(server, hello.id)) for _ in range(5)]
            crowd.append(open_sockets.enter_context(server.socket("/ws/face-stream?camera=yard")))
            for socket in crowd[:5]:
                pictures(socket, 8)
            ready, encoded, packed = (each.times for each in counted)
            assert ready - packed <= 1
            assert encoded - packed <= 1
            moments = list(counted[-1].moments)
            assert len(moments) == len(set(moments)) >= 8, "none is sent twice, whoever watches"
        wait_for(lambda: link._leases.count(edge.link.time.monotonic()) == 0)
        # One may have been under way.
        wait_for(lambda: not link._sights._waiting)
        before = [each.times for each in counted]
        shown = camera.shown
        wait_for(lambda: camera.shown > shown + 200)
        assert sum(each.times for each in counted) - sum(before) <= 3
    finally:
        camera.stop()
