from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import socket as sockets
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from control_plane.auth import Caller
from control_plane.fanout import Fanout
from control_plane.feed import Feed, Fresh, News
from control_plane.store import audit
from control_plane.ws import session, watchers
from faces import wire
from faces.events import Status
from faces.wire import FrameHeader, Seen, unpack_frame
from tests.control_plane.conftest import reset

NOW = datetime(2026, 1, 1, 9, 30, tzinfo=UTC)
JPEG = b"\xff\xd8live"


def frame(*faces: Seen, camera: str = "door", jpeg: bytes = JPEG) -> bytes:
    return wire.pack_frame(FrameHeader(camera=camera, captured_at=NOW, width=64, height=36, faces=list(faces)), jpeg)


def until_told(link: Any, told: wire.Watch) -> None:
    """Wait until the edge is told this."""
    while wire.decode_text(link.recv(timeout=10), wire.LinkDown) != told:  # type: ignore[arg-type]
        pass


def until_watched(link: Any, camera: str) -> None:
    """Wait until the edge holds a lease on this camera."""
    until_told(link, wire.Watch(camera, 10.0))


def until_shown(client: Any, link: Any, message: bytes) -> None:
    """Wait until frames reach this client, which may still have to hear of the camera."""
    shown = False
    while not shown:
        link.send(message)
        with contextlib.suppress(TimeoutError):
            shown = bool(client.recv(timeout=0.2))


def watch(server: Any) -> Any:
    return server.socket("/ws/face-stream", wire.WATCH_PROTOCOL)


def received(socket: Any, kind: str, within_s: float = 10) -> dict[str, Any]:
    """The next text message of this type."""
    deadline = time.monotonic() + within_s
    while True:
        message = socket.recv(timeout=deadline - time.monotonic())
        if isinstance(message, str) and (told := json.loads(message))["type"] == kind:
            return dict(told)


def events(socket: Any, number: int) -> list[int]:
    return [received(socket, "event")["position"] for _ in range(number)]


def first_of_those_to_come(socket: Any, happen: Callable[[], object]) -> int:
    """The first position that is told of those that are still to happen, from whenever it was that they were asked
    for."""
    for _ in range(50):
        happen()
        with contextlib.suppress(TimeoutError):
            return int(received(socket, "event", within_s=0.3)["position"])
    raise AssertionError("none was told")


def close_code(socket: Any) -> int | None:
    """The code with which the server ends the connection."""
    with contextlib.suppress(ConnectionClosed):
        while True:
            socket.recv(timeout=10)
    code: int | None = socket.close_code
    return code


@pytest.fixture
def lone(running: Any, fresh: Any, tmp_path: Any) -> Iterator[Any]:
    """A control plane of this test's own."""
    with running(fresh(tmp_path), tmp_path) as server:
        yield server


def test_a_client_of_the_original_gets_its_message_for_every_frame(lone: Any) -> None:
    edge = lone.edge(cameras=("door", "yard"))
    with edge.link() as link, lone.socket("/ws/face-stream") as client:
        assert client.subprotocol is None
        until_watched(link, "door")
        link.send(frame(Seen(box=(1, 2, 3, 4), status=Status.PASS, name="katya", distance=0.41234)))
        assert json.loads(client.recv(timeout=10)) == {
            "type": "face_event",
            "name": "katya",
            "distance": 0.4123,
            "status": "PASS",
            "box": [1, 2, 3, 4],
            "timestamp": int(NOW.timestamp()),
            "frame": base64.b64encode(JPEG).decode(),
            "faces": [
                {
                    "name": "katya",
                    "distance": 0.4123,
                    "status": "PASS",
                    "box": [1, 2, 3, 4],
                    "identity_id": None,
                    "track": None,
                }
            ],
            "site": "default",
            "camera": "door",
        }
        link.send(frame())
        told = json.loads(client.recv(timeout=10))
        assert (told["status"], told["name"], told["distance"], told["box"]) == ("NO_FACE", None, None, None)


def test_a_client_of_the_original_may_name_its_camera(lone: Any) -> None:
    edge = lone.edge(cameras=("door", "yard"))
    with edge.link() as link, lone.socket("/ws/face-stream?camera=yard") as client:
        until_watched(link, "yard")
        link.send(frame(camera="door"))
        link.send(frame(camera="yard"))
        assert json.loads(client.recv(timeout=10))["camera"] == "yard"


def test_a_camera_that_appears_later_is_picked_up(lone: Any) -> None:
    with lone.socket("/ws/face-stream") as client:
        edge = lone.edge(cameras=("late",))
        with edge.link() as link:
            until_watched(link, "late")
            link.send(frame(camera="late"))
            assert json.loads(client.recv(timeout=10))["camera"] == "late"


