from __future__ import annotations

import stat
import threading
from collections.abc import Callable, Iterator, Set
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest

from edge import managed
from edge.__main__ import Edge
from edge.config import Config
from edge.orders import LOOK_S, Orders
from edge.plane import ControlPlane
from edge.reload import Reloader
from edge.seal import FILE, Seal, open_seal
from faces.engine import Engine, images
from faces.errors import SettingError
from faces.masterkey import Source
from faces.wire import CameraOrder, OrderAction, OrderOutcome

PUT, REMOVE, LOOK = OrderAction
BOUNDARY = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n"


@pytest.fixture(scope="module")
def stream() -> Iterator[str]:
    """A camera that sends motion JPEG over HTTP; returns its URL, which holds a password."""
    picture = np.random.default_rng(1).integers(0, 255, (240, 320, 3), dtype=np.uint8)
    jpeg = images.jpeg(picture)
    stopping = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            try:
                while not stopping.wait(0.05):
                    self.wfile.write(BOUNDARY % (len(jpeg), jpeg))
            except OSError:
                return

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://user:hush@127.0.0.1:{server.server_port}/video.mjpg"
    stopping.set()
    server.shutdown()
    server.server_close()
    thread.join()


def read(folder: Path, **more: str) -> Config:
    return Config.read({"DATA_DIR": str(folder), "EDGE_CONFIG": "", **more})


def order(action: OrderAction, camera: str, **settings: str) -> CameraOrder:
    return CameraOrder(id=uuid4().hex, action=action, camera=camera, settings=settings)


@pytest.fixture
def seal(tmp_path: Path) -> Seal:
    """The edge's own, by the settings that `read` reads."""
    return open_seal(tmp_path, Source.of(read(tmp_path)))


@pytest.fixture
def done(plane: Any, seal: Seal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., OrderOutcome]:
    """Has an edge do an order; returns how it says that it went."""
    monkeypatch.chdir(tmp_path)

    def do(given: CameraOrder, *, own: Set[str] = frozenset(), allowed: bool = True) -> OrderOutcome:
        def watched() -> set[str]:
            return {*own, *managed.load(tmp_path, lambda: seal)}

        plane.orders = [given]
        asked = ControlPlane(plane.url, uuid4())
        Orders(asked, tmp_path, watched, lambda: void(read(tmp_path)), allowed=allowed, seal=seal).step()
        outcome: OrderOutcome = plane.outcomes[given.id]
        return outcome

    return do


def void(_: object) -> None:
    pass


def test_a_camera_that_is_put_is_kept_for_the_edges_user_alone(
    done: Callable[..., OrderOutcome], tmp_path: Path
) -> None:
    assert done(order(PUT, "gate", source="rtsp://user:hush@10.0.0.9/1", max_fps="10")) == OrderOutcome(done=True)
    (camera,) = read(tmp_path).cameras
    assert (camera.name, camera.source, camera.max_fps) == ("gate", "rtsp://user:hush@10.0.0.9/1", 10)
    assert stat.S_IMODE((tmp_path / managed.NAME).stat().st_mode) == 0o600
    assert not any(word in (tmp_path / managed.NAME).read_bytes() for word in (b"hush", b"rtsp", b"gate"))
    assert done(order(REMOVE, "gate")).done
    assert [camera.name for camera in read(tmp_path).cameras] == ["camera"]


def test_what_cannot_be_used_changes_nothing(done: Callable[..., OrderOutcome], tmp_path: Path) -> None:
    assert done(order(PUT, "gate", source="rtsp://10.0.0.9/1")).done
    outcome = done(order(PUT, "gate", source="rtsp://10.0.0.9/2", max_fps="fast"))
    assert not outcome.done
    assert "max_fps" in outcome.message or "MAX_FPS" in outcome.message
    assert read(tmp_path).cameras[0].source == "rtsp://10.0.0.9/1"


def test_an_order_that_the_disk_does_not_take_is_refused_and_holds_up_none(
    done: Callable[..., OrderOutcome], tmp_path: Path
) -> None:
    (tmp_path / managed.NAME).with_suffix(".new").mkdir()
    outcome = done(order(PUT, "gate", source="rtsp://user:hush@10.0.0.9/1"))
    assert not outcome.done
    assert outcome.message.startswith("the edge cannot keep its cameras: ")
    assert "DATA_DIR" in outcome.remedy
    assert str(tmp_path) not in outcome.message, "the disk's paths are the edge's own"


