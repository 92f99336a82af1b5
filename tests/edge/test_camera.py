from __future__ import annotations

import logging
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.camera import MOST_HUNG, Camera, _Attempt
from edge.config import Loop, Pace
from edge.frames import Frame
from edge.notice import Change, Notice
from edge.outlook import View
from edge.source import redact
from faces.engine import images
from faces.errors import SettingError

FPS = 29.97


@pytest.fixture
def running() -> Iterator[Callable[[Camera], Camera]]:
    started: list[tuple[Camera, threading.Thread]] = []

    def run(camera: Camera) -> Camera:
        thread = threading.Thread(target=camera.run)
        thread.start()
        started.append((camera, thread))
        return camera

    yield run
    for camera, thread in started:
        camera.stop()
        thread.join(15)
        assert not thread.is_alive()


Run = Callable[[Camera], Camera]


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        (0, "0"),
        ("films/stage.mp4", "films/stage.mp4"),
        ("rtsp://cam/stream", "rtsp://cam/stream"),
        ("rtsp://user:secret@cam:554/stream", "rtsp://cam:554/stream"),
        ("rtsp://u:secret@ss:w#rd?@host/", "rtsp://host/"),
        ("http://cam/video?user=u&password=secret", "http://cam/video"),
        ("http://cam/video#secret", "http://cam/video"),
        ("rtsp:/user:secret@cam/stream", "cam/stream"),
    ],
)
def test_a_source_is_shown_without_its_password(source: int | str, shown: str) -> None:
    assert redact(source) == shown


def test_every_frame_of_a_file_comes_in_order_at_its_own_time(data: Path, running: Run) -> None:
    before = datetime.now(UTC)
    camera = running(Camera("stage", str(data / "video" / "stage.mp4"), Pace.EVERY_FRAME))
    frames: list[Frame] = []
    while isinstance(item := camera.next(10), Frame):
        frames.append(item)
    assert isinstance(item, Notice)
    assert item.change is Change.END
    assert [frame.number for frame in frames] == list(range(275))
    first, last = frames[0], frames[-1]
    assert last.moment - first.moment == pytest.approx(274 / FPS, abs=0.01)
    assert (last.captured_at - first.captured_at).total_seconds() == pytest.approx(274 / FPS, abs=0.01)
    assert before <= first.captured_at <= datetime.now(UTC)
    assert (first.camera, first.size, camera.size, first.picture.dtype) == ("stage", (640, 360), (640, 360), np.uint8)
    assert not camera.up


def test_pictures_are_rgb(data: Path, running: Run) -> None:
    camera = running(Camera("stage", str(data / "video" / "stage.mp4"), Pace.EVERY_FRAME))
    frame = camera.next(10)
    assert isinstance(frame, Frame)
    red, _, blue = frame.picture.reshape(-1, 3).mean(axis=0)
    assert red > blue + 10, "a stage in warm light"


def test_a_file_waits_for_whoever_takes_every_frame(data: Path, running: Run, until: Callable[..., None]) -> None:
    camera = running(Camera("stage", str(data / "video" / "stage.mp4"), Pace.EVERY_FRAME))
    until(lambda: camera._number >= 2)
    time.sleep(0.05)
    assert camera._number == 2, "one is offered, one is ready"


def taken(camera: Camera) -> tuple[Frame, int]:
    """The next frame, and how many have given way until it was taken."""
    with camera._changed:
        frame = camera.next(10)
        assert isinstance(frame, Frame)
        return frame, camera.dropped


def test_a_file_in_real_time_gives_the_newest_frame_to_a_slow_reader(
    data: Path, running: Run, until: Callable[..., None]
) -> None:
    camera = running(Camera("stage", str(data / "video" / "stage.mp4")))
    first, _ = taken(camera)
    until(lambda: camera.dropped >= 0.3 * FPS)
    second, dropped = taken(camera)
    assert second.number == dropped + 1, "all before it were taken, or have given way"
    assert first.moment < second.moment <= time.monotonic()
    third, dropped = taken(camera)
    assert third.number == dropped + 2


def test_a_frame_that_is_not_wanted_yet_is_not_given(data: Path, running: Run, until: Callable[..., None]) -> None:
    frames: list[Frame] = []

    def take() -> None:
        """On the thread that captures: no frame comes between."""
        item = camera.next(0)
        if isinstance(item, Frame):
            frames.append(item)
            camera.wanted_from = frames[0].moment + 0.5

    camera = Camera("stage", str(data / "video" / "stage.mp4"), offered=take)
    running(camera)
    until(lambda: len(frames) >= 2)
    assert 0.5 <= frames[1].moment - frames[0].moment < 0.5 + 1.01 / FPS
    assert camera.dropped == 0


def test_a_loop_goes_on_in_time_and_number(data: Path, running: Run) -> None:
    camera = running(Camera("signer", str(data / "video" / "signer-2.mkv"), Pace.EVERY_FRAME, Loop.LOOP))
    frames = [camera.next(10) for _ in range(120)]
    numbers = [frame.number for frame in frames if isinstance(frame, Frame)]
    moments = [frame.moment for frame in frames if isinstance(frame, Frame)]
    assert numbers == list(range(120)), "the film has 52 frames"
    assert np.diff(moments).min() > 0


