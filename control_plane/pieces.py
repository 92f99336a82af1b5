"""What is sent to us and what we send, piece by piece: not for ever, and only while whoever calls still may."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from control_plane.cut import cut
from control_plane.problems import Forbidden, TooLarge, TooSlow, Unauthenticated

SILENT_S = 30.0
"""How long at most nothing of a body may come, or a piece of an answer may take."""

BODY_WITHIN_S = 60.0
SLOWEST_BYTES_S = 8 << 10
"""How long at most is waited for a body in all, and how fast one must come that takes longer: gigabytes may come over a
slow line."""

PIECE_BYTES = 256 << 10
"""What of an answer is sent at once: within SILENT_S, and so no slower than a body has to come."""

Check = Callable[[], None]
"""Raises Unauthenticated or Forbidden where whoever calls may no more."""


def received(scope: Scope, receive: Receive, limit: int, check: Check) -> Receive:
    """`receive`, which raises TooLarge when more than `limit` bytes come or are announced, TooSlow when they do not
    come, and as `check` does after each piece: a key may be revoked between the first and the last."""
    too_large = TooLarge(f"the body is larger than {limit} bytes", remedy="Send a smaller one.")
    announced = int(Headers(scope=scope).get("content-length", "0"))
    loop, came, waited_s = asyncio.get_running_loop(), 0, 0.0

    async def piece() -> Message:
        nonlocal came, waited_s
        if announced > limit:
            raise too_large
        began = loop.time()
        try:
            async with asyncio.timeout(min(SILENT_S, BODY_WITHIN_S + came / SLOWEST_BYTES_S - waited_s)):
                message = await receive()
        except TimeoutError:
            raise TooSlow("the body came too slowly, or not to its end", remedy="Send it again.") from None
        waited_s += loop.time() - began
        came += len(message.get("body", b""))
        if came > limit:
            raise too_large
        check()
        return message

    return piece


class _Ended(Exception):
    """This answer goes on no more."""


async def answered(response: Response, scope: Scope, receive: Receive, send: Send, check: Check) -> None:
    """Send an answer. One of several pieces is cut off where `check` raises, or where its reader takes none."""

    async def sent(message: Message) -> None:
        if not message.get("more_body"):
            await send(message)
            return
        body = memoryview(message["body"])
        for start in range(0, len(body), PIECE_BYTES):
            try:
                check()
                async with asyncio.timeout(SILENT_S):
                    await send({**message, "body": bytes(body[start : start + PIECE_BYTES])})
            except (Unauthenticated, Forbidden, TimeoutError):
                raise _Ended from None

    try:
        await response(scope, receive, sent)
    except _Ended:
        if cut(scope):
            # Nobody gets it: so the server knows that this is its end.
            await send({"type": "http.response.body", "body": b"", "more_body": False})
