from __future__ import annotations

import logging
import re
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from control_plane.__main__ import make_server
from control_plane.api.failures import HANDLERS
from control_plane.problems import ForeignOrigin
from control_plane.store.db import Unavailable
from faces.errors import AmbiguousName, Compacted, Conflict, Diverged, Invalid, NotFound, SettingError, WireMismatch

ERRORS = {
    "ambiguous": AmbiguousName("two of them"),
    "compacted": Compacted("gone"),
    "conflict": Conflict("no"),
    "crash": ZeroDivisionError("the secret is 42"),
    "diverged": Diverged("not ours"),
    "foreign": ForeignOrigin("no"),
    "invalid": Invalid("field"),
    "not_found": NotFound("no"),
    "ours": SettingError("PASSWORD=hunter2"),
    "unavailable": Unavailable("away", remedy="Later."),
    "wire": WireMismatch("9", remedy="Update."),
}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    async def fail(request: Request) -> Response:
        raise ERRORS[request.path_params["name"]]

    bound = socket.create_server(("127.0.0.1", 0))
    server = make_server(Starlette(routes=[Route("/{name}", fail)], exception_handlers=HANDLERS))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
    thread.start()
    yield f"http://127.0.0.1:{bound.getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("ambiguous", 409, "ambiguous_name"),
        ("compacted", 410, "compacted"),
        ("conflict", 409, "conflict"),
        ("diverged", 410, "diverged"),
        ("foreign", 403, "foreign_origin"),
        ("invalid", 400, "invalid"),
        ("not_found", 404, "not_found"),
        ("unavailable", 503, "database_unavailable"),
        ("wire", 426, "wire_version"),
    ],
)
def test_each_error_is_answered_by_the_table(url: str, name: str, status: int, code: str) -> None:
    response = requests.get(f"{url}/{name}", timeout=10)
    told = response.json()
    assert (response.status_code, told["status"], told["code"]) == (status, status, code)
    assert response.headers["Content-Type"] == "application/problem+json"
    assert {"type", "title", "detail"} <= set(told)


def test_a_crash_tells_an_id_that_the_log_has_and_nothing_else(url: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        response = requests.get(f"{url}/crash", timeout=10)
    assert (response.status_code, response.json()["code"]) == (500, "internal")
    assert "secret" not in response.text
    assert "Zero" not in response.text
    found = re.search(r"[0-9a-f-]{36}", response.json()["detail"])
    assert found is not None
    assert found[0] in caplog.text


def test_an_error_of_our_own_set_up_is_not_told_in_words(url: str) -> None:
    response = requests.get(f"{url}/ours", timeout=10)
    assert (response.status_code, response.json()["code"]) == (500, "internal")
    assert "hunter2" not in response.text


def test_headers_that_a_status_needs_are_there(url: str) -> None:
    assert requests.get(f"{url}/unavailable", timeout=10).headers["Retry-After"] == "1"
    assert requests.get(f"{url}/wire", timeout=10).headers["Upgrade"] == "rollcall-wire/1"


def test_a_client_that_leaves_in_the_middle_is_no_error(
    server: Any, caplog: pytest.LogCaptureFixture, wait_for: Any
) -> None:
    with caplog.at_level(logging.ERROR):
        for _ in range(5):
            with socket.create_connection(("127.0.0.1", server.port)) as raw:
                raw.sendall(
                    b"POST /v1/imports HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/zip\r\n"
                    b"Content-Length: 1000000\r\n\r\n" + b"x" * 1000
                )
                wait_for(server.files)
            wait_for(lambda: not server.files())
        assert server.get("/v1/imports").json()["items"] == []
    assert caplog.text == ""
