"""Tickets: how a page opens the stream, as a browser's WebSocket cannot send a key."""

from __future__ import annotations

import msgspec
from starlette.responses import Response

from control_plane.api.route import UNAUDITED, Call, Route, answer
from control_plane.auth import EVENTS_READ, TICKET_PROTOCOL
from control_plane.store import tickets


class Ticket(msgspec.Struct, frozen=True):
    """Offer `subprotocol` beside `rollcall.v1` when you open `/ws/face-stream`: once, within `good_for_s` seconds."""

    subprotocol: str
    good_for_s: int


async def issue(call: Call[None, None]) -> Response:
    """A ticket that opens one WebSocket for whoever asks."""
    text = await call.plane.write(lambda c: tickets.issue(c, call.caller.bearer, call.plane.clock()))
    return answer(Ticket(TICKET_PROTOCOL + text, int(tickets.GOOD_FOR.total_seconds())), 201)


ROUTES = (Route("POST", "/v1/tickets", issue, EVENTS_READ, {201: Ticket}, within={}, audit=UNAUDITED),)
