from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection, serve
from websockets.typing import Subprotocol

from edge.frames import Frame, Sight
from edge.link import STEADY_S, Leases, Link, link_url
from faces import wire
from faces.engine import images
from faces.events import Status
from faces.wire import CameraStatus, Hint, LinkStatus, Seen, Watch

NOON = datetime(2025, 6, 1, 12, 0, tzinfo=UTC)
STATUS = LinkStatus(cameras=[CameraStatus(name="door", up=True, fps=25.0, width=640, height=360)], spooled=3)


def sight(number: int, camera: str = "door") -> Sight:
    picture = np.full((360, 640, 3), number % 256, np.uint8)
    seen = Seen(box=(1, 2, 30, 40), status=Status.PASS, name="Ada", track=number)
    return Sight(Frame(camera, number, NOON, number / 30, picture), (seen,), ())


class Moment:
    """A clock that is set."""

    def __init__(self) -> None:
        self.s = 1000.0

    def __call__(self) -> float:
        return self.s


class ControlPlaneSide:
    """The other end of the link: keeps what comes, sends what it is told."""

    def __init__(self) -> None:
        self.connections: list[ServerConnection] = []
        self.messages: list[str | bytes] = []
        self.server: Server = serve(
            self._hold,
            "127.0.0.1",
            0,
            subprotocols=[Subprotocol(wire.LINK_PROTOCOL)],
            compression=None,
        )
        self.port = self.server.socket.getsockname()[1]
        self._thread = threading.Thread(target=self.server.serve_forever)
        self._thread.start()

    def _hold(self, connection: ServerConnection) -> None:
        self.connections.append(connection)
        try:
            for message in connection:
                self.messages.append(message)
        except ConnectionClosed:
            pass

    def send(self, value: object) -> None:
        self.connections[-1].send(wire.encode_text(value))

    def frames(self) -> list[int | None]:
        """The tracks of the frames that came: each frame has one, numbered like itself."""
        packed = [message for message in list(self.messages) if isinstance(message, bytes)]
        return [wire.unpack_frame(message)[0].faces[0].track for message in packed]

    def close(self) -> None:
        self.server.shutdown()
        self._thread.join()


@pytest.fixture
def side() -> Iterator[ControlPlaneSide]:
    side = ControlPlaneSide()
    yield side
    side.close()


@pytest.fixture
def hints() -> list[float]:
    return []


@pytest.fixture
def moment() -> Moment:
    return Moment()


@pytest.fixture
def link(side: ControlPlaneSide, hints: list[float], moment: Moment) -> Iterator[Link]:
    link = Link(
        f"ws://127.0.0.1:{side.port}/v1/edge/link",
        lambda: {"Rollcall-Edge": "e1", "Rollcall-Wire": "1"},
        hinted=lambda hint: hints.append(hint),
        ordered=lambda: None,
        status=lambda: STATUS,
        quality=70,
        clock=moment,
    )
    thread = threading.Thread(target=link.run)
    thread.start()
    yield link
    link.stop()
    thread.join(10)
    assert not thread.is_alive()


@pytest.mark.parametrize(
    ("url", "link"),
    [
        ("http://127.0.0.1:5000", "ws://127.0.0.1:5000/v1/edge/link"),
        ("https://plane.example/rollcall", "wss://plane.example/rollcall/v1/edge/link"),
    ],
)
def test_the_link_is_beside_the_control_plane_s_http(url: str, link: str) -> None:
    assert link_url(url) == link


def test_a_lease_ends_by_itself_and_by_a_lease_of_nothing() -> None:
    leases = Leases()
    assert not leases.valid("door", 0.0)
    leases.take(Watch("door", 10.0), 100.0)
    assert leases.valid("door", 109.9)
    assert not leases.valid("gate", 109.9)
    assert not leases.valid("door", 110.0)
    leases.take(Watch("door", 10.0), 110.0)
    leases.take(Watch("door", 0.0), 111.0)
    assert not leases.valid("door", 111.0)


def test_the_link_names_the_edge_and_its_protocol(
    side: ControlPlaneSide, link: Link, until: Callable[..., None]
) -> None:
    until(lambda: side.connections)
    request = side.connections[0].request
    assert request is not None
    assert (request.headers["Rollcall-Edge"], request.headers["Rollcall-Wire"]) == ("e1", "1")
    assert request.path == "/v1/edge/link"
    assert side.connections[0].subprotocol == wire.LINK_PROTOCOL
    assert "Sec-WebSocket-Extensions" not in request.headers


def test_status_is_sent_when_the_link_comes_up(side: ControlPlaneSide, link: Link, until: Callable[..., None]) -> None:
    until(lambda: side.messages)
    message = side.messages[0]
    assert isinstance(message, str)
    assert wire.decode_text(message, LinkStatus) == STATUS


