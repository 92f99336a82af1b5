"""Errors as answers: `application/problem+json`, with the original service's members beside them where it had some."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.responses import Response

from control_plane.api.route import Endpoint
from control_plane.problems import (
    PROBLEM_JSON,
    Problem,
    TooManyRequests,
    Unauthenticated,
    problem,
    problem_of,
    problem_of_status,
)
from faces.errors import RollcallError
from faces.wire import WIRE

log = logging.getLogger(__name__)

# What a status needs beside its body. An upload that is too large or too slow is not read to its end.
HEADERS: Mapping[int, Mapping[str, str]] = {
    401: {"WWW-Authenticate": 'Basic realm="Rollcall", charset="UTF-8"'},
    408: {"Connection": "close"},
    413: {"Connection": "close"},
    426: {"Upgrade": f"rollcall-wire/{WIRE}"},
    503: {"Retry-After": "1"},
}


def refusal(
    told: Problem, members: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """A problem as a response, with further members."""
    body = msgspec.json.encode({**msgspec.to_builtins(told), **(members or {})})
    return Response(body, told.status, {**HEADERS.get(told.status, {}), **(headers or {})}, PROBLEM_JSON)


def failure(connection: HTTPConnection, told: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """A problem as the answer to this request, or to this WebSocket's handshake."""
    endpoint = connection.scope.get("endpoint")
    original = isinstance(endpoint, Endpoint) and endpoint.original
    return refusal(told, original_members(told.detail or told.title) if original else None, headers)


def original_members(message: str) -> dict[str, Any]:
    """What clients of the original service look at."""
    return {"success": False, "message": message, "error": message}


def refuse(connection: HTTPConnection, error: RollcallError) -> Response:
    headers = None
    if isinstance(error, TooManyRequests):
        headers = {"Retry-After": str(error.retry_after_s)}
    elif isinstance(error, Unauthenticated) and _by_a_script(connection):
        # A browser that is asked for Basic opens a window of its own over the page, which knows better what to do.
        headers = {"WWW-Authenticate": 'Bearer realm="Rollcall"'}
    return failure(connection, problem_of(error), headers)


def _by_a_script(connection: HTTPConnection) -> bool:
    """Whether a page's script asks, and not the browser itself or a program."""
    return connection.headers.get("sec-fetch-mode", "navigate") != "navigate"


async def on_error(connection: HTTPConnection, error: Exception) -> Response:
    assert isinstance(error, RollcallError)
    return refuse(connection, error)


async def on_http_error(connection: HTTPConnection, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return failure(connection, problem_of_status(error.status_code, error.detail), error.headers)


async def on_disconnect(connection: HTTPConnection, error: Exception) -> Response:
    """The client is gone: nobody reads this answer."""
    return Response(status_code=400)


async def on_crash(connection: HTTPConnection, error: Exception) -> Response:
    """A fault of ours. The caller learns an id; the log has the id, and the traceback follows it."""
    incident = str(uuid4())
    log.error("internal error %s in %r", incident, connection.scope.get("path"))
    return failure(connection, problem("internal", f"This is noted in the log as {incident}."))


HANDLERS = {
    RollcallError: on_error,
    HTTPException: on_http_error,
    ClientDisconnect: on_disconnect,
    Exception: on_crash,
}
