from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from starlette.datastructures import Headers
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from control_plane.auth import EDGE, PEOPLE_READ, SCOPES, Caller, Gate, Need, check_host, check_origin, presented
from control_plane.problems import ForeignHost, ForeignOrigin, Unauthenticated
from control_plane.store.keys import Key, Role, check_sum, digest, id_of
from faces.wire import EDGE_HEADER, WIRE, WIRE_HEADER


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:5000", "127.0.0.1:1", "127.1.2.3", "[::1]:5000", "[::1]"])
def test_names_of_this_machine_are_served(host: str) -> None:
    check_host(Headers({"host": host}))


@pytest.mark.parametrize(
    "host",
    [
        "evil/admin?",
        "evil",
        "localhost.evil.org",
        "127.0.0.1.evil.org",
        "evil@localhost",
        "localhost@evil",
        "localhost:x",
        "localhost:5000/x",
        "localhost.",
        "[::2]",
        "0.0.0.0",
        "128.0.0.1",
        "2130706433",
        "",
    ],
)
def test_any_other_host_is_refused(host: str) -> None:
    with pytest.raises(ForeignHost):
        check_host(Headers({"host": host}))


def test_a_host_named_twice_or_not_at_all_is_refused() -> None:
    for raw in ([], [(b"host", b"localhost"), (b"host", b"localhost")]):
        with pytest.raises(ForeignHost):
            check_host(Headers(raw=raw))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "http://localhost:5000"},
        {"origin": "HTTP://LOCALHOST:5000"},
        {"sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "none"},
    ],
)
def test_programs_and_our_own_pages_may_do_everything(headers: dict[str, str]) -> None:
    check_origin(Headers({"host": "localhost:5000", **headers}))


FOREIGN: list[dict[str, str]] = [
    {"origin": "http://evil.org"},
    {"origin": "null"},
    {"origin": ""},
    {"origin": "http://localhost:5000.evil.org"},
    {"origin": "http://localhost:5001"},
    {"origin": "http://127.0.0.1:5000"},
    {"origin": "http://localhost"},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
]


@pytest.mark.parametrize("headers", FOREIGN)
def test_pages_of_other_origins_may_not(headers: dict[str, str]) -> None:
    with pytest.raises(ForeignOrigin):
        check_origin(Headers({"host": "localhost:5000", **headers}))


def test_any_host_will_do_where_keys_are_needed_but_one_it_must_be() -> None:
    check_host(Headers({"host": "rollcall.example"}), any_name=True)
    for raw in ([], [(b"host", b"a"), (b"host", b"b")]):
        with pytest.raises(ForeignHost):
            check_host(Headers(raw=raw), any_name=True)


def test_pages_of_listed_origins_may_and_no_others() -> None:
    listed = {"https://rollcall.example"}
    check_origin(Headers({"host": "x", "origin": "https://Rollcall.example", "sec-fetch-site": "cross-site"}), listed)
    for headers in FOREIGN:
        with pytest.raises(ForeignOrigin):
            check_origin(Headers({"host": "localhost:5000", **headers}), listed)


@pytest.mark.parametrize("path", ["/v1/identities", "/register", "/", "/nowhere", "//evil", "/v1/events"])
def test_a_foreign_host_reaches_nothing_whatever_the_path(server: Any, path: str) -> None:
    response = server.get(path, headers={"Host": "evil/admin?"})
    assert (response.status_code, response.json()["code"]) == (421, "foreign_host")


@pytest.mark.parametrize("path", ["/register", "/unregister", "/v1/identities", "/v1/webhooks", "/nowhere"])
@pytest.mark.parametrize("headers", [{"Origin": "http://evil.org"}, {"Sec-Fetch-Site": "cross-site"}])
def test_a_foreign_page_changes_nothing(server: Any, path: str, headers: dict[str, str]) -> None:
    response = server.post(path, headers=headers, data={"name": "x"})
    assert (response.status_code, response.json()["code"]) == (403, "foreign_origin")


@pytest.mark.parametrize("method", ["PATCH", "DELETE", "PUT"])
def test_no_unsafe_method_is_forgotten(server: Any, method: str) -> None:
    response = server.call(method, "/v1/identities/x", headers={"Origin": "null"}, json={})
    assert response.status_code == 403


@pytest.mark.parametrize("path", ["/ws/face-stream", "/v1/edge/link"])
@pytest.mark.parametrize(
    "headers", [{"Origin": "http://evil.org"}, {"Origin": "null"}, {"Sec-Fetch-Site": "same-site"}]
)
def test_a_foreign_page_opens_no_socket(server: Any, path: str, headers: dict[str, str]) -> None:
    with pytest.raises(InvalidStatus) as error:
        server.socket(path, headers=headers)
    assert error.value.response.status_code == 403
    assert b"foreign_origin" in error.value.response.body


def test_a_foreign_host_opens_no_socket(server: Any) -> None:
    with pytest.raises(InvalidStatus) as error:
        connect(
            f"ws://evil.org:{server.port}/ws/face-stream", sock=socket.create_connection(("127.0.0.1", server.port))
        )
    assert error.value.response.status_code == 421