@pytest.mark.parametrize("source", ["file:///etc/passwd", "/etc/passwd", "films/door.mp4", "concat:a|b", "-i", ""])
def test_no_order_reads_a_file_of_the_edge(done: Callable[..., OrderOutcome], source: str, tmp_path: Path) -> None:
    for action in (PUT, LOOK):
        outcome = done(order(action, "gate", source=source))
        assert (outcome.done, outcome.picture) == (False, None)
        assert "no camera's number or URL" in outcome.message
    assert not (tmp_path / managed.NAME).exists()


def test_a_camera_of_the_edges_own_file_is_changed_there_alone(done: Callable[..., OrderOutcome]) -> None:
    for action in (PUT, REMOVE):
        outcome = done(order(action, "door", source="0"), own={"door"})
        assert (outcome.done, outcome.message) == (False, "this camera is set at the edge itself")


def test_an_edge_may_take_no_orders_at_all(done: Callable[..., OrderOutcome], tmp_path: Path) -> None:
    outcome = done(order(PUT, "gate", source="0"), allowed=False)
    assert (outcome.done, outcome.message) == (False, "this edge takes no orders")
    assert managed.load(tmp_path) == {}


def test_a_look_brings_a_picture_of_a_camera_that_is_not_watched_yet(
    done: Callable[..., OrderOutcome], stream: str
) -> None:
    outcome = done(order(LOOK, "gate", source=stream))
    assert (outcome.done, outcome.message) == (True, "320 x 240")
    assert images.load(outcome.picture or b"").shape == (240, 320, 3)


def test_a_look_at_nothing_says_why_and_keeps_the_password(done: Callable[..., OrderOutcome]) -> None:
    outcome = done(order(LOOK, "gate", source="http://user:hush@127.0.0.1:9/video"))
    assert not outcome.done
    assert outcome.message == "http://127.0.0.1:9/video gives no picture: it cannot be opened"
    assert "hush" not in outcome.message + outcome.remedy


def test_what_was_kept_plain_is_sealed_when_the_edge_starts(tmp_path: Path, seal: Seal) -> None:
    cameras = {"gate": {"source": "rtsp://user:hush@10.0.0.9/1"}}
    managed.save(tmp_path, cameras)
    managed.seal_plain(tmp_path, seal)
    assert b"hush" not in (tmp_path / managed.NAME).read_bytes()
    assert managed.load(tmp_path, lambda: seal) == cameras
    assert read(tmp_path).cameras[0].source == "rtsp://user:hush@10.0.0.9/1"
    (tmp_path / FILE).unlink()
    with pytest.raises(SettingError, match="cannot be read"):
        read(tmp_path)


def test_a_file_that_holds_no_cameras_is_complained_of(tmp_path: Path) -> None:
    (tmp_path / managed.NAME).write_bytes(b"[1]")
    with pytest.raises(SettingError, match="cannot be read"):
        managed.load(tmp_path)


def test_an_edge_watches_what_it_is_ordered_and_shows_it(
    plane: Any, engine: Engine, stream: str, tmp_path: Path, until: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "edge-data"

    def config() -> Config:
        return read(folder, CONTROL_PLANE_URL=plane.url)

    def told() -> list[str]:
        return plane.hellos[-1][1].cameras if plane.hellos else []

    put, look, remove = order(PUT, "gate", source=stream), order(LOOK, "gate"), order(REMOVE, "gate")
    plane.orders = [put]
    managed_before = config()
    edge = Edge(managed_before, engine)
    thread = threading.Thread(target=edge.run, args=(Reloader(managed_before.file, config, edge.change),))
    thread.start()
    try:
        until(lambda: put.id in plane.outcomes)
        until(lambda: told() == ["gate"])
        plane.orders.append(look)
        edge._ordered()
        until(lambda: look.id in plane.outcomes, 2 * LOOK_S)
        assert images.load(plane.outcomes[look.id].picture).shape == (240, 320, 3)
        plane.orders.append(remove)
        edge._ordered()
        until(lambda: remove.id in plane.outcomes)
        until(lambda: told() == ["camera"])
    finally:
        edge.stop()
        thread.join(15)
    assert not thread.is_alive()
