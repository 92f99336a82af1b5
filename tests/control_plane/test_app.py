from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any

import pytest
import requests

from control_plane.__main__ import listen, make_server
from control_plane.app import DASHBOARD, create_app
from control_plane.config import Config
from control_plane.protection import ALWAYS, HEADERS
from control_plane.store.alarms import AlarmKind
from faces.events import EventKind, Status
from tests.control_plane.conftest import reserved_port


def test_the_dashboard_is_served_from_here_alone(server: Any) -> None:
    response = server.http.get(server.url + "/", timeout=10)
    assert (response.status_code, response.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    for path in re.findall(r'(?:src|href)="([^"#]+)"', response.text):
        assert path.startswith("/dashboard/"), path
        assert server.http.get(server.url + path, timeout=10).status_code == 200


def test_the_dashboard_has_no_inline_script_or_style_and_no_other_host() -> None:
    for path in DASHBOARD.rglob("*"):
        if path.suffix in (".html", ".js", ".css", ".svg"):
            text = path.read_text().replace("http://www.w3.org/2000/svg", "")
            # Hosts under .example stand in texts, and are nowhere.
            assert not re.search(r"https?://(?![\w.-]*\.example\b)\w|<style|\sstyle=|\son\w+=|javascript:", text), path
            assert not re.search(r"<script(?![^>]*\ssrc=)", text), path


def test_names_are_never_made_into_html() -> None:
    for path in DASHBOARD.rglob("*.js"):
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", path.read_text()), path


def test_every_symbol_and_style_that_is_named_is_there() -> None:
    symbols = set(re.findall(r'symbol id="([\w-]+)"', (DASHBOARD / "icons.svg").read_text()))
    for path in DASHBOARD.rglob("*.js"):
        named = re.findall(r'(?:\bicon\(|\bsymbol: |\bicon: )"([\w-]+)"', path.read_text())
        assert set(named) <= symbols, path
    for name in re.findall(r'@import "([^"]+)"', (DASHBOARD / "style.css").read_text()):
        assert (DASHBOARD / name).is_file(), name


def test_every_kind_of_event_has_its_words() -> None:
    words = set(re.findall(r'^  (\w+): \["', (DASHBOARD / "eventwords.js").read_text(), re.MULTILINE))
    assert {*EventKind, Status.PASS, Status.REJECT} - {EventKind.DECISION} <= words


def test_every_kind_of_alarm_has_its_words() -> None:
    words = set(re.findall(r'^  (\w+): "', (DASHBOARD / "alarmlist.js").read_text(), re.MULTILINE))
    assert set(AlarmKind) <= words


@pytest.mark.parametrize("path", ["/", "/dashboard/shell.js", "/faces", "/nowhere", "/openapi.json"])
def test_every_answer_is_protected(server: Any, path: str) -> None:
    headers = server.http.get(server.url + path, timeout=10).headers
    assert {name: headers[name] for name in HEADERS} == dict(HEADERS)
    assert "Server" not in headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy


def test_what_only_edges_read_is_not_to_be_kept_or_guessed_at(server: Any) -> None:
    headers = server.edge().call("GET", "/v1/edge/galleries").headers
    assert {name: headers[name] for name in ALWAYS} == dict(ALWAYS)
    assert not set(headers) & (set(HEADERS) - set(ALWAYS))


@pytest.mark.parametrize(
    "path", ["../app.py", "..%2fapp.py", "%2e%2e/config.py", "/etc/passwd", "", "nothing.js", "%00"]
)
def test_nothing_but_the_dashboards_files_is_served(server: Any, path: str) -> None:
    assert server.http.get(f"{server.url}/dashboard/{path}", timeout=10).status_code == 404


def test_both_ports_serve_one_app(fresh: Any, tmp_path: Path) -> None:
    database = fresh(tmp_path)
    with reserved_port() as free:
        config = Config.read({"DATA_DIR": str(tmp_path), "PORT": "0", "STREAM_PORT": str(free)}, tmp_path / "none")
        bound = listen(config)
    server = make_server(create_app(config, database))
    ports = [s.getsockname()[1] for s in bound]
    thread = threading.Thread(target=server.run, kwargs={"sockets": bound})
    thread.start()
    try:
        for port in ports:
            assert requests.get(f"http://127.0.0.1:{port}/faces", timeout=10).json() == []
    finally:
        server.should_exit = True
        thread.join()
