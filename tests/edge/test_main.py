from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest
import requests

from edge import credential
from edge.__main__ import Edge
from edge.config import Config
from edge.notice import Change, Notice
from edge.seal import open_seal
from edge.spool import Spool
from faces.engine import Engine
from faces.events import Event, EventKind, Status
from faces.gallery import Row
from faces.masterkey import Source
from rollcall.up import free_port

ROOT = Path(__file__).parents[2]


@pytest.fixture
def gate_posts() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    posts: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posts.append(msgspec.json.decode(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/", posts
    server.shutdown()
    thread.join()
    server.server_close()


def settings(plane: Any, tmp_path: Path, film: Path, **more: str) -> Config:
    return Config.read(
        {
            "CONTROL_PLANE_URL": plane.url,
            "DATA_DIR": str(tmp_path / "edge-data"),
            "VIDEO_SOURCE": str(film),
            "VIDEO_PACE": "every_frame",
            "EXIT_AT_END": "true",
            "COOLDOWN": "1",
            "CAMERA": "stage",
            **more,
        }
    )


def names(events: list[Event]) -> set[str | None]:
    return {event.name for event in events if event.status is Status.PASS}


def test_from_a_file_to_the_control_plane_and_the_gate(
    plane: Any,
    people: list[Row],
    gate_posts: tuple[str, list[dict[str, Any]]],
    engine: Engine,
    data: Path,
    tmp_path: Path,
) -> None:
    plane.galleries["g1"].change(people)
    url, posts = gate_posts
    trouble = iter([(503, "text/plain", b"")])
    plane.fail = lambda path: next(trouble, None) if path == "/v1/edge/galleries" else None
    Edge(settings(plane, tmp_path, data / "video" / "stage.mp4", WEBHOOK_URL=url), engine).run()
    events = list(plane.events.values())
    assert names(events) >= {"Lin-Manuel Miranda", "Barack Obama"}
    assert {event.camera for event in events} == {"stage"}
    assert {event.gallery_revision for event in events} == {1}, "the file waited for the gallery"
    passes = [event for event in events if event.status is Status.PASS]
    assert [post["name"] for post in posts] == [event.name for event in passes]


def test_with_no_control_plane_it_recognises_from_its_disk_and_delivers_later(
    plane: Any,
    people: list[Row],
    gate_posts: tuple[str, list[dict[str, Any]]],
    engine: Engine,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plane.galleries["g1"].change(people)
    Edge(settings(plane, tmp_path, data / "video" / "signer-2.mkv"), engine).run()
    plane.stop()
    known = len(plane.events)
    url, posts = gate_posts
    monkeypatch.setattr("edge.__main__.DRAIN_S", 0.0)
    config = settings(plane, tmp_path, data / "video" / "stage.mp4", WEBHOOK_URL=url)
    Edge(config, engine).run()
    assert {post["name"] for post in posts} >= {"Lin-Manuel Miranda", "Barack Obama"}
    spool = Spool(tmp_path / "edge-data" / "spool.db", seal=open_seal(config.data_dir, Source.of(config)))
    waiting = len(spool)
    spool.close()
    assert waiting >= len(posts)
    plane.start()
    monkeypatch.setattr("edge.__main__.DRAIN_S", 30.0)
    Edge(settings(plane, tmp_path, data / "video" / "signer-2.mkv"), engine).run()
    assert len(plane.events) >= known + waiting
    assert names(list(plane.events.values())) >= {"Lin-Manuel Miranda", "Barack Obama"}


def test_somebody_enrolled_while_it_runs_passes(
    plane: Any, people: list[Row], engine: Engine, data: Path, tmp_path: Path, until: Callable[..., None]
) -> None:
    config = settings(plane, tmp_path, data / "video" / "stage.mp4", VIDEO_LOOP="loop", EXIT_AT_END="false")
    edge = Edge(config, engine)
    running = threading.Thread(target=edge.run)
    running.start()
    until(lambda: plane.events, 20)
    assert names(list(plane.events.values())) == set()
    plane.galleries["g1"].change(people)
    # What the link would do by a hint: the small control plane of this test has none.
    edge._syncing.hurry()
    until(lambda: "Lin-Manuel Miranda" in names(list(plane.events.values())), 60)
    edge.stop()
    running.join(20)
    assert not running.is_alive()


def test_all_that_may_happen_to_a_camera_is_an_event(plane: Any, engine: Engine, data: Path, tmp_path: Path) -> None:
    edge = Edge(settings(plane, tmp_path, data / "video" / "signer-2.mkv"), engine)
    happened = [change for change in Change if change is not Change.END]
    for change in happened:
        edge.noticed(edge._cameras.lenses[0], Notice(change, datetime.now(UTC), "because"))
    edge.run()
    events = [event for event in plane.events.values() if event.kind not in (EventKind.DECISION, EventKind.SIGHTING)]
    assert [str(event.kind) for event in events] == [f"camera_{change}" for change in happened]
    assert {(event.camera, event.status, event.reason) for event in events} == {("stage", None, "because")}


def start(tmp_path: Path, **environ: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "edge"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_a_wrong_setting_ends_it_with_a_message(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("SCALE=2 # too much\n")
    process = start(tmp_path)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "SCALE is not a number from 0.05 to 1" in said
    assert "Traceback" not in said


def test_galleries_that_cannot_be_opened_end_it_so_that_systemd_starts_it_again(tmp_path: Path) -> None:
    (tmp_path / "edge-data" / "galleries.db").mkdir(parents=True)
    process = start(tmp_path, VIDEO_SOURCE="rtsp://127.0.0.1:1/")
    said, _ = process.communicate(timeout=30)
    assert "what lies there cannot be opened" in said
    assert process.returncode not in (0, 2), "2 is for a setting that no start mends"


def test_it_ends_when_told_to(plane: Any, data: Path, tmp_path: Path) -> None:
    process = start(
        tmp_path, CONTROL_PLANE_URL=plane.url, VIDEO_SOURCE=str(data / "video" / "signer-1.mkv"), VIDEO_LOOP="loop"
    )
    assert process.stdout is not None
    for line in process.stdout:
        if " REJECT " in line:
            break
    process.send_signal(signal.SIGTERM)
    rest = process.stdout.read()
    process.stdout.close()
    assert process.wait(20) == 0
    assert "Traceback" not in rest
    assert (tmp_path / "edge-data" / "edge-id").is_file()
    assert (tmp_path / "edge-data").stat().st_mode & 0o077 == 0, "templates are for nobody else's eyes"


def test_systemd_and_prometheus_are_told_how_it_goes(plane: Any, data: Path, tmp_path: Path) -> None:
    port = free_port()

    def metrics() -> str:
        return requests.get(f"http://127.0.0.1:{port}/metrics", timeout=5).text

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(30)
        process = start(
            tmp_path,
            CONTROL_PLANE_URL=plane.url,
            VIDEO_SOURCE=str(data / "video" / "stage.mp4"),
            VIDEO_LOOP="loop",
            METRICS_PORT=str(port),
            NOTIFY_SOCKET=str(tmp_path / "notify"),
            WATCHDOG_USEC="30000000",
        )
        told = [systemd.recv(100) for _ in range(3)]
        while 'rollcall_edge_stage_seconds_count{stage="detect"}' not in (text := metrics()):
            told.append(systemd.recv(100))
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=30)
        while told[-1] != b"STOPPING=1":
            told.append(systemd.recv(100))
    assert told[:2] == [b"READY=1", b"WATCHDOG=1"]
    assert 'rollcall_edge_camera_up{camera="camera"} 1.0' in text
    assert ("this runs as root" in said) == (os.geteuid() == 0)


def test_an_edge_that_has_joined_calls_the_control_plane_it_joined_by_its_credential(
    plane: Any, tmp_path: Path, until: Callable[..., None]
) -> None:
    credential.save(tmp_path / "edge-data" / credential.MEMBERSHIP, plane.url, "rc_of_its_own")
    process = start(tmp_path, VIDEO_SOURCE="rtsp://127.0.0.1:1/")
    try:
        until(lambda: plane.hellos, 20)
    finally:
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=20)
    assert {sent["Authorization"] for sent in plane.headers} == {"Bearer rc_of_its_own"}
    assert "rc_of_its_own" not in said


def test_cameras_are_added_and_removed_while_it_runs(
    plane: Any, engine: Engine, data: Path, tmp_path: Path, until: Callable[..., None]
) -> None:
    def cameras(**sources: str) -> str:
        return "".join(
            f'[[camera]]\nname = "{name}"\nsource = "{data / "video" / source}"\nloop = "loop"\n'
            for name, source in sources.items()
        )

    def told() -> list[str]:
        return plane.hellos[-1][1].cameras if plane.hellos else []

    file = tmp_path / "rollcall-edge.toml"
    file.write_text(cameras(stage="stage.mp4"))
    process = start(tmp_path, CONTROL_PLANE_URL=plane.url)
    try:
        until(lambda: {event.camera for event in plane.events.values()} == {"stage"}, 30)
        assert told() == ["stage"]
        file.write_text(cameras(stage="stage.mp4", signer="signer-1.mkv"))
        until(lambda: told() == ["stage", "signer"])
        until(lambda: {event.camera for event in plane.events.values()} == {"stage", "signer"}, 30)
        file.write_text("[[camera]]\n" + cameras(stage="stage.mp4"))
        process.send_signal(signal.SIGHUP)
        file.write_text(cameras(signer="signer-1.mkv"))
        until(lambda: told() == ["signer"])
    finally:
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "Traceback" not in said
    assert "camera stage is no longer watched" in said
