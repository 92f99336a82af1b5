from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Iterator
from http.client import HTTPMessage, HTTPResponse
from pathlib import Path
from typing import Any

import pytest
import requests

from control_plane import pieces
from control_plane.api import galleries
from control_plane.cookies import CSRF_HEADER
from control_plane.plane import SNAPSHOTS
from control_plane.store import keys, users
from control_plane.store.db import Database, utcnow
from control_plane.store.keys import Role
from control_plane.store.sites import DEFAULT_SITE
from faces import wire
from faces.wire import SnapshotReader
from tests.control_plane.conftest import reset, wait_for

SMALL = 4096
"""A reader's buffer that is soon full."""

PHOTO = b"\xff\xd8\xff\xe0" + bytes(8 << 20)
NEW_KEY = b'{"role":"admin"}'
ENCODINGS = 400
SNAPSHOT = "/v1/galleries/default/snapshot"


@pytest.fixture
def server(fresh: Callable[[Path], Database], running: Any, tmp_path: Path) -> Iterator[Any]:
    """A control plane of this test's own, and nobody's yet."""
    with running(fresh(tmp_path), tmp_path) as server:
        yield server


def made(server: Any, role: Role = Role.ADMIN, **options: Any) -> str:
    """A key that counts."""
    with server.database.write() as connection:
        text = keys.create(connection, role, utcnow(), **options)
    wait_for(lambda: not known(server, "") and known(server, text))
    return text


def known(server: Any, text: str) -> bool:
    headers = {**bearer(text), wire.EDGE_HEADER: "none", wire.WIRE_HEADER: str(wire.WIRE)}
    return requests.get(f"{server.url}/v1/sites", headers=headers, timeout=5).status_code != 401


def revoked(server: Any, text: str) -> None:
    """The key counts no more, and the control plane knows."""
    with server.database.write() as connection:
        keys.revoke(connection, keys.id_of(text) or "", utcnow())
    wait_for(lambda: not known(server, text))


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


def begun(
    server: Any,
    method: str,
    path: str,
    headers: dict[str, str],
    length: int,
    kind: str = "application/json",
    body: bytes = b"",
) -> socket.socket:
    """A request of which only the head is sent, and at once what is given of its body; it was admitted, and the rest is
    waited for."""
    raw = socket.create_connection(("127.0.0.1", server.port), timeout=10)
    told = {"Host": "localhost", "Content-Type": kind, "Content-Length": str(length), "Expect": "100-continue"}
    head = "".join(f"{name}: {value}\r\n" for name, value in {**told, **headers}.items())
    raw.sendall(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body)
    assert raw.recv(len(b"HTTP/1.1 100 Continue\r\n\r\n")).startswith(b"HTTP/1.1 100")
    return raw


def answer(raw: socket.socket) -> tuple[int, HTTPMessage, bytes]:
    """Status, headers and body."""
    with raw, HTTPResponse(raw) as response:
        response.begin()
        return response.status, response.headers, response.read()


def test_a_request_begun_before_its_key_was_revoked_changes_nothing_after_it(server: Any) -> None:
    made(server)
    text, person = made(server), server.person("Ann", photos=0)
    before = server.files()
    photos = f"/v1/identities/{person}/photos"
    asked = [
        ("POST", "/v1/keys", NEW_KEY, "application/json"),
        ("POST", "/v1/users", b'{"name":"eve","role":"admin","password":"correct horse battery"}', "application/json"),
        ("PATCH", f"/v1/identities/{person}", b'{"name":"Eve"}', "application/json"),
        ("POST", photos, b"\xff\xd8\xff\xe0 a picture", "image/jpeg"),
        ("POST", "/v1/imports", b"PK\x05\x06" + bytes(18), "application/zip"),
    ]
    under_way = []
    for method, path, body, kind in asked:
        raw = begun(server, method, path, bearer(text), len(body), kind)
        raw.sendall(body[:-1])
        under_way.append((raw, body))
    revoked(server, text)
    for raw, body in under_way:
        raw.sendall(body[-1:])
        status, _, told = answer(raw)
        assert status == 401, told
        assert b"this key was revoked" in told
    with server.database.read() as connection:
        assert len(keys.listing(connection)) == 2
        assert users.listing(connection) == []
    assert server.files() == before


def test_a_request_begun_before_signing_out_changes_nothing_after_it(server: Any) -> None:
    server.user("ann", Role.ADMIN)
    page = server.page("ann")
    headers = {"Cookie": page.cookie, CSRF_HEADER: page.csrf}
    raw = begun(server, "POST", "/v1/keys", headers, len(NEW_KEY))
    assert page.call("DELETE", "/v1/session").status_code == 204
    wait_for(lambda: requests.get(f"{server.url}/v1/sites", headers=headers, timeout=5).status_code == 401)
    raw.sendall(NEW_KEY)
    assert answer(raw)[0] == 401
    with server.database.read() as connection:
        assert keys.listing(connection) == []


