from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import numpy as np
import pytest
import requests

from edge.frames import Frame, Sight
from edge.preview import GONE_S, Preview, annotated
from faces.engine import images
from faces.errors import SettingError
from faces.events import Status
from faces.face import Picture
from faces.wire import Seen

NOON = datetime(2025, 6, 1, 12, 0, tzinfo=UTC)


def sight(*seen: Seen, value: int = 100, camera: str = "door") -> Sight:
    return Sight(Frame(camera, 1, NOON, 0.0, np.full((120, 160, 3), value, np.uint8)), seen, ())


ADA = Seen(box=(20, 30, 60, 80), status=Status.PASS, name="<b>Ada</b>", distance=0.3)
STRANGER = Seen(box=(100, -10, 400, 60), status=Status.REJECT)


@pytest.fixture
def clock() -> list[float]:
    return [0.0]


@pytest.fixture
def preview(clock: list[float]) -> Iterator[Preview]:
    preview = Preview("127.0.0.1", 0, 90, lambda: clock[0])
    thread = threading.Thread(target=preview.run)
    thread.start()
    yield preview
    preview.stop()
    thread.join(10)


def test_faces_are_outlined_by_what_became_of_them() -> None:
    seen = sight(ADA, STRANGER)
    _, picture = annotated(seen)
    assert picture[30, 40].tolist() == picture[79, 40].tolist() == picture[50, 20].tolist() == [40, 190, 80]
    assert picture[59, 120].tolist() == picture[30, 101].tolist() == picture[30, 159].tolist() == [225, 60, 50]
    assert picture[50, 40].tolist() == [100, 100, 100]
    assert (seen.frame.picture == 100).all(), "what others see stays as it was"


def test_the_page_shows_picture_and_names(preview: Preview) -> None:
    preview.offer(sight(ADA))
    page = requests.get(preview.url, timeout=5)
    assert page.status_code == 200
    assert "/picture?camera=" in page.text
    ((face,),) = [frame["faces"] for frame in requests.get(preview.url + "faces", timeout=5).json()]
    assert (face["name"], face["status"], face["box"]) == ("<b>Ada</b>", "PASS", [20, 30, 60, 80])
    assert "textContent" in page.text, "a name is never taken for HTML"


def test_every_camera_is_shown_as_long_as_it_shows_something(clock: list[float], preview: Preview) -> None:
    def cameras() -> list[str]:
        return [frame["camera"] for frame in requests.get(preview.url + "faces", timeout=5).json()]

    preview.offer(sight(value=50))
    preview.offer(sight(value=200, camera="gate & garden"))
    assert cameras() == ["door", "gate & garden"]
    with requests.get(preview.url + "picture?camera=gate+%26+garden&1", stream=True, timeout=5) as response:
        assert next_jpeg(response.iter_content(1))[60, 80].tolist() == pytest.approx([200] * 3, abs=3)
    assert requests.get(preview.url + "picture?camera=none", timeout=5).status_code == 404
    clock[0] += GONE_S
    preview.offer(sight(value=50))
    clock[0] += 1
    assert cameras() == ["door"]


def test_the_picture_moves(preview: Preview) -> None:
    preview.offer(sight(value=0))
    with requests.get(preview.url + "picture", stream=True, timeout=5) as response:
        assert response.headers["Content-Type"] == "multipart/x-mixed-replace; boundary=frame"
        content = response.iter_content(1)
        assert next_jpeg(content).mean() < 3
        for value in (50, 200):
            preview.offer(sight(value=value))
            assert next_jpeg(content)[60, 80].tolist() == pytest.approx([value] * 3, abs=3)


def next_jpeg(content: Iterator[bytes]) -> Picture:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += next(content)
    size = int(head.partition(b"Content-Length: ")[2].split()[0])
    return images.load(b"".join(next(content) for _ in range(size)))


@pytest.mark.parametrize(
    ("path", "host", "status"),
    [
        ("", "rebound.example:5050", 403),
        ("picture", "evil", 403),
        ("", "localhost:5050", 200),
        ("etc/passwd", None, 404),
    ],
)
def test_only_pages_of_this_machine_are_answered(preview: Preview, path: str, host: str | None, status: int) -> None:
    headers = {"Host": host} if host else {}
    assert requests.get(preview.url + path, headers=headers, timeout=5).status_code == status


def test_it_listens_on_loopback_only(preview: Preview) -> None:
    assert preview.url.startswith("http://127.0.0.1:")
    assert preview._server.server_address[0] == "127.0.0.1"


def test_a_port_that_is_taken_stops_the_start(until: Callable[..., None]) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(SettingError, match="PREVIEW_PORT"),
    ):
        Preview("127.0.0.1", taken.getsockname()[1], 70)
