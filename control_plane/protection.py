"""What every answer tells a browser: nothing is run, framed, sniffed or kept that we did not mean."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from faces.wire import MSGPACK

POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    # Faces and names are not to lie in a browser's cache.
    "Cache-Control": "no-store",
}
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    **ALWAYS,
}


NO_PAGE = (MSGPACK, None)
"""The content types of what only edges read, and of an answer without content."""


class Protection:
    """Adds these headers to every HTTP answer; to what no browser could show no more than it needs: two hundred edges
    ask at once, some over a thin line."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def protected(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in (ALWAYS if headers.get("content-type") in NO_PAGE else HEADERS).items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, protected)