def test_our_own_page_opens_sockets_and_posts(server: Any) -> None:
    with server.socket("/ws/face-stream", headers={"Origin": server.url}):
        pass
    response = server.post("/v1/identities", json={"name": "Ann"}, headers={"Origin": server.url})
    assert response.status_code == 201


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({}, 400, "invalid"),
        ({EDGE_HEADER: "e1"}, 400, "invalid"),
        ({EDGE_HEADER: "e1", WIRE_HEADER: "one"}, 400, "invalid"),
        ({EDGE_HEADER: "../x", WIRE_HEADER: str(WIRE)}, 400, "invalid"),
        ({EDGE_HEADER: "e" * 65, WIRE_HEADER: str(WIRE)}, 400, "invalid"),
        ({EDGE_HEADER: "e1", WIRE_HEADER: str(WIRE + 1)}, 426, "wire_version"),
        ({EDGE_HEADER: "e1", WIRE_HEADER: "0"}, 426, "wire_version"),
    ],
)
def test_an_edge_names_itself_and_speaks_a_common_wire(
    server: Any, headers: dict[str, str], status: int, code: str
) -> None:
    response = server.get("/v1/edge/galleries", headers=headers)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert code != "wire_version" or response.json()["remedy"]


def test_an_edge_of_a_newer_wire_gets_no_link(server: Any) -> None:
    headers = {EDGE_HEADER: "e1", WIRE_HEADER: str(WIRE + 1)}
    with pytest.raises(InvalidStatus) as error:
        server.socket("/v1/edge/link", "rollcall.edge.v1", headers=headers)
    assert error.value.response.status_code == 426


NOW = datetime(2026, 1, 1, tzinfo=UTC)
TEXT = "rc_000000000001_" + "a" * 40
TEXT += check_sum(TEXT)


def a_key(role: Role, **fields: Any) -> Key:
    values = {"name": "", "sites": None, "edge_id": None, "created_at": NOW, "expires_at": None, "revoked_at": None}
    return Key(**{"id": id_of(TEXT), "role": role, "sha256": digest(TEXT), "last_used_at": None, **values, **fields})


def gate(*held: Key, open_without: bool = True) -> Gate:
    return Gate(lambda: {key.id: key for key in held}, lambda: NOW, open_without=open_without)


def test_without_keys_everything_is_open_to_this_machine_and_nothing_to_others() -> None:
    assert gate().admit(Headers({}), PEOPLE_READ).sites is None
    assert gate().admit(Headers({}), EDGE).key is None
    with pytest.raises(Unauthenticated):
        gate(open_without=False).admit(Headers({}), PEOPLE_READ)


def test_an_edges_key_alone_closes_nothing_and_any_other_does_even_when_it_counts_no_more() -> None:
    assert gate(a_key(Role.EDGE)).open
    for closing in (a_key(Role.VIEWER), a_key(Role.ADMIN, revoked_at=NOW), a_key(Role.ADMIN, expires_at=NOW)):
        assert not gate(closing).open


def test_a_key_counts_until_it_ends() -> None:
    headers = Headers({"authorization": f"bearer {TEXT}"})
    assert gate(a_key(Role.VIEWER, expires_at=NOW + timedelta(seconds=1))).admit(headers, PEOPLE_READ).key
    for ended in (a_key(Role.VIEWER, expires_at=NOW), a_key(Role.VIEWER, revoked_at=NOW)):
        with pytest.raises(Unauthenticated):
            gate(ended).admit(headers, PEOPLE_READ)


def test_the_id_alone_opens_nothing() -> None:
    other = TEXT.replace("a" * 40, "b" * 40)[: -len(check_sum(""))]
    with pytest.raises(Unauthenticated, match="not known"):
        gate(a_key(Role.ADMIN)).admit(Headers({"authorization": f"Bearer {other}{check_sum(other)}"}), PEOPLE_READ)


def test_two_authorization_headers_are_none() -> None:
    raw = [(b"authorization", f"Bearer {TEXT}".encode())] * 2
    with pytest.raises(Unauthenticated):
        presented(Headers(raw=raw))


def test_every_scope_is_some_roles_and_only_an_administrator_has_all() -> None:
    assert frozenset().union(*SCOPES.values()) == set(Need)
    assert SCOPES[Role.ADMIN] == set(Need) - {EDGE}
    assert all(not scopes >= SCOPES[Role.ADMIN] for role, scopes in SCOPES.items() if role is not Role.ADMIN)
    assert not any(need.endswith(":write") for need in SCOPES[Role.VIEWER])


def test_whoever_calls_has_a_word_that_stays_the_same() -> None:
    assert Caller().actor == "nobody"
    assert Caller(a_key(Role.ADMIN, name="Ann's")).actor == "key:000000000001"
    assert Caller(a_key(Role.EDGE)).actor == "key:000000000001"
    assert Caller(a_key(Role.EDGE, edge_id="e1")).actor == "edge:e1"
