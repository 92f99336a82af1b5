"""Galleries: where they stand, their changes, and snapshots for those who start over."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator

import msgspec
from starlette.responses import Response, StreamingResponse

from control_plane.api.edges import check_follows
from control_plane.api.route import Call, Listing, Media, Paging, Position, Route, answer, listing
from control_plane.api.wireform import wire, wire_answer
from control_plane.auth import EDGE, OPERATOR
from control_plane.plane import Plane
from control_plane.store import galleries
from control_plane.store.db import Connection, Database
from control_plane.store.galleries import Gallery
from faces.wire import MSGPACK, Page, pack_rows

CHUNK_BYTES = 1 << 18


class Since(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`after` is the revision that the copy has."""

    after: Position = 0


async def browse(call: Call[None, Paging]) -> Response:
    """Galleries, and where they stand."""
    asked = call.query
    found = await call.plane.read(lambda c: galleries.listing(c, after=asked.after, limit=asked.limit + 1))
    return listing(found, asked.limit, lambda g: g.id)


async def show(call: Call[None, None]) -> Response:
    """One gallery."""
    gallery_id = call.path()
    return answer(await call.plane.read(lambda c: galleries.get(c, gallery_id)))


async def changes(call: Call[None, Since]) -> Response:
    """A page of changes; 410: start over from a snapshot."""
    gallery_id = call.path()

    def work(connection: Connection) -> Page:
        check_follows(connection, call.edge, gallery_id)
        return galleries.page(connection, gallery_id, call.query.after)

    return wire_answer(call, await call.plane.read(work))


async def snapshot(call: Call[None, None]) -> Response:
    """Everything at one revision, as length-framed msgpack values."""
    plane, gallery_id = call.plane, call.path()
    await plane.read(lambda c: check_follows(c, call.edge, gallery_id))
    return StreamingResponse(_stream(plane, gallery_id), media_type=MSGPACK)


async def _stream(plane: Plane, gallery_id: str) -> AsyncIterator[bytes]:
    async with plane.snapshots:
        chunks = _chunks(plane.database, gallery_id)
        try:
            while chunk := await plane.run(lambda: next(chunks, b"")):
                yield chunk
        finally:
            await plane.run(chunks.close)


def _chunks(database: Database, gallery_id: str) -> Generator[bytes, None, None]:
    with database.read() as connection:
        pending = bytearray()
        for piece in pack_rows(*galleries.snapshot(connection, gallery_id)):
            pending += piece
            if len(pending) >= CHUNK_BYTES:
                yield bytes(pending)
                pending.clear()
    yield bytes(pending)


ROUTES = (
    Route("GET", "/v1/galleries", browse, OPERATOR, {200: Listing[Gallery]}, query=Paging),
    Route("GET", "/v1/galleries/{id}", show, OPERATOR, {200: Gallery}),
    Route("GET", "/v1/galleries/{id}/changes", changes, EDGE, {200: wire(Page)}, query=Since),
    Route("GET", "/v1/galleries/{id}/snapshot", snapshot, EDGE, {200: Media((MSGPACK,))}),
)