def test_the_first_camera_is_one_of_the_default_site(lone: Any) -> None:
    lone.post("/v1/sites", json={"name": "annex"})
    far = lone.edge(cameras=("far",), site="annex")
    near = lone.edge(cameras=("near",))
    with far.link(), near.link() as link, lone.socket("/ws/face-stream"):
        until_watched(link, "near")


def test_without_a_camera_at_the_default_site_none_is_watched(lone: Any) -> None:
    lone.post("/v1/sites", json={"name": "annex"})
    far = lone.edge(cameras=("far",), site="annex")
    near = lone.edge(cameras=())
    with far.link() as link, lone.socket("/ws/face-stream"):
        near.hello(cameras=("late",))
        with near.link() as heard:
            until_watched(heard, "late")
        with contextlib.suppress(TimeoutError):
            while message := link.recv(timeout=0.1):
                assert not isinstance(wire.decode_text(message, wire.LinkDown), wire.Watch)  # type: ignore[arg-type]


def test_what_a_client_of_the_original_sends_reaches_nobody(lone: Any) -> None:
    edge = lone.edge()
    with edge.link() as link, lone.socket("/ws/face-stream") as one, lone.socket("/ws/face-stream") as other:
        until_watched(link, "door")
        for message in ('{"type":"face_event","name":"forged"}', b"\0", "x" * 100_000):
            one.send(message)
        link.send(frame())
        for client in (one, other):
            assert json.loads(client.recv(timeout=10))["name"] is None


def test_a_watcher_is_told_the_cameras_and_their_changes(lone: Any) -> None:
    with watch(lone) as socket:
        assert socket.subprotocol == wire.WATCH_PROTOCOL
        assert received(socket, "cameras")["cameras"] == []
        edge = lone.edge(cameras=("door",))
        (door,) = received(socket, "cameras")["cameras"]
        place = {"site_id": "default", "site": "default", "edge": "box"}
        assert door == {"edge_id": edge.id, "name": "door", "up": None, "direction": None, **place}
        with edge.link() as link:
            status = [wire.CameraStatus(name="door", up=True, fps=9)]
            link.send(wire.encode_text(wire.LinkStatus(cameras=status, spooled=0)))
            assert received(socket, "cameras")["cameras"][0]["up"] is True


def test_a_watcher_gets_the_frames_it_asked_for_until_it_no_longer_does(lone: Any) -> None:
    edge = lone.edge(cameras=("door", "yard"))
    with edge.link() as link, watch(lone) as socket:
        socket.send(json.dumps({"type": "watch", "edge": edge.id, "camera": "yard"}))
        until_watched(link, "yard")
        link.send(frame(camera="door"))
        link.send(frame(camera="yard"))
        while not isinstance(message := socket.recv(timeout=10), bytes):
            pass
        assert unpack_frame(message)[0].camera == "yard"
        socket.send('{"type":"unwatch"}')
        until_told(link, wire.Watch("yard", 0))
        link.send(frame(camera="yard"))
        with contextlib.suppress(TimeoutError):
            while isinstance(socket.recv(timeout=0.2), str):
                pass
            raise AssertionError("a frame came that nobody asked for")


def test_events_come_in_order_from_the_cursor_on_and_go_on_as_they_happen(either: Any, event: Any) -> None:
    edge = either.edge()
    edge.send(*(event() for _ in range(5)))
    with watch(either) as socket:
        socket.send('{"type":"events","after":2}')
        assert events(socket, 3) == [3, 4, 5]
        made = event(name="Bob")
        edge.send(made)
        told = received(socket, "event")
        (logged,) = either.get("/v1/events", params={"after": 5}).json()["items"]
        assert told == {"type": "event", **logged}
        assert told["id"] == str(made.id)


def test_without_a_cursor_events_begin_now(lone: Any, event: Any) -> None:
    edge = lone.edge()
    edge.send(event(), event())
    with watch(lone) as socket:
        socket.send('{"type":"events"}')
        assert first_of_those_to_come(socket, lambda: edge.send(event())) > 2


def test_a_backlog_is_read_page_by_page_and_nothing_is_skipped(
    lone: Any, event: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchers, "PAGE", 7)
    edge = lone.edge()
    edge.send(*(event(thumbnail=None) for _ in range(60)))
    with watch(lone) as socket:
        socket.send('{"type":"events","after":0}')
        edge.send(*(event(thumbnail=None) for _ in range(10)))
        assert events(socket, 70) == list(range(1, 71))


