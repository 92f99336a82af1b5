"""The cookie of whoever is signed in: what it is called, and that a page of ours meant to send it."""

from __future__ import annotations

import secrets
from datetime import timedelta
from hashlib import sha256

from starlette.requests import HTTPConnection
from starlette.responses import Response

from control_plane.guard import SAFE_METHODS, own_origins
from control_plane.problems import ForeignOrigin, NoCsrfToken

NAME = "rollcall"
CSRF_HEADER = "X-CSRF-Token"


def presented(connection: HTTPConnection) -> str | None:
    """The cookie that comes with a request, where it is what says who calls: an Authorization header goes before it."""
    return None if "authorization" in connection.headers else connection.cookies.get(_name(connection))


def check_meant(connection: HTTPConnection, cookie: str) -> None:
    """Raises NoCsrfToken or ForeignOrigin unless a page of ours sends the cookie knowingly: browsers send it along with
    whatever any page asks for. What changes something needs the token, and a WebSocket our own Origin."""
    if connection.scope["type"] == "websocket":
        origins = connection.headers.getlist("origin")
        if not origins or any(origin.lower() not in own_origins(connection.headers) for origin in origins):
            raise ForeignOrigin("only our own pages open a WebSocket by a cookie", remedy="Take a ticket.")
    elif connection.scope["method"] not in SAFE_METHODS:
        token = connection.headers.get(CSRF_HEADER, "")
        if not secrets.compare_digest(token.encode(), csrf_token(cookie).encode()):
            raise NoCsrfToken(
                f"the header {CSRF_HEADER} is missing or not this sign-in's",
                remedy=f"Send `csrf` of GET /v1/session as {CSRF_HEADER}.",
            )


def csrf_token(cookie: str) -> str:
    """What only a page that may read our answers knows of a sign-in. It says nothing of the cookie."""
    return sha256(f"csrf {cookie}".encode()).hexdigest()


def give(connection: HTTPConnection, response: Response, cookie: str, lasting: timedelta) -> None:
    """Set the cookie: for no script, no other site and, where the line is encrypted, no other line."""
    _set(connection, response, cookie, int(lasting.total_seconds()))


def take(connection: HTTPConnection, response: Response) -> None:
    """Have the browser forget the cookie."""
    _set(connection, response, "", 0)


def _set(connection: HTTPConnection, response: Response, cookie: str, seconds: int) -> None:
    response.set_cookie(
        _name(connection),
        cookie,
        max_age=seconds,
        path="/",
        secure=_encrypted(connection),
        httponly=True,
        samesite="strict",
    )


def _name(connection: HTTPConnection) -> str:
    # With the prefix a browser takes it over TLS alone, and from no other name of the same domain.
    return f"__Host-{NAME}" if _encrypted(connection) else NAME


def _encrypted(connection: HTTPConnection) -> bool:
    return connection.scope["scheme"] in ("https", "wss")
