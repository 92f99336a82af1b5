"""Hostile visitors at the door, against the running product: hosts, paths, bodies, credentials, origins, tickets."""

from __future__ import annotations

import base64
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from control_plane.passwords import Passwords
from control_plane.store import joins, keys, sites, users
from control_plane.store.db import Database, utcnow
from control_plane.store.keys import Role
from control_plane.store.sites import DEFAULT_SITE
from faces.wire import EDGE_HEADER, WATCH_PROTOCOL, WIRE, WIRE_HEADER
from rollcall.access import database_of
from rollcall.supervisor import Supervisor
from rollcall.up import Place, free_port, start_centre
from tests import services
from tests.hostile.conftest import Product

PASSWORD = "correct horse battery"
FIELDS = 100_000
MIB = 1 << 20


def spoken(product: Product, request: bytes, *, within_s: float = 5.0) -> bytes:
    """What is answered to bytes that no HTTP library would send; empty if the connection is ended."""
    with socket.create_connection(("127.0.0.1", product.place.port), timeout=within_s) as raw, suppress(OSError):
        raw.sendall(request)
        found = b""
        while b"\r\n\r\n" not in found and (piece := raw.recv(65536)):
            found += piece
        return found
    return b""


def status(answer: bytes) -> int | None:
    """The status of an answer; None if there was none."""
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else None


# 25: hosts and paths