def test_a_missing_file_stops_the_start() -> None:
    with pytest.raises(SettingError, match=r"VIDEO_SOURCE: there is no file films/none\.mp4"):
        Camera("stage", "films/none.mp4")


@pytest.mark.parametrize("name", ["-i.mkv", "concat:a|b.mkv", "film%03d.mkv"])
def test_a_file_s_name_is_no_option_protocol_or_pattern(
    data: Path, tmp_path: Path, running: Run, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / name).write_bytes((data / "video" / "signer-2.mkv").read_bytes())
    monkeypatch.chdir(tmp_path)
    assert isinstance(running(Camera("signer", name)).next(10), Frame)


def test_a_file_that_is_no_film_is_lost_and_ends(tmp_path: Path, running: Run) -> None:
    (tmp_path / "noise.mp4").write_bytes(b"no film at all" * 100)
    camera = running(Camera("stage", str(tmp_path / "noise.mp4")))
    lost, end = camera.next(10), camera.next(10)
    assert isinstance(lost, Notice)
    assert isinstance(end, Notice)
    assert (lost.change, lost.reason, end.change) == (Change.LOST, "the file cannot be read", Change.END)


class NetworkCamera:
    """A camera that speaks motion JPEG over HTTP, and can be unplugged. Each picture is of one grey, brighter by
    `brightens` than the last."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"http://user:secret@127.0.0.1:{self.port}/video.mjpg?token=secret"
        self.grey = 0
        self.brightens = 1
        self.plugged = False
        self.plug()

    def plug(self) -> None:
        camera = self
        self.plugged = True

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                try:
                    while camera.plugged:
                        camera.grey += camera.brightens
                        jpeg = images.jpeg(np.full((120, 160, 3), camera.grey % 256, np.uint8), 95)
                        self.wfile.write(
                            b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(jpeg)
                        )
                        self.wfile.write(jpeg + b"\r\n")
                        time.sleep(0.03)
                except OSError:
                    pass

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def unplug(self) -> None:
        if self.plugged:
            self.plugged = False
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()


@pytest.fixture
def network_camera() -> Iterator[NetworkCamera]:
    camera = NetworkCamera()
    yield camera
    camera.unplug()


def next_notice(camera: Camera) -> Notice:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        item = camera.next(1)
        if isinstance(item, Notice):
            return item
    raise AssertionError("no notice came")


def test_a_camera_that_is_lost_says_so_once_and_never_gives_an_old_frame(
    network_camera: NetworkCamera,
    running: Run,
    until: Callable[..., None],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.INFO)
    network_camera.grey, network_camera.brightens = 50, 0
    camera = running(Camera("door", network_camera.url))
    frame = camera.next(20)
    assert isinstance(frame, Frame)
    assert frame.size == (160, 120)
    assert abs((datetime.now(UTC) - frame.captured_at).total_seconds()) < 5
    # A frame waits that nobody takes: it is old once the camera is lost.
    until(lambda: camera._pending)
    network_camera.unplug()
    until(lambda: camera._lost)
    lost = camera.next(20)
    assert isinstance(lost, Notice)
    assert lost.change is Change.LOST
    assert camera.next(0.5) is None, "lost is said once, however often it is tried again"
    network_camera.grey = 150
    network_camera.plug()
    back = next_notice(camera)
    assert back.change is Change.BACK
    frame = camera.next(10)
    assert isinstance(frame, Frame)
    assert frame.captured_at > lost.at
    assert frame.picture.mean() > 140, "a frame from before would be darker"
    assert "secret" not in caplog.text
    assert "".join(capfd.readouterr()) == "", "OpenCV and FFmpeg keep quiet"


def test_a_camera_that_never_was_there_is_lost(running: Run) -> None:
    with socket.socket() as deaf:
        # Nobody listens there, and nobody else can.
        deaf.bind(("127.0.0.1", 0))
        camera = running(Camera("door", f"http://127.0.0.1:{deaf.getsockname()[1]}/video"))
        notice = next_notice(camera)
    assert (notice.change, notice.reason) == (Change.LOST, "it cannot be opened")
    assert not camera.up


def test_a_call_that_never_returns_costs_the_camera_nothing_but_time(
    network_camera: NetworkCamera, running: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()
    calls: list[threading.Thread] = []
    whole = Camera._open

    def hangs_twice(camera: Camera) -> cv2.VideoCapture:
        calls.append(threading.current_thread())
        if len(calls) <= 2:
            release.wait()
        return whole(camera)

    monkeypatch.setattr(Camera, "_open", hangs_twice)
    monkeypatch.setattr("edge.camera.HUNG_S", 0.1)
    camera = Camera("door", network_camera.url)
    hangs = _Attempt.hangs
    # The third call does not hang, however long it takes.
    monkeypatch.setattr(_Attempt, "hangs", lambda attempt: len(camera._hung) < 2 and hangs(attempt))
    running(camera)
    lost, back = next_notice(camera), next_notice(camera)
    assert (lost.change, lost.reason, back.change) == (Change.LOST, "it hangs", Change.BACK)
    before = camera.next(10)
    release.set()
    for call in calls[:2]:
        call.join(10)
        assert not call.is_alive(), "what was left behind ends by itself"
    after = camera.next(10)
    assert isinstance(before, Frame)
    assert isinstance(after, Frame)
    assert after.number > before.number
    assert len(calls) == 3, "and its frames are not offered"


def test_no_more_calls_than_a_few_are_left_behind(
    network_camera: NetworkCamera, running: Run, until: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()
    calls: list[None] = []

    def hangs(camera: Camera) -> cv2.VideoCapture:
        calls.append(None)
        release.wait()
        return cv2.VideoCapture()

    monkeypatch.setattr(Camera, "_open", hangs)
    monkeypatch.setattr("edge.camera.HUNG_S", 0.01)
    camera = Camera("door", network_camera.url)
    monkeypatch.setattr(camera._backoff, "wait_s", lambda: 0.01)
    running(camera)
    until(lambda: len(calls) == MOST_HUNG)
    time.sleep(0.2)
    assert len(calls) == MOST_HUNG
    camera.stop()
    release.set()
    until(lambda: all(attempt.over.is_set() for attempt in camera._hung))


def test_a_camera_that_answers_slowly_is_given_more_time(
    running: Run, until: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.camera.OPEN_S", 0.1)
    monkeypatch.setattr("edge.camera.MOST_OPEN_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        camera = running(Camera("door", f"rtsp://127.0.0.1:{silent.getsockname()[1]}/live"))
        notice = next_notice(camera)
        assert (notice.change, notice.reason) == (Change.LOST, "it cannot be opened")
        until(lambda: camera._patience_s == 0.5)


def test_a_dark_picture_and_a_frozen_one_are_noticed_and_a_frozen_one_is_not_given(
    network_camera: NetworkCamera, running: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.outlook.FROZEN_S", 0.5)
    network_camera.brightens = 10
    camera = running(Camera("door", network_camera.url))
    assert isinstance(camera.next(20), Frame)
    network_camera.brightens = 0
    assert next_notice(camera).change is Change.FROZEN
    assert camera.view is View.FROZEN
    assert camera.next(0.5) is None
    assert camera.up
    network_camera.brightens = 10
    assert next_notice(camera).change is Change.CLEAR
    assert isinstance(camera.next(10), Frame)
    monkeypatch.setattr("edge.outlook.FROZEN_S", 60.0)
    network_camera.grey, network_camera.brightens = 2, 0
    monkeypatch.setattr("edge.outlook.DARK_S", 0.5)
    assert next_notice(camera).change is Change.DARK
    assert isinstance(camera.next(10), Frame), "who knows what can be seen in it"
    network_camera.unplug()
    assert next_notice(camera).change is Change.LOST
    network_camera.plug()
    assert next_notice(camera).change is Change.BACK
    assert next_notice(camera).change is Change.DARK, "what is still so is said again"


@pytest.mark.parametrize("scheme", ["http", "rtsp"])
def test_garbage_from_the_first_byte_on_is_a_camera_that_cannot_be_opened(
    scheme: str, running: Run, until: Callable[..., None], capfd: pytest.CaptureFixture[str]
) -> None:
    chance = random.Random(8)
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n"
    answered = 0
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            nonlocal answered
            with suppress(OSError):
                while True:
                    client, _ = server.accept()
                    with client, suppress(OSError):
                        client.recv(1000)
                        picture = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: 2000\r\n\r\n\xff\xd8\xff\xe0"
                        client.sendall(answer + b"".join(picture + chance.randbytes(2000) for _ in range(50)))
                    answered += 1

        thread = threading.Thread(target=serve)
        thread.start()
        camera = running(Camera("door", f"{scheme}://127.0.0.1:{server.getsockname()[1]}/live"))
        notice = next_notice(camera)
        assert (notice.change, notice.reason) == (Change.LOST, "it cannot be opened")
        until(lambda: answered >= 3)
        camera.stop()
        server.shutdown(socket.SHUT_RDWR)
        thread.join(10)
    assert "".join(capfd.readouterr()) == ""


def test_a_camera_that_comes_and_goes_is_not_opened_ever_so_often(
    network_camera: NetworkCamera, running: Run, until: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = Camera("door", network_camera.url)
    resets: list[None] = []
    monkeypatch.setattr(camera._backoff, "wait_s", lambda: 0.01)
    monkeypatch.setattr(camera._backoff, "reset", lambda: resets.append(None))
    running(camera)

    def come_and_go() -> None:
        until(lambda: camera.up)
        network_camera.unplug()
        until(lambda: not camera.up)
        network_camera.plug()

    come_and_go()
    assert resets == []
    monkeypatch.setattr("edge.camera.STEADY_S", 0.0)
    come_and_go()
    until(lambda: resets)