def test_a_hint_and_a_new_link_are_reasons_to_sync(
    side: ControlPlaneSide, link: Link, hints: list[float], until: Callable[..., None]
) -> None:
    until(lambda: len(hints) == 1 and side.connections)
    side.send(Hint("g1", 7))
    until(lambda: len(hints) == 2)
    side.connections[-1].close()
    until(lambda: len(side.connections) == 2)
    until(lambda: len(hints) == 3)


def test_only_a_link_that_has_lasted_shortens_the_waits(
    side: ControlPlaneSide, link: Link, hints: list[float], moment: Moment, until: Callable[..., None]
) -> None:
    def up(count: int) -> bool:
        return len(side.connections) == len(hints) == count

    for number in range(1, 4):
        until(lambda number=number: up(number))
        side.connections[-1].close()
    until(lambda: up(4))
    assert link._backoff._next == 2.0, "a link that is closed at once is no better than none"
    moment.s += STEADY_S
    side.connections[-1].close()
    until(lambda: up(5))
    assert link._backoff._next == 0.5


def test_frames_are_sent_only_while_somebody_watches(
    side: ControlPlaneSide, link: Link, until: Callable[..., None]
) -> None:
    until(lambda: side.messages)
    link.offer(sight(1))
    side.send(Watch("another", 10.0))
    side.send(Watch("door", 10.0))
    numbers: Iterator[int] = iter(range(2, 10_000))
    until(lambda: link.offer(sight(next(numbers))) or side.frames())
    assert 1 not in side.frames()
    side.send(Watch("door", 0.0))
    until(lambda: not link._leases.valid("door", time.monotonic()))
    link.offer(sight(1))
    waiting = link._sights.take(0.1)
    assert waiting is None or waiting.frame.number != 1
    assert 1 not in side.frames()


def test_a_live_frame_is_what_was_seen(side: ControlPlaneSide, link: Link, until: Callable[..., None]) -> None:
    until(lambda: side.messages)
    side.send(Watch("door", 10.0))
    until(lambda: link.offer(sight(200)) or side.frames())
    (message, *_) = [message for message in side.messages if isinstance(message, bytes)]
    header, jpeg = wire.unpack_frame(message)
    assert (header.camera, header.captured_at, header.width, header.height) == ("door", NOON, 640, 360)
    assert header.faces == list(sight(200).seen)
    assert images.load(bytes(jpeg))[100, 100].tolist() == pytest.approx([200] * 3, abs=3)


def test_the_newest_frame_wins_and_the_rate_is_bounded(
    side: ControlPlaneSide, link: Link, until: Callable[..., None]
) -> None:
    until(lambda: side.messages)
    side.send(Watch("door", 10.0))
    until(lambda: link._leases.valid("door", time.monotonic()))
    began = time.monotonic()
    offered = 0
    while time.monotonic() < began + 0.5:
        offered += 1
        link.offer(sight(offered))
        time.sleep(0.001)
    until(lambda: side.frames()[-1:] == [offered])
    frames: list[Any] = side.frames()
    assert frames == sorted(frames)
    assert len(frames) <= 0.5 * 15 + 3


def test_every_camera_that_is_watched_is_sent(side: ControlPlaneSide, link: Link, until: Callable[..., None]) -> None:
    until(lambda: side.messages)
    for camera in ("door", "gate"):
        side.send(Watch(camera, 10.0))
    until(lambda: link._leases.count(time.monotonic()) == 2)

    def offer() -> bool:
        link.offer(sight(100, "gate"))
        # The door offers ten times as many.
        for number in range(10):
            link.offer(sight(number))
        return len(side.frames()) >= 12

    until(offer)
    frames = side.frames()
    assert frames.count(100) == pytest.approx(len(frames) / 2, abs=1)


def test_a_message_that_is_not_understood_does_not_end_the_link(
    side: ControlPlaneSide, link: Link, hints: list[float], until: Callable[..., None]
) -> None:
    until(lambda: side.connections)
    for nonsense in ("{", '{"type": "explode"}', b"\x00"):
        side.connections[0].send(nonsense)
    side.send(Hint("g1", 7))
    until(lambda: len(hints) == 2)
    assert len(side.connections) == 1


def test_offering_never_waits_even_with_no_link(hints: list[float]) -> None:
    link = Link(
        "ws://127.0.0.1:9/", dict, hinted=lambda hint: None, ordered=lambda: None, status=lambda: STATUS, quality=70
    )
    link._leases.take(Watch("door", 600.0), time.monotonic())
    for number in range(1000):
        link.offer(sight(number))
    waiting = link._sights.take(0)
    assert waiting is not None
    assert waiting.frame.number == 999