def test_while_one_is_sent_a_long_backlog_others_have_their_turn() -> None:
    turns: list[int] = []
    sent: list[str] = []
    backlog = 5 * watchers.SLICE
    feed = Feed(cast(Any, None))
    feed.news = News(head=backlog, fresh=Fresh(0, backlog, ("event",) * backlog))
    asked = iter([{"type": "websocket.receive", "text": '{"type":"events","after":0}'}])

    async def receive() -> Any:
        return next(asked, None) or await asyncio.Future()

    async def send_text(message: str) -> None:
        sent.append(message)

    async def read(_: Any) -> int:
        return backlog

    async def crowd() -> None:
        watcher = asyncio.create_task(watchers.Watcher(websocket, plane, Caller()).run())
        while sent.count("event") < backlog:
            turns.append(sent.count("event"))
            await asyncio.sleep(0)
        watcher.cancel()

    websocket = cast(Any, SimpleNamespace(receive=receive, send_text=send_text))
    plane = cast(Any, SimpleNamespace(feed=feed, fanout=Fanout(lambda _: None), read=read))
    asyncio.run(crowd())
    assert set(range(watchers.SLICE, backlog, watchers.SLICE)) <= set(turns)


def test_reconnecting_by_cursor_misses_nothing_and_shows_nothing_twice(lone: Any, event: Any) -> None:
    edge, done = lone.edge(), threading.Event()

    def send() -> None:
        for _ in range(60):
            edge.send(event(thumbnail=None))
        done.set()

    sender = threading.Thread(target=send)
    sender.start()
    seen: list[int] = []
    while len(seen) < 60:
        with watch(lone) as socket:
            socket.send(json.dumps({"type": "events", "after": seen[-1] if seen else 0}))
            seen += events(socket, min(7, 60 - len(seen)))
    sender.join()
    assert done.is_set()
    assert seen == list(range(1, 61))


def test_a_cursor_ahead_of_the_log_begins_at_its_end(lone: Any, event: Any) -> None:
    edge = lone.edge()
    edge.send(event(), event())
    with watch(lone) as socket:
        socket.send('{"type":"events","after":1000}')
        assert first_of_those_to_come(socket, lambda: edge.send(event())) > 2


@pytest.mark.parametrize(
    "message",
    [
        "nonsense",
        "{}",
        '{"type":"publish"}',
        '{"type":"events","after":"x"}',
        '{"type":"watch"}',
        '{"type":"watch","edge":"e","camera":"c","fps":0}',
        b"\x00",
        " " * 5000,
        "[" * 4000,
        '{"type":"watch","edge":"e","camera":"c","more":' + "[" * 1900 + "]" * 1900 + "}",
    ],
)
def test_a_watcher_that_says_nonsense_is_told_and_cut_off(server: Any, message: str | bytes) -> None:
    with watch(server) as socket:
        socket.send(message)
        assert close_code(socket) == 4400


def test_too_many_cameras_at_once_are_refused(server: Any) -> None:
    edge = server.edge()
    with watch(server) as socket:
        for n in range(65):
            socket.send(json.dumps({"type": "watch", "edge": edge.id, "camera": str(n)}))
        assert close_code(socket) == 4400


@pytest.mark.parametrize("edge", ["nobody", "x" * 65, "\0"])
def test_an_edge_that_nobody_knows_cannot_be_watched_and_keeps_nobodys_look_from_the_log(
    either: Any, edge: str, wait_for: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchers, "KNOWN_WITHIN_S", 0.1)
    with watch(either) as socket:
        socket.send(json.dumps({"type": "watch", "edge": edge, "camera": "x"}))
        assert close_code(socket) == 4404

    def told() -> list[str]:
        with either.database.read() as connection:
            return [row.action for row in audit.listing(connection)]

    either.get("/v1/events")
    wait_for(lambda: told() == ["stream.open", "event.list"])


def test_an_edge_can_be_watched_as_soon_as_this_process_hears_of_it(lone: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchers, "KNOWN_WITHIN_S", 10.0)
    with watch(lone) as socket:
        socket.send('{"type":"watch","edge":"late","camera":"door"}')
        with lone.edge("late").link() as link:
            until_watched(link, "door")


def test_who_watches_the_same_again_and_again_or_invents_cameras_fills_no_log(lone: Any, wait_for: Any) -> None:
    edge = lone.edge()

    def told(action: str) -> int:
        with lone.database.read() as connection:
            return len(audit.listing(connection, limit=1000, wanted=audit.Wanted(action=action)))

    with watch(lone) as socket:
        for number in range(4 * watchers.MOST_LENSES):
            for camera in ("door", f"invented {number}"):
                socket.send(json.dumps({"type": "watch", "edge": edge.id, "camera": camera}))
            socket.send('{"type":"unwatch"}')
        socket.send("the end")
        assert close_code(socket) == 4400
    lone.get("/v1/events")
    wait_for(lambda: told("event.list"))
    assert told("edge.watch_camera") == watchers.MOST_LENSES + 1


