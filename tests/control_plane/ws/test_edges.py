from __future__ import annotations

import contextlib
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from control_plane.ws import edges, links
from faces import wire
from faces.wire import CameraStatus, FrameHeader, Funnel, Hint, LinkStatus, Watch, unpack_frame

NOW = datetime(2026, 1, 1, tzinfo=UTC)
JPEG = b"\xff\xd8live"


def receive(socket: Any, kind: type[Any], within_s: float = 10) -> Any:
    """The next message of this kind."""
    deadline = time.monotonic() + within_s
    while True:
        message = wire.decode_text(socket.recv(timeout=deadline - time.monotonic()), wire.LinkDown)  # type: ignore[arg-type]
        if isinstance(message, kind):
            return message


def close_code(socket: Any) -> int | None:
    """The code with which the server ends the connection."""
    with contextlib.suppress(ConnectionClosed):
        while True:
            socket.recv(timeout=10)
    code: int | None = socket.close_code
    return code


def watch(server: Any, edge: Any, camera: str = "door") -> Any:
    socket = server.socket("/ws/face-stream", wire.WATCH_PROTOCOL)
    socket.send(f'{{"type":"watch","edge":"{edge.id}","camera":"{camera}"}}')
    return socket


def frame(camera: str = "door", **claims: str) -> bytes:
    return wire.pack_frame(FrameHeader(camera=camera, captured_at=NOW, width=64, height=36, faces=[], **claims), JPEG)


def test_an_edge_is_told_where_its_galleries_stand_at_once_and_on_each_change(server: Any) -> None:
    edge = server.edge()
    with edge.link() as link:
        before = receive(link, Hint)
        assert before.gallery == "default"
        server.person("Ann", photos=0)
        assert receive(link, Hint) == Hint("default", before.revision + 1)


def test_an_edge_of_a_site_that_does_not_follow_is_told_nothing(server: Any) -> None:
    server.post("/v1/sites", json={"name": "apart", "galleries": []})
    edge, other = server.edge(site="apart"), server.edge()
    with edge.link() as link, other.link() as heard:
        server.person("Ann", photos=0)
        receive(heard, Hint)
        with pytest.raises(TimeoutError):
            link.recv(timeout=0.3)


def test_a_camera_is_leased_while_somebody_watches_and_frames_reach_them(server: Any) -> None:
    edge = server.edge()
    with edge.link() as link:
        watcher = watch(server, edge)
        assert receive(link, Watch) == Watch("door", 10.0)
        link.send(frame(site="elsewhere", edge="somebody else"))
        while not isinstance(message := watcher.recv(timeout=10), bytes):
            pass
        header, jpeg = unpack_frame(message)
        assert (header.camera, header.site, header.edge, bytes(jpeg)) == ("door", "default", edge.id, JPEG)
        watcher.close()
        assert receive(link, Watch) == Watch("door", 0)


def test_a_lease_is_renewed_while_somebody_watches(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (edges, links):
        monkeypatch.setattr(module, "RENEW_AFTER_S", 0.1)
    edge = server.edge()
    with edge.link() as link, watch(server, edge):
        assert [receive(link, Watch) for _ in range(3)] == [Watch("door", 10.0)] * 3


def test_an_edge_that_comes_back_is_leased_what_is_watched(server: Any) -> None:
    edge = server.edge()
    with watch(server, edge):
        for _ in range(2):
            with edge.link() as link:
                assert receive(link, Watch).camera == "door"


def test_an_edges_status_is_kept(server: Any, wait_for: Any) -> None:
    edge = server.edge(cameras=("door", "yard"))
    with edge.link() as link:
        cameras = [CameraStatus(name="door", up=True, fps=12.5), CameraStatus(name="yard", up=False, fps=0)]
        link.send(wire.encode_text(LinkStatus(cameras=cameras, spooled=17)))
        shown = wait_for(lambda: (e := server.get(f"/v1/edges/{edge.id}").json())["spooled"] == 17 and e)
    assert {c["name"]: c["up"] for c in shown["cameras"]} == {"door": True, "yard": False}
    assert [(c["fps"], c["dropped"], c["funnel"]) for c in shown["cameras"]] == [(12.5, 0, None), (0.0, 0, None)]


def test_of_two_connections_of_one_edge_the_newest_stays(server: Any) -> None:
    edge = server.edge()
    with edge.link() as older:
        receive(older, Hint)
        with edge.link() as newer:
            assert close_code(older) == 4409
            receive(newer, Hint)
            server.person("Ann", photos=0)
            receive(newer, Hint)


@pytest.mark.parametrize(
    "message", ["nonsense", "{}", '{"type":"hint","gallery":"x","revision":1}', b"", b"\0\0\0\2{}", b"\xff" * 100]
)
def test_an_edge_that_says_nonsense_is_told_and_cut_off(server: Any, message: str | bytes) -> None:
    with server.edge().link() as link:
        link.send(message)
        assert close_code(link) == 4400


@pytest.mark.parametrize(
    "status",
    [
        LinkStatus(cameras=[], spooled=2**31),
        LinkStatus(cameras=[], spooled=-1),
        LinkStatus(cameras=[CameraStatus(name="a\0b", up=True, fps=1)], spooled=0),
        LinkStatus(cameras=[CameraStatus(name="door", up=True, fps=1, dropped=2**63)], spooled=0),
        LinkStatus(cameras=[CameraStatus(name="door", up=True, fps=1, dropped=-(2**63) - 1)], spooled=0),
        LinkStatus(cameras=[CameraStatus(name="door", up=True, fps=1, funnel=Funnel(margin=2**64))], spooled=0),
    ],
)
def test_a_status_that_no_database_takes_is_refused(either: Any, status: LinkStatus) -> None:
    with either.edge().link() as link:
        link.send(wire.encode_text(status))
        assert close_code(link) == 4400


def test_frames_that_nobody_watches_are_dropped(server: Any) -> None:
    edge = server.edge()
    with edge.link() as link:
        for _ in range(100):
            link.send(frame())
        link.send(frame(camera="never heard of"))
        server.person("Ann", photos=0)
        receive(link, Hint)


def test_an_edge_nobody_knows_gets_no_link_and_is_told_the_remedy(server: Any) -> None:
    edge = server.edge()
    edge.id = "stranger"
    with pytest.raises(InvalidStatus) as error:
        edge.link()
    assert error.value.response.status_code == 404
    assert b"PUT /v1/edges" in (error.value.response.body or b"")


def test_without_the_subprotocol_there_is_no_link(server: Any) -> None:
    with pytest.raises(InvalidStatus) as error:
        server.socket("/v1/edge/link", headers=server.edge().headers)
    assert error.value.response.status_code == 400
