from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from control_plane.store.sites import WatchedCamera
from faces.wire import Funnel
from rollcall.cli import cli
from rollcall.funnel import REMEDIES, dominant


def camera(name: str, funnel: Funnel | None) -> WatchedCamera:
    return WatchedCamera(edge_id="e1", name=name, up=True, direction=None, fps=15.0, dropped=0, funnel=funnel)


PAGES: dict[str, Any] = {
    "": {
        "items": [
            {
                "id": "e1",
                "name": "box",
                "cameras": [
                    camera("door", Funnel(recognised=30, too_small=50, margin=2)),
                    camera("yard", Funnel(recognised=4)),
                ],
            }
        ],
        "next": "e1",
    },
    "e1": {"items": [{"id": "e2", "name": "other", "cameras": [camera("gate", None)]}], "next": None},
}


@pytest.fixture
def product() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            after = self.path.partition("after=")[2].partition("&")[0]
            self.send_response(200)
            self.end_headers()
            self.wfile.write(msgspec.json.encode(PAGES[after]))

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_every_reason_has_its_remedy() -> None:
    assert {*REMEDIES, "recognised"} == set(Funnel.__struct_fields__)


def test_the_reason_that_most_are_lost_by_is_named() -> None:
    assert dominant({"recognised": 99, "too_small": 2, "turned": 3}) == ("turned", 3)
    assert dominant({"recognised": 99, "too_small": 0}) is None
    assert dominant(None) is None


def test_the_funnel_of_every_camera_is_shown_with_what_helps(product: str) -> None:
    done = CliRunner().invoke(cli, ["edge", "funnel", "--url", product])
    assert done.exit_code == 0, done.output
    rows = {line.split()[3]: line for line in done.output.splitlines() if "box" in line or "other" in line}
    assert set(rows) == {"door", "yard", "gate"}
    assert "82" in rows["door"]
    assert "too_small (50)" in rows["door"]
    assert "not told" in rows["gate"]
    assert "bring the camera nearer" in done.output


def test_one_edge_is_shown_by_its_name(product: str) -> None:
    shown = CliRunner().invoke(cli, ["edge", "funnel", "--edge", "other", "--url", product]).output
    assert "gate" in shown
    assert "door" not in shown
    missing = CliRunner().invoke(cli, ["edge", "funnel", "--edge", "none", "--url", product])
    assert missing.exit_code != 0