def stalled(port: int, protocol: str) -> sockets.socket:
    """A client that shakes hands and then never reads."""
    raw = sockets.socket()
    raw.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
    raw.connect(("127.0.0.1", port))
    raw.sendall(
        f"GET /ws/face-stream HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{protocol}\r\n".encode()
    )
    return raw


@pytest.mark.parametrize(
    "protocol",
    ["", *(f"Sec-WebSocket-Protocol: {name}\r\n" for name in (wire.WATCH_PROTOCOL, wire.FRAMES_PROTOCOL))],
)
def test_a_client_that_never_reads_delays_nobody_and_is_cut_off(
    lone: Any, monkeypatch: pytest.MonkeyPatch, protocol: str, wait_for: Any
) -> None:
    monkeypatch.setattr(session, "SEND_WITHIN_S", (0.5, 0.5))
    edge, large = lone.edge(), frame(jpeg=JPEG + b"x" * 60_000)
    with stalled(lone.port, protocol) as slow, edge.link() as link:
        if wire.WATCH_PROTOCOL in protocol:
            slow.sendall(masked({"type": "watch", "edge": edge.id, "camera": "door"}))
        with lone.socket("/ws/face-stream") as client:
            until_watched(link, "door")
            until_shown(client, link, large)
            for _ in range(100):
                link.send(large)
                assert len(client.recv(timeout=5)) > 60_000
        # The lease ends when the one that does not read no longer counts as watching.
        ended, deadline = False, time.monotonic() + 5
        while not ended:
            assert time.monotonic() < deadline
            link.send(large)
            with contextlib.suppress(TimeoutError):
                ended = wire.decode_text(link.recv(timeout=0.05), wire.LinkDown) == wire.Watch("door", 0)  # type: ignore[arg-type]
        wait_for(lambda: reset(slow))


def test_a_client_that_reads_a_few_bytes_now_and_then_is_cut_off(lone: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "SEND_WITHIN_S", (0.5, 0.5))
    edge, large = lone.edge(), frame(jpeg=JPEG + b"x" * 60_000)
    with stalled(lone.port, "") as slow, edge.link() as link:
        until_watched(link, "door")
        deadline = time.monotonic() + 20
        while not reset(slow):
            assert time.monotonic() < deadline
            link.send(large)
            slow.recv(1)
            time.sleep(0.01)


def test_whoever_asks_for_frames_alone_gets_them_as_binary(lone: Any) -> None:
    edge = lone.edge(cameras=("door", "yard"))
    with edge.link() as link, lone.socket("/ws/face-stream?camera=yard", wire.FRAMES_PROTOCOL) as client:
        assert client.subprotocol == wire.FRAMES_PROTOCOL
        until_watched(link, "yard")
        link.send(frame(camera="door"))
        link.send(frame(camera="yard"))
        header, jpeg = unpack_frame(client.recv(timeout=10))
        assert (header.camera, header.edge, bytes(jpeg)) == ("yard", edge.id, JPEG)


def test_a_watcher_may_ask_for_fewer_frames(lone: Any) -> None:
    edge = lone.edge()
    with edge.link() as link, watch(lone) as slow, lone.socket("/ws/face-stream?fps=0.1") as slower:
        slow.send(json.dumps({"type": "watch", "edge": edge.id, "camera": "door", "fps": 0.1}))
        with lone.socket("/ws/face-stream") as client:
            until_watched(link, "door")
            until_shown(client, link, frame())
            for _ in range(20):
                link.send(frame())
                client.recv(timeout=10)
        assert isinstance(slower.recv(timeout=10), str)
        with pytest.raises(TimeoutError):
            slower.recv(timeout=0.1)
        pictures = 0
        with contextlib.suppress(TimeoutError):
            while True:
                pictures += isinstance(slow.recv(timeout=0.1), bytes)
        assert pictures == 1


@pytest.mark.parametrize("query", ["fps=0", "fps=-1", "fps=nan", "fps=many", "fps=1000"])
def test_an_impossible_pace_is_refused(server: Any, query: str) -> None:
    with pytest.raises(InvalidStatus) as error:
        server.socket(f"/ws/face-stream?{query}")
    assert error.value.response.status_code == 400


def masked(message: dict[str, str]) -> bytes:
    """A WebSocket text frame with a mask of zeros."""
    text = json.dumps(message).encode()
    return bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text
