"""The edges' link: hints and watch leases down, status and live frames up."""

from __future__ import annotations

import asyncio
import contextlib
import time

import msgspec
from starlette.websockets import WebSocket

from control_plane.api.route import checked
from control_plane.auth import EDGE, Caller, check_edge, edge_of
from control_plane.fanout import Frame, Lens
from control_plane.parts import first_of
from control_plane.plane import Plane
from control_plane.problems import Replaced
from control_plane.store import sites
from control_plane.store.db import Connection
from control_plane.ws.links import RENEW_AFTER_S, Leases, Link
from control_plane.ws.session import received, send, told_by_code, while_valid
from faces.errors import Invalid
from faces.wire import LINK_PROTOCOL, LinkStatus, decode_text, encode_text, unpack_frame


async def link(websocket: WebSocket, plane: Plane, by: Caller) -> None:
    """One edge's connection, from its handshake to its end."""
    caller = edge_of(websocket)
    if LINK_PROTOCOL not in websocket.scope["subprotocols"]:
        raise Invalid(f"the subprotocol {LINK_PROTOCOL} is not offered")

    def known(connection: Connection) -> sites.Edge:
        sites.site_of(connection, caller.id)
        check_edge(by, caller.id, sites.places(connection))
        return sites.edge(connection, caller.id, plane.clock())

    edge = await plane.read(known)
    await websocket.accept(LINK_PROTOCOL)
    async with told_by_code(websocket):
        await while_valid(plane, by, EDGE, Session(websocket, plane, edge).run())


class Session:
    """A connected edge."""

    def __init__(self, websocket: WebSocket, plane: Plane, edge: sites.Edge) -> None:
        self._websocket = websocket
        self._plane = plane
        self._edge = edge
        self._wake = asyncio.Event()
        self._link = Link(edge.id, edge.site_id, self._wake.set)

    async def run(self) -> None:
        news = self._plane.feed.news
        for gallery, revision in news.revisions.items():
            if self._edge.site_id in news.followers.get(gallery, ()):
                self._link.hint(gallery, revision)
        if self._edge.id in news.ordered:
            self._link.order()
        self._plane.links.add(self._link)
        try:
            await first_of(self._down(), self._up())
        finally:
            self._plane.links.remove(self._link)

    async def _down(self) -> None:
        leases = Leases()
        while True:
            self._wake.clear()
            if self._link.replaced:
                raise Replaced("a newer connection of this edge has taken over")
            watched = self._plane.fanout.watched(self._edge.id)
            for message in (*self._link.take(), *leases.due(watched, time.monotonic())):
                await send(self._websocket, encode_text(message))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RENEW_AFTER_S if watched else None):
                    await self._wake.wait()

    async def _up(self) -> None:
        while True:
            message = await received(self._websocket)
            if isinstance(message, str):
                await self._keep(checked(decode_text(message, LinkStatus), "status"))
            else:
                self._publish(message)

    async def _keep(self, status: LinkStatus) -> None:
        now = self._plane.clock()
        await self._plane.gatherer.write(lambda c: sites.status(c, self._edge.id, status.cameras, status.spooled, now))

    def _publish(self, message: bytes) -> None:
        header, jpeg = unpack_frame(message)
        # Where a frame is from is what we know of the connection, not what it says of itself.
        header = msgspec.structs.replace(header, site=self._edge.site, edge=self._edge.id)
        self._plane.fanout.publish(Lens(self._edge.id, header.camera), Frame(header, jpeg))
