from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest

from edge.config import CameraConfig, Config
from faces.face import Picture
from rollcall import film
from rollcall.doctor import camera
from rollcall.doctor.camera import Seen
from rollcall.doctor.finding import Finding, Verdict
from rollcall.up import free_port

SERVER = Path(__file__).parents[2] / "edge" / "rtsp_server.py"


def config(source: str) -> CameraConfig:
    return Config.read({"VIDEO_SOURCE": source, "CAMERA": "door"}).cameras[0]


def seen(size: tuple[int, int] = (1280, 720), gaps: list[float] | None = None, **looks: bool) -> Seen:
    moments = [0.0, *np.cumsum(gaps or [0.04] * 100).tolist()]
    return Seen(size, moments, **{"dark": False, "frozen": False, **looks})


@pytest.mark.parametrize(
    ("shown", "told"),
    [
        (seen(), []),
        (seen(dark=True), ["its picture is black"]),
        (seen(frozen=True), ["nothing moved in its picture for 4 s, not even noise"]),
        (seen((320, 240)), ["its picture is small (320 x 240)"]),
        (seen(gaps=[0.2] * 20), ["it gives 5.0 frames a second"]),
        (seen(gaps=[0.04] * 50 + [0.9]), ["pictures come unevenly: up to 0.9 s apart"]),
        (seen(gaps=[0.001, 0.001, 0.118] * 30), ["pictures come unevenly: up to 0.1 s apart"]),
    ],
)
def test_what_a_camera_shows_is_judged(shown: Seen, told: list[str]) -> None:
    first, *others = camera.judged("door", shown)
    assert first.verdict is Verdict.GOOD
    assert [finding.told for finding in others] == told
    assert all(finding.remedy for finding in others)


@pytest.mark.usefixtures("brief")
def test_a_film_is_a_good_camera(data: Path) -> None:
    (found,) = camera.examine(config(str(data / "video" / "stage.mp4")))
    assert found.verdict is Verdict.GOOD
    assert (found.figures["width"], found.figures["height"]) == (640, 360)
    assert 0 < found.figures["fps"] < 33, "as it plays, or less where the machine is slower"


@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize(("grey", "told"), [(0, "its picture is black"), (128, "nothing moved in its picture")])
def test_a_picture_without_anything_to_see_is_told_of(tmp_path: Path, grey: int, told: str) -> None:
    picture: Picture = np.full((film.HEIGHT, film.WIDTH, 3), grey, np.uint8)
    film.write(tmp_path / "film.avi", iter([picture] * 40))
    _, found = camera.examine(config(str(tmp_path / "film.avi")))
    assert found.told.startswith(told)


@pytest.fixture(scope="module")
def rtsp(gstreamer: str) -> Iterator[str]:
    """The URL of an RTSP camera that wants a password."""
    port = free_port()
    server = subprocess.Popen(
        [gstreamer, str(SERVER), str(port), "640", "360", "user", "word"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert server.stdout is not None
    assert server.stdout.readline() == b"ready\n"
    yield f"rtsp://user:word@127.0.0.1:{port}/live"
    server.kill()
    server.communicate()


@pytest.mark.usefixtures("brief")
def test_an_rtsp_camera_is_watched(rtsp: str) -> None:
    first, *_ = camera.examine(config(rtsp))
    assert first.verdict is Verdict.GOOD
    assert first.figures["fps"] > 5


def nothing(source: int | str) -> Finding:
    found = camera.nothing("door", source, "what is shown of it")
    assert found.verdict is Verdict.FAULT
    assert found.remedy
    assert "word" not in found.told
    return found


def test_why_an_rtsp_camera_shows_nothing_is_told(rtsp: str) -> None:
    assert "refuses user and pass" in camera.nothing("door", rtsp, "it").told
    assert "nothing listens" in nothing(f"rtsp://127.0.0.1:{free_port()}/live").told
    assert "no such host" in nothing("rtsp://no-such-host.invalid/live").told


def test_what_a_password_opens_is_looked_at_without_it(rtsp: str) -> None:
    assert camera.answered(rtsp) == 401
    assert camera.answered(f"rtsp://127.0.0.1:{urlsplit(rtsp).port}/elsewhere") in (401, 404)


@pytest.mark.parametrize(
    ("status", "told"),
    [(401, "refuses user"), (404, "no such stream"), (500, "answers 500"), (200, "sends no picture")],
)
def test_why_an_http_camera_shows_nothing_is_told(status: int, told: str) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    serving = threading.Thread(target=server.serve_forever, args=(0.01,))
    serving.start()
    try:
        assert told in camera.nothing("door", f"http://127.0.0.1:{server.server_port}/video", "it").told
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


def test_what_is_no_camera_answers_nonsense() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            near, _ = listening.accept()
            with near:
                near.recv(1000)
                near.sendall(b"SSH-2.0-OpenSSH\r\n")

        answering = threading.Thread(target=answer)
        answering.start()
        assert "nonsense" in nothing(f"rtsp://127.0.0.1:{listening.getsockname()[1]}/live").told
        answering.join()


def test_a_device_that_is_not_there_is_told_of() -> None:
    assert "there is no /dev/video987" in nothing(987).told


def test_a_film_that_cannot_be_read_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera, "OPENS_S", 0.5)
    (tmp_path / "film.avi").write_text("no film")
    (found,) = camera.examine(config(str(tmp_path / "film.avi")))
    assert "cannot be read as a film" in found.told
