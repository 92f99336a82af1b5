"""What both kinds of WebSocket have in common: ends that are told by the one table, and sends that never wait long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from control_plane.problems import TABLE
from faces.errors import RollcallError

SEND_WITHIN_S = 10.0
"""A client that has not read for this long is cut off."""


@asynccontextmanager
async def told_by_code(websocket: WebSocket) -> AsyncIterator[None]:
    """Ends the accepted socket with the close code of the error that the block raises."""
    try:
        yield
    except RollcallError as error:
        # A close frame's reason has at most 123 bytes.
        reason = error.message.encode()[:120].decode(errors="ignore")
        await websocket.close(TABLE[error.code].close, reason)
    except (WebSocketDisconnect, TimeoutError):
        # Gone, or not reading: there is nobody to tell.
        return


async def send(websocket: WebSocket, message: str | bytes) -> None:
    """Send one message; raises TimeoutError if the client does not read."""
    async with asyncio.timeout(SEND_WITHIN_S):
        if isinstance(message, str):
            await websocket.send_text(message)
        else:
            await websocket.send_bytes(message)


async def received(websocket: WebSocket) -> str | bytes:
    """The next message; raises WebSocketDisconnect."""
    message = await websocket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message["code"])
    text: str | None = message.get("text")
    return message["bytes"] if text is None else text


async def first_of(*parts: Coroutine[Any, Any, None]) -> None:
    """Run until one part ends, and cancel the others; raises what that one raised."""
    tasks = [asyncio.ensure_future(part) for part in parts]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