@pytest.mark.parametrize(
    "host",
    ["evil", "evil/admin?", "127.0.0.1@evil", "127.0.0.1.evil", "localhost:80:80", "127.0.0.1\t", "[::1", "", "é"],
)
def test_hostile_25_a_host_that_is_not_ours_is_told_nothing(product: Product, host: str) -> None:
    with product.bounds():
        answer = spoken(product, f"GET /faces HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        assert status(answer) in (400, 421), answer[:200]
        assert b"[" not in answer.partition(b"\r\n\r\n")[2][:1]


def test_hostile_25_two_hosts_or_none_are_refused(product: Product) -> None:
    with product.bounds():
        for hosts in (b"", b"Host: localhost\r\nHost: evil\r\n"):
            assert status(spoken(product, b"GET /faces HTTP/1.1\r\n" + hosts + b"\r\n")) in (400, 421)


@pytest.mark.parametrize(
    "path",
    [
        "@evil",
        "//",
        "//evil/v1/identities",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/dashboard/../../etc/passwd",
        "/dashboard/%2e%2e/app.py",
        "/dashboard/..%2fapp.py",
        "/dashboard/..%5capp.py",
        "/dashboard/%00",
        "/faces;x=1",
        "/v1/identities/..",
        "/v1/identities/%2e%2e%2fopenapi.json",
        "/v1/identities/" + "a" * 4096,
        "/v1/events/%ff",
        "http://evil/faces",
    ],
)
def test_hostile_25_a_crooked_path_leads_nowhere(product: Product, path: str) -> None:
    with product.bounds():
        answer = spoken(product, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        assert status(answer) in (None, 400, 404, 414) or path == "http://evil/faces", answer[:200]
        assert b"root:" not in answer
        assert b"create_app" not in answer
        assert not answer.lower().startswith(b"http/1.1 3")


# 26: bodies


def form(parts: Iterator[bytes]) -> dict[str, Any]:
    return {"data": parts, "headers": {"Content-Type": "multipart/form-data; boundary=b"}, "timeout": 10}


def test_hostile_26_a_hundred_thousand_form_fields_are_refused(product: Product) -> None:
    def fields() -> Iterator[bytes]:
        for number in range(FIELDS):
            yield b'--b\r\nContent-Disposition: form-data; name="f%d"\r\n\r\nx\r\n' % number
        yield b"--b--\r\n"

    with product.bounds():
        answered = None
        # Whoever is refused in the midst of sending may find the connection closed before reading why.
        with suppress(requests.ConnectionError):
            answered = requests.post(f"{product.place.url}/register", **form(fields())).status_code
        assert answered in (None, 400, 413)


def test_hostile_26_a_preamble_of_20_mb_is_no_form(product: Product) -> None:
    def preamble() -> Iterator[bytes]:
        for _ in range(20):
            yield b"x" * MIB

    with product.bounds():
        answered = None
        with suppress(requests.ConnectionError):
            answered = requests.post(f"{product.place.url}/register", **form(preamble())).status_code
        assert answered in (None, 400, 413)


HEADS = {
    "one long header": b"GET /faces HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"y" * MIB + b"\r\n\r\n",
    "many headers": b"GET /faces HTTP/1.1\r\nHost: localhost\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(90_000)),
    "a header that never ends": b"GET /faces HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"y" * MIB,
    "a long address": b"GET /faces?" + b"y" * MIB + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "long trailers": b"POST /v1/tickets HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
    + b"".join(b"X-%d: y\r\n" % n for n in range(90_000)),
}


@pytest.mark.parametrize("head", HEADS)
def test_hostile_26_a_megabyte_of_headers_is_cut_off(product: Product, head: str) -> None:
    with product.bounds():
        assert status(spoken(product, HEADS[head])) in (None, 400, 413, 414, 431)


def test_hostile_26_bodies_that_never_come_hold_nobody_up(product: Product) -> None:
    slow = []
    with product.bounds():
        for _ in range(64):
            raw = socket.create_connection(("127.0.0.1", product.place.port), timeout=5)
            raw.sendall(b"POST /register HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n1")
            slow.append(raw)
        assert requests.get(f"{product.place.url}/faces", timeout=10).status_code == 200
    for raw in slow:
        raw.close()


# 30, 31, 33: who comes in


class Guarded(Product):
    """The product with keys and users, and one of each credential that counts no more."""

    def __init__(self, place: Place, supervisor: Supervisor, database: Database) -> None:
        super().__init__(place, supervisor, b"")
        self.database = database
        now = utcnow()
        with database.write() as connection:
            self.elsewhere = sites.create(connection, "Elsewhere", [], now)
            self.admin = keys.create(connection, Role.ADMIN, now)
            self.viewer = keys.create(connection, Role.VIEWER, now, sites=[DEFAULT_SITE])
            self.stranger = keys.create(connection, Role.VIEWER, now, sites=[self.elsewhere])
            self.expired = keys.create(connection, Role.ADMIN, now, expires_at=now - timedelta(days=1))
            self.revoked = keys.create(connection, Role.ADMIN, now)
            keys.revoke(connection, keys.id_of(self.revoked) or "", now)
            self.old_token = joins.issue(connection, DEFAULT_SITE, now - timedelta(hours=1))
            users.create(connection, "Ann", Role.ADMIN, Passwords().hashed(PASSWORD), now)

    def serve_a_good_request(self) -> None:
        answer = requests.get(f"{self.place.url}/faces", headers=bearer(self.admin), timeout=10)
        assert answer.status_code == 200

    def socket(self, *protocols: str, origin: str | None = None, **options: Any) -> ClientConnection:
        path = options.pop("path", "/ws/face-stream")
        return connect(
            f"ws://127.0.0.1:{self.place.port}{path}",
            subprotocols=[Subprotocol(p) for p in protocols] or None,
            origin=None if origin is None else Origin(origin),
            compression=None,
            close_timeout=1,
            **options,
        )

    def ticket(self, key: str) -> str:
        answer = requests.post(f"{self.place.url}/v1/tickets", headers=bearer(key), timeout=10)
        text: str = answer.json()["subprotocol"]
        return text


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder: Path = tmp_path_factory.mktemp("guarded")
    with services.environment(), Supervisor(logs=folder / "logs") as supervisor:
        place = Place(data=folder / "data", port=free_port(), stream_port=0)
        start_centre(supervisor, place)
        with database_of(place.data) as database:
            product = Guarded(place, supervisor, database)
            while requests.get(f"{place.url}/faces", timeout=10).status_code != 401:
                supervisor.check()
            yield product


def changed(text: str) -> str:
    """The same with its last character another one."""
    return text[:-1] + ("0" if text[-1] != "0" else "1")


FORGED: dict[str, Callable[[Guarded], str]] = {
    "none": lambda p: "",
    "mistyped": lambda p: changed(p.admin),
    "of another secret": lambda p: p.admin[:16] + keys_text(p.admin),
    "expired": lambda p: p.expired,
    "revoked": lambda p: p.revoked,
    "cut": lambda p: p.admin[:-1],
    "long": lambda p: p.admin + "0" * 5000,
    "of a join": lambda p: p.old_token,
    "a list": lambda p: f"{p.expired},{p.revoked}",
    "a null byte": lambda p: p.admin.replace("_", "\x01"),
}


def keys_text(real: str) -> str:
    """A secret with a right check sum that was never given to anybody, behind this key's id."""
    text = real[:16] + "0" * 40
    return text[16:] + keys.check_sum(text)


@pytest.mark.parametrize("how", FORGED)
def test_hostile_30_a_forged_key_opens_nothing(guarded: Guarded, how: str) -> None:
    text = FORGED[how](guarded)
    basic = base64.b64encode(f"any:{text}".encode()).decode()
    with guarded.bounds():
        for header in (f"Bearer {text}", f"Basic {basic}", f"bearer  {text}", text or "Bearer", f"Digest {text}"):
            if header.endswith(guarded.admin):
                continue
            answer = spoken(
                guarded,
                f"GET /v1/identities HTTP/1.1\r\nHost: localhost\r\nAuthorization: {header}\r\n\r\n".encode(),
            )
            assert status(answer) in (400, 401), header[:20]


def test_hostile_30_two_authorization_headers_are_none(guarded: Guarded) -> None:
    header = f"Authorization: Bearer {guarded.admin}\r\n"
    with guarded.bounds():
        answer = spoken(guarded, f"GET /faces HTTP/1.1\r\nHost: localhost\r\n{header * 2}\r\n".encode())
        assert status(answer) == 401


@pytest.mark.parametrize("cookie", ["", "x", "rs_" + "0" * 60, "é", "a" * 8000, '"; drop'])
def test_hostile_30_a_forged_cookie_signs_nobody_in(guarded: Guarded, cookie: str) -> None:
    with guarded.bounds():
        for name in ("rollcall", "__Host-rollcall", "session"):
            request = f"GET /v1/identities HTTP/1.1\r\nHost: localhost\r\nCookie: {name}={cookie}\r\n\r\n"
            assert status(spoken(guarded, request.encode())) in (400, 401, 431)


def test_hostile_30_a_join_token_that_is_old_or_made_up_joins_nobody(guarded: Guarded) -> None:
    headers = {EDGE_HEADER: "edge-hostile", WIRE_HEADER: str(WIRE)}
    with guarded.bounds():
        for token in (guarded.old_token, changed(guarded.old_token), guarded.viewer, "rcj_" + "0" * 48, ""):
            answer = requests.post(
                f"{guarded.place.url}/v1/edge/join", headers={**headers, **bearer(token)}, timeout=10
            )
            assert answer.status_code == 401, token[:8]


def test_hostile_30_a_wrong_password_is_told_as_a_name_that_is_nobodys(guarded: Guarded) -> None:
    with guarded.bounds():
        answers = [
            requests.post(f"{guarded.place.url}/v1/session", json={"name": name, "password": "wrong"}, timeout=10)
            for name in ("Ann", "Nobody", "ann\u0000", "A" * 200)
        ]
        assert {a.status_code for a in answers} <= {400, 401}
        assert answers[0].json()["detail"] == answers[1].json()["detail"]


ORIGINS = [
    "http://evil",
    "null",
    "http://localhost.evil",
    "http://127.0.0.1:1",
    "https://127.0.0.1",
    "file://",
    "http://",
]


@pytest.mark.parametrize("origin", ORIGINS)
def test_hostile_31_a_page_of_another_origin_gets_no_stream(guarded: Guarded, origin: str) -> None:
    with guarded.bounds():
        with (
            pytest.raises(InvalidStatus) as refused,
            guarded.socket(WATCH_PROTOCOL, guarded.ticket(guarded.admin), origin=origin),
        ):
            pass
        assert refused.value.response.status_code == 403


def test_hostile_31_a_credential_in_the_address_counts_for_nothing(guarded: Guarded) -> None:
    with guarded.bounds():
        for query in (f"key={guarded.admin}", f"token={guarded.admin}", f"ticket={guarded.ticket(guarded.admin)}"):
            with (
                pytest.raises(InvalidStatus) as refused,
                guarded.socket(WATCH_PROTOCOL, path=f"/ws/face-stream?{query}"),
            ):
                pass
            assert refused.value.response.status_code == 401
            answer = requests.get(f"{guarded.place.url}/v1/identities?{query}", timeout=10)
            assert answer.status_code == 401


def test_hostile_33_a_ticket_opens_one_socket_also_when_raced(guarded: Guarded) -> None:
    ticket = guarded.ticket(guarded.viewer)
    opened: list[bool] = []

    def enter() -> None:
        with suppress(InvalidStatus, ConnectionClosed), guarded.socket(WATCH_PROTOCOL, ticket) as client:
            opened.append(json.loads(client.recv(timeout=5))["type"] == "cameras")

    with guarded.bounds():
        threads = [threading.Thread(target=enter) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert opened == [True]


def test_hostile_33_a_ticket_of_another_site_shows_nothing_of_ours(guarded: Guarded) -> None:
    with guarded.bounds(), guarded.socket(WATCH_PROTOCOL, guarded.ticket(guarded.stranger)) as client:
        assert json.loads(client.recv(timeout=5)) == {"type": "cameras", "cameras": []}


def test_hostile_33_whose_key_is_revoked_is_cut_off_within_a_second(guarded: Guarded) -> None:
    with guarded.database.write() as connection:
        key = keys.create(connection, Role.VIEWER, utcnow())
    while requests.get(f"{guarded.place.url}/v1/sites", headers=bearer(key), timeout=10).status_code != 200:
        pass
    with guarded.bounds(), guarded.socket(WATCH_PROTOCOL, guarded.ticket(key)) as client:
        client.recv(timeout=5)
        with guarded.database.write() as connection:
            keys.revoke(connection, keys.id_of(key) or "", utcnow())
        with pytest.raises(ConnectionClosed) as ended:
            client.recv(timeout=1.0)
        assert ended.value.rcvd is not None
        assert ended.value.rcvd.code == 4401