def test_a_request_begun_while_everything_was_open_changes_nothing_once_there_is_a_user(server: Any) -> None:
    raw = begun(server, "POST", "/v1/keys", {}, len(NEW_KEY))
    server.user("ann", Role.ADMIN)
    wait_for(lambda: requests.get(f"{server.url}/v1/sites", timeout=5).status_code == 401)
    raw.sendall(NEW_KEY)
    assert answer(raw)[0] == 401
    with server.database.read() as connection:
        assert keys.listing(connection) == []


@pytest.mark.parametrize(("silent_s", "within_s"), [(0.2, 60.0), (60.0, 0.5)])
def test_a_body_that_stands_still_or_drips_is_not_waited_for(
    server: Any, monkeypatch: pytest.MonkeyPatch, silent_s: float, within_s: float
) -> None:
    monkeypatch.setattr(pieces, "SILENT_S", silent_s)
    monkeypatch.setattr(pieces, "BODY_WITHIN_S", within_s)
    raw = begun(server, "POST", "/v1/keys", {}, 1000)

    def answered() -> bool:
        if silent_s > within_s:
            raw.sendall(b" ")
        return bool(select.select([raw], [], [], 0.05)[0])

    wait_for(answered)
    status, headers, told = answer(raw)
    assert (status, headers["Connection"]) == (408, "close")
    assert b'"code":"too_slow"' in told


def test_an_upload_over_a_slow_line_may_take_long(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "BODY_WITHIN_S", 0.2)
    monkeypatch.setattr(pieces, "SLOWEST_BYTES_S", 100)
    person, piece = server.person("Ann", photos=0), b"x" * 1000
    raw = begun(server, "POST", f"/v1/identities/{person}/photos", {}, 20 * len(piece), "image/jpeg", piece)
    for _ in range(19):
        time.sleep(0.05)
        raw.sendall(piece)
    assert answer(raw)[0] == 202


def reading(server: Any, path: str, headers: dict[str, str]) -> socket.socket:
    """An answer that has begun, to a reader who takes no more of it for now."""
    raw = socket.socket()
    raw.settimeout(10)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
    raw.connect(("127.0.0.1", server.port))
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    raw.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{head}\r\n".encode())
    assert raw.recv(64).startswith(b"HTTP/1.1 200")
    return raw


def rest(raw: socket.socket) -> int:
    """How many bytes still come before the connection is cut off."""
    came = 0
    with raw:
        while True:
            try:
                found = raw.recv(65536)
            except ConnectionResetError:
                return came
            assert found, "it came to an end"
            came += len(found)


def many(server: Any) -> str:
    """Somebody of whom there is much: megabytes of photos, and of a snapshot. Returns the id."""
    person = str(server.person("Ann", photos=3))
    for path in server.files():
        server.blobs.put(f"photos/{path.name}", PHOTO)
    return person


def test_an_export_ends_with_the_key_of_its_reader(server: Any) -> None:
    made(server)
    person, text = many(server), made(server)
    raw = reading(server, f"/v1/identities/{person}/export", bearer(text))
    revoked(server, text)
    assert rest(raw) < len(PHOTO)


def test_an_answer_that_nobody_takes_is_cut_off(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "SILENT_S", 0.2)
    raw = reading(server, f"/v1/identities/{many(server)}/export", {})
    wait_for(lambda: reset(raw))
    assert rest(raw) < len(PHOTO)


def test_an_export_is_whole_however_slowly_it_is_read(server: Any) -> None:
    response = server.get(f"/v1/identities/{many(server)}/export", stream=True)
    assert response.content.count(PHOTO) == 3


@pytest.fixture
def large(server: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A server whose snapshots are more than the buffers of a small reader hold."""
    monkeypatch.setattr(galleries, "CHUNK_BYTES", 1 << 15)
    server.person("Ann", photos=ENCODINGS)
    return server


def whole(edge: Any) -> bool:
    response = edge.call("GET", SNAPSHOT)
    if response.status_code == 429:
        assert response.json()["code"] == "too_many_requests"
        assert int(response.headers["Retry-After"]) > 0
        return False
    reader = SnapshotReader()
    reader.feed(response.content)
    assert reader.complete
    return True


def test_an_edge_is_sent_one_snapshot_at_a_time_and_the_others_theirs_meanwhile(large: Any) -> None:
    one, other = large.edge(), large.edge()
    raw = reading(large, SNAPSHOT, one.headers)
    assert not whole(one)
    assert whole(other)
    raw.close()
    wait_for(lambda: whole(one))


def test_edges_that_do_not_read_their_snapshots_keep_no_other_from_one(
    large: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "SILENT_S", 0.5)
    stalled = [reading(large, SNAPSHOT, large.edge().headers) for _ in range(SNAPSHOTS)]
    assert whole(large.edge())
    for raw in stalled:
        raw.close()


def test_a_snapshot_ends_with_its_edges_key(large: Any) -> None:
    edge = large.edge()
    made(large)
    text = made(large, Role.EDGE, sites=[DEFAULT_SITE])
    raw = reading(large, SNAPSHOT, {**edge.headers, **bearer(text)})
    revoked(large, text)
    assert rest(raw) < ENCODINGS * 512
