"""What both kinds of WebSocket have in common: ends that are told by the one table, and sends that never wait long."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from control_plane.auth import EDGE, TICKET_PROTOCOL, Caller, Need
from control_plane.cut import cut
from control_plane.feed import News
from control_plane.limits import Cost, network
from control_plane.notes import Note
from control_plane.parts import first_of
from control_plane.plane import Plane
from control_plane.problems import TABLE, Forbidden, Unauthenticated
from control_plane.store import tickets
from control_plane.store.tickets import Bearer
from faces.errors import RollcallError

SEND_WITHIN_S = (8.0, 12.0)
"""A client that has not read for this long, anything between the two, is cut off: those whom one fault stalled do not
come back in one moment."""

LOOK_EVERY_S = 600.0
"""How often at least the clock is asked whether a key or a sign-in has expired: it may have been set meanwhile."""


@dataclass(frozen=True, slots=True)
class Socket:
    """A WebSocket's endpoint, and what its caller needs: as an ASGI application."""

    endpoint: Callable[[WebSocket, Plane, Caller], Awaitable[None]]
    needs: Need
    plane: Plane

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        websocket = WebSocket(scope, receive, send)
        try:
            caller = await self._caller(websocket)
        except (Unauthenticated, Forbidden) as error:
            self.plane.refused(websocket, "link.open" if self.needs is EDGE else "stream.open", error)
            raise
        if self.needs is not EDGE:
            looked(websocket, self.plane, caller, "stream.open")
        await self.endpoint(websocket, self.plane, caller)

    async def _caller(self, websocket: WebSocket) -> Caller:
        """Who opens it: by a ticket where one is offered, else by the headers; raises Unauthenticated, Forbidden, and
        TooManyRequests for too many tickets that were not good."""
        offered = [p for p in websocket.scope["subprotocols"] if p.startswith(TICKET_PROTOCOL)]
        if not offered:
            return await self.plane.admit(websocket, self.needs)
        who = network(_address(websocket))
        self.plane.limits.check(Cost.SIGN_IN, who, time.monotonic())
        bearer = await self._redeemed(offered[0].removeprefix(TICKET_PROTOCOL))
        if bearer is None:
            self.plane.limits.take(Cost.SIGN_IN, who, time.monotonic())
            raise Unauthenticated("this ticket is not good any more", remedy="Take a new one for each socket.")
        return await self.plane.admit_bearer(bearer, self.needs)

    async def _redeemed(self, ticket: str) -> Bearer | None:
        """Whom the ticket stands for. Anybody may make one up: for those that are not good no writer waits."""
        now = self.plane.clock()
        if not tickets.FORM.fullmatch(ticket):
            return None
        if not await self.plane.read(lambda c: tickets.good(c, ticket, now)):
            return None
        return await self.plane.write(lambda c: tickets.redeem(c, ticket, now))


def looked(websocket: WebSocket, plane: Plane, caller: Caller, action: str, resource_id: str | None = None) -> None:
    """Have the audit log told who looks, and at what; raises Unavailable where it cannot be written."""
    plane.looks.check()
    note = Note(actor=caller.actor, action=action, address=_address(websocket), resource_id=resource_id)
    plane.looks.add(note.entry(plane.clock()))


def _address(websocket: WebSocket) -> str:
    return websocket.client.host if websocket.client else ""


async def while_valid(plane: Plane, caller: Caller, need: Need, work: Coroutine[Any, Any, None]) -> None:
    """Do the work for as long as the caller may; raises Unauthenticated when it does no more."""
    await first_of(work, _until_void(plane, caller, need))


async def _until_void(plane: Plane, caller: Caller, need: Need) -> None:
    changed = asyncio.Event()

    def look(before: News) -> None:
        # There are many sockets, many commits, and few changes of who may come in.
        if plane.feed.news.access is not before.access:
            changed.set()

    with plane.feed.listening(look):
        while True:
            changed.clear()
            plane.gate.check(caller, need)
            ends_at = plane.gate.ends_at(caller)
            left_s = None if ends_at is None else min((ends_at - plane.clock()).total_seconds(), LOOK_EVERY_S)
            if caller.sign_in is not None:
                # An open page is in use, though nobody clicks on anything: a wall that shows who comes.
                plane.note(caller)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await changed.wait()


@asynccontextmanager
async def told_by_code(websocket: WebSocket) -> AsyncIterator[None]:
    """Ends the accepted socket with the close code of the error that the block raises."""
    try:
        yield
    except RollcallError as error:
        # A close frame's reason has at most 123 bytes.
        reason = error.message.encode()[:120].decode(errors="ignore")
        await websocket.close(TABLE[error.code].close, reason)
    except WebSocketDisconnect:
        # Gone: there is nobody to tell.
        return
    except TimeoutError:
        # Nobody reads what we would tell.
        cut(websocket.scope)


async def send(websocket: WebSocket, message: str | bytes) -> None:
    """Send one message; raises TimeoutError if the client does not read."""
    async with asyncio.timeout(random.uniform(*SEND_WITHIN_S)):
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
