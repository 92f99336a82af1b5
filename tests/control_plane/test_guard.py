from __future__ import annotations

import socket
from typing import Any

import pytest
from starlette.datastructures import Headers
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from control_plane.guard import check_host, check_origin
from control_plane.problems import ForeignHost, ForeignOrigin


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


PROXIED = [
    {"X-Forwarded-For": "203.0.113.9"},
    {"X-Forwarded-Proto": ""},
    {"X-Real-IP": "203.0.113.9"},
    {"Forwarded": "for=203.0.113.9"},
    {"Via": "1.1 proxy"},
]


@pytest.mark.parametrize("headers", PROXIED)
def test_while_all_is_open_what_a_proxy_passes_on_is_refused_by_whatever_host_it_asks(
    server: Any, headers: dict[str, str]
) -> None:
    for path in ("/v1/identities", "/faces", "/"):
        answer = server.get(path, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
        assert "rollcall users create" in answer.json()["remedy"]
    with pytest.raises(InvalidStatus) as error:
        server.socket("/ws/face-stream", headers=headers)
    assert error.value.response.status_code == 401


def test_our_own_page_opens_sockets_and_posts(server: Any) -> None:
    with server.socket("/ws/face-stream", headers={"Origin": server.url}):
        pass
    response = server.post("/v1/identities", json={"name": "Ann"}, headers={"Origin": server.url})
    assert response.status_code == 201
