from __future__ import annotations

import socket
from typing import Any

import pytest

from control_plane.api.route import Route
from control_plane.api.routes import ROUTES
from control_plane.auth import Need


def test_every_route_says_who_may_call_and_what_it_is_for() -> None:
    for route in ROUTES:
        assert route.needs in Need
        assert route.endpoint.__doc__
    declared = [(r.method, r.path) for r in ROUTES]
    assert len(declared) == len(set(declared))


def test_only_health_is_for_anybody() -> None:
    assert {r.path for r in ROUTES if r.needs is Need.ANYBODY} == {"/healthz", "/readyz"}


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/v1/identities", "GET, HEAD, POST"),
        ("DELETE", "/v1/events", "GET, HEAD, POST"),
        ("POST", "/healthz", "GET, HEAD"),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(server: Any, method: str, path: str, allowed: str) -> None:
    response = server.call(method, path)
    assert (response.status_code, response.json()["code"]) == (405, "method_not_allowed")
    assert ", ".join(sorted(response.headers["Allow"].split(", "))) == allowed


@pytest.mark.parametrize(
    "path", ["/v1", "/v1/", "/v1/identities/", "//v1/identities", "/faces/", "/v1/../faces;x", "/@evil"]
)
def test_a_path_that_is_none_is_not_found(server: Any, path: str) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as raw:
        raw.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        answer = raw.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 404")
    assert b'"code":"not_found"' in answer


def test_head_answers_as_get_does_without_the_body(server: Any) -> None:
    response = server.call("HEAD", "/v1/sites")
    assert (response.status_code, response.content) == (200, b"")


@pytest.mark.parametrize("prefer", ["wait=0", "wait=", "wait=-5", "wait=x", "await=5", ""])
def test_a_preference_that_is_none_is_ignored(server: Any, prefer: str) -> None:
    person = server.person("Ann")
    response = server.post(
        f"/v1/identities/{person}/photos", data=b"x", headers={"Content-Type": "image/png", "Prefer": prefer}
    )
    assert response.status_code == 202


def test_a_route_is_a_value() -> None:
    assert isinstance(ROUTES[0], Route)
    with pytest.raises(AttributeError):
        ROUTES[0].path = "/x"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "/v1/sites/default", {"galleries": ["a\0b"]}),
        ("POST", "/v1/identities", {"name": "Ann", "attributes": {"deep": [{"k\0": 1}]}}),
        ("POST", "/v1/identities", {"name": "Ann", "galleries": ["\0"]}),
        ("POST", "/v1/identities/x/merge", {"from": "\0"}),
        ("POST", "/v1/identities", {"name": "Ann", "valid_from": "0001-01-01T00:44:00+16:36"}),
        ("POST", "/v1/webhooks/x/replay", {"since": "9999-12-31T23:59:59-01:00"}),
    ],
)
def test_nothing_that_a_database_would_not_take_gets_to_one(either: Any, method: str, path: str, body: Any) -> None:
    response = either.call(method, path, json=body)
    assert (response.status_code, response.json()["code"]) == (400, "invalid")
    assert "no text" in response.json()["detail"] or "the year" in response.json()["detail"]


@pytest.mark.parametrize("moment", ["0.5", "1774785600", "-1e3", " 1 "])
def test_a_number_is_no_moment(server: Any, moment: str) -> None:
    response = server.get("/v1/events", params={"since": moment})
    assert (response.status_code, response.json()["code"]) == (400, "invalid")
    assert server.get("/v1/events", params={"since": "0001-01-01T00:00:00+01:00"}).status_code == 400
    assert server.get("/v1/events", params={"camera": "\0"}).status_code == 400
    assert server.get("/v1/events", params={"since": "2026-03-29T12:00:00Z"}).status_code == 200
