"""The whole river on real faces, with the three processes running: photo to gallery, frame to event, event to all."""

from __future__ import annotations

import base64
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from faces.engine import Engine, images
from rollcall import film
from rollcall.supervisor import Supervisor
from rollcall.up import Place, free_port, start_centre, start_edge
from tests import services

FPS = 30000 / 1001
SLACK_S = 0.3
"""How exactly the film's beginning is known, from the edge's log."""

PEOPLE = (
    ("Lin-Manuel Miranda", "lin-manuel-miranda.png"),
    ("Alex Lacamoire", "alex-lacamoire.png"),
    ("Joe Biden", "biden.jpg"),
    ("Barack Obama", "obama.jpg"),
    ("Barack Obama", "obama2.jpg"),
)


def until(condition: Callable[[], Any], *, within_s: float = 60.0, what: str = "it") -> Any:
    """The condition's first true answer."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if answer := condition():
            return answer
        time.sleep(0.02)
    raise AssertionError(f"{what} did not happen within {within_s} s")


class Receiver(ThreadingHTTPServer):
    """A webhook receiver: keeps each body it is posted."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.got: list[dict[str, Any]] = []
        self.url = f"http://127.0.0.1:{self.server_port}/face-event"


class _Answer(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        self.server.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


class Watcher:
    """A plain WebSocket client as one would write it for the original: connects, and reads JSON texts."""

    def __init__(self, url: str, *, ask: dict[str, Any] | None = None) -> None:
        protocols: Any = ["rollcall.v1"] if ask else None
        self._open = ExitStack()
        self._socket = self._open.enter_context(connect(url, subprotocols=protocols, max_size=None))
        self.got: list[dict[str, Any]] = []
        if ask:
            self._socket.send(json.dumps(ask))
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        try:
            for message in self._socket:
                if isinstance(message, str):
                    self.got.append(json.loads(message))
        except ConnectionClosed:
            pass

    def close(self) -> None:
        self._open.close()
        self._thread.join(5)


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def centre(data: Path, supervisor: Supervisor) -> Place:
    place = Place(data=data, port=free_port(), stream_port=free_port())
    start_centre(supervisor, place)
    return place


def register(place: Place, name: str, photo: bytes) -> requests.Response:
    return requests.post(f"{place.url}/register", data={"name": name}, files={"image": ("p.jpg", photo)}, timeout=40)


def passes(events: list[dict[str, Any]]) -> set[str]:
    return {e["name"] for e in events if e.get("status") == "PASS"}


@pytest.fixture(scope="module")
def stage(data: Path, receiver: Receiver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """stage.mp4 once through the whole river; what everybody got of it."""
    folder = tmp_path_factory.mktemp("river")
    with services.environment(), Supervisor(logs=folder / "logs") as supervisor:
        place = centre(folder, supervisor)
        hook = requests.post(f"{place.url}/v1/webhooks", json={"url": receiver.url}, timeout=10)
        assert hook.status_code == 201, hook.text
        for name, photo in PEOPLE:
            answer = register(place, name, (data / "portraits" / photo).read_bytes())
            assert answer.json().get("success") is True, answer.text
        stream = f"ws://127.0.0.1:{place.stream_port}/ws/face-stream"
        plain, dashboard = Watcher(stream), Watcher(stream, ask={"type": "events", "after": 0})
        source = {"VIDEO_SOURCE": str(data / "video" / "stage.mp4"), "VIDEO_PACE": "every_frame", "EXIT_AT_END": "true"}
        start_edge(supervisor, place, {**source, "COOLDOWN": "1", "CAMERA": "stage"}, restart=False)
        until(lambda: supervisor.ended("edge"), within_s=90, what="the film's end")
        log = requests.get(f"{place.url}/v1/events", params={"limit": "500"}, timeout=10).json()["items"]
        told = len([e for e in log if e["status"] == "PASS"])
        until(lambda: len(receiver.got) >= told, what="the webhook's last delivery")
        until(lambda: sum(m["type"] == "event" for m in dashboard.got) >= len(log), what="the dashboard's last event")
        for watcher in (plain, dashboard):
            watcher.close()
        began = re.search(r"^(\S+ \S+) INFO .*is 640 x 360", (folder / "logs" / "edge.log").read_text(), re.M)
        assert began is not None
        yield {
            "log": log,
            "webhook": list(receiver.got),
            "plain": plain.got,
            "dashboard": [m for m in dashboard.got if m["type"] == "event"],
            "began": datetime.fromisoformat(began[1].replace(",", ".")).astimezone(),
            "place": place,
        }


@pytest.mark.timeout(240)
def test_miranda_and_obama_pass_in_their_scenes_and_nobody_else_ever_does(stage: dict[str, Any]) -> None:
    scenes = {"Lin-Manuel Miranda": [(82, 211), (0, 20)], "Barack Obama": [(211, 275)], "Alex Lacamoire": [(0, 20)]}
    seen = []
    for event in stage["log"]:
        if event["status"] == "PASS":
            at = (datetime.fromisoformat(event["captured_at"]) - stage["began"]).total_seconds()
            within = [(a, b) for a, b in scenes[event["name"]] if a / FPS - SLACK_S <= at <= b / FPS + SLACK_S]
            assert within, f"{event['name']} at {at:.2f} s"
            seen.append((event["name"], within[0]))
    assert ("Lin-Manuel Miranda", (82, 211)) in seen
    assert ("Barack Obama", (211, 275)) in seen


def test_the_webhook_the_dashboard_and_the_log_all_got_both(stage: dict[str, Any]) -> None:
    both = {"Lin-Manuel Miranda", "Barack Obama"}
    assert both <= passes(stage["log"])
    assert both <= {body["name"] for body in stage["webhook"]}
    assert both <= passes(stage["dashboard"])
    assert sorted(e["id"] for e in stage["dashboard"]) == sorted(e["id"] for e in stage["log"])
    assert sorted(b["id"] for b in stage["webhook"]) == sorted(e["id"] for e in stage["log"] if e["status"] == "PASS")


def test_a_plain_client_of_the_original_gets_its_message_a_frame(stage: dict[str, Any]) -> None:
    # The edge plays 275 frames in some two seconds, and sends at most 15 a second.
    assert len(stage["plain"]) >= 10
    for message in stage["plain"]:
        assert {"type", "name", "distance", "status", "box", "timestamp", "frame"} <= set(message)
        assert (message["type"], message["camera"]) == ("face_event", "stage")
        assert isinstance(message["timestamp"], int)
        assert base64.b64decode(message["frame"])[:2] == b"\xff\xd8"
    recognised = [m for m in stage["plain"] if m["status"] == "PASS"]
    assert {"Lin-Manuel Miranda"} <= {m["name"] for m in recognised}
    assert all(len(m["box"]) == 4 and m["distance"] <= 0.45 for m in recognised)
    assert {m["status"] for m in stage["plain"]} <= {"PASS", "REJECT", "NO_FACE"}


def test_every_event_says_what_decided_it(stage: dict[str, Any]) -> None:
    for event in stage["log"]:
        if event["status"] == "PASS":
            assert event["distance"] <= event["threshold"] == 0.45
            assert event["runner_up_distance"] > event["distance"]
            assert (event["engine"], event["gallery_id"], event["site"]) == ("sface", "default", "default")
            assert event["gallery_revision"] > 0
            picture = requests.get(f"{stage['place'].url}/v1/events/{event['id']}/thumbnail", timeout=10)
            assert images.load(picture.content).shape[2] == 3


@pytest.mark.timeout(120)
def test_who_is_enrolled_while_the_edge_runs_is_recognised_and_who_is_erased_no_longer(
    data: Path, engine: Engine, tmp_path: Path
) -> None:
    photo = (data / "portraits" / "biden.jpg").read_bytes()
    picture = images.load(photo)
    scene = film.Scene(picture, engine.detect(picture)[0].box, 3.0)
    film.write(tmp_path / "walk.avi", film.frames([scene, film.Scene(None, None, 0.5)]))
    with services.environment(), Supervisor(logs=tmp_path / "logs") as supervisor:
        place = centre(tmp_path, supervisor)
        camera = {"VIDEO_SOURCE": str(tmp_path / "walk.avi"), "VIDEO_LOOP": "loop", "COOLDOWN": "0.2"}
        start_edge(supervisor, place, camera)
        watcher = Watcher(f"ws://127.0.0.1:{place.port}/ws/face-stream", ask={"type": "events", "after": 0})

        def events(status: str) -> list[dict[str, Any]]:
            return [m for m in watcher.got if m["type"] == "event" and m["status"] == status]

        until(lambda: events("REJECT"), what="the stranger's reject")
        assert not events("PASS")
        assert register(place, "Joe Biden", photo).json()["success"]
        first = until(lambda: events("PASS"), what="the first pass")[0]
        assert (first["name"], first["distance"] < 0.45) == ("Joe Biden", True)
        erased = requests.post(f"{place.url}/unregister", data={"name": "Joe Biden"}, timeout=10)
        assert erased.json()["success"]
        revision = until(lambda: _synced(place), what="the edge's report of the erasure")
        rejected = len(events("REJECT"))
        until(lambda: len(events("REJECT")) > rejected, what="the erased person's reject")
        late = [e for e in events("PASS") if e["gallery_revision"] >= revision]
        assert late == []
        watcher.close()


def _synced(place: Place) -> int:
    """The default gallery's revision, once the edge has reported that it holds it."""
    (edge,) = requests.get(f"{place.url}/v1/edges", timeout=10).json()["items"]
    held = edge["galleries"]
    return int(held[0]["revision"]) if held and held[0]["lag"] == 0 else 0
