"""Galleries: who is in them, where they stand, their changes, and snapshots for those who start over."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing
from threading import Lock
from typing import Annotated

import msgspec
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from control_plane.api import texts
from control_plane.api.edges import check_follows, sound
from control_plane.api.route import Call, Listing, Media, Paging, Position, Route, answer, listing
from control_plane.api.wireform import wants_json, wire
from control_plane.auth import EDGE, GALLERIES_READ, GALLERIES_WRITE, PEOPLE_WRITE
from control_plane.plane import Plane
from control_plane.problems import TooManyRequests
from control_plane.store import galleries, members, thresholds
from control_plane.store.alarms import AlarmKind
from control_plane.store.db import Connection, Database, new_id
from control_plane.store.galleries import Gallery
from control_plane.store.reach import Reach
from faces.errors import Diverged
from faces.gallery import Kind, SettingsRow
from faces.wire import MSGPACK, Page, encode, pack_rows

CHUNK_BYTES = 1 << 18

AGAIN_AFTER_S = 10.0
"""When an edge may ask again that is being sent a snapshot: the connection of one that lost its line lasts no longer
than a few times this."""

Threshold = Annotated[float, msgspec.Meta(gt=0, le=2)]


class NewGallery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A gallery to be added. `th_accept` null: the threshold is the edge's own."""

    name: texts.Name
    kind: Kind = Kind.ALLOW
    th_accept: Threshold | None = None


class ChangedGallery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be changed; fields that are absent stay as they are."""

    name: texts.Name | msgspec.UnsetType = msgspec.UNSET
    kind: Kind | msgspec.UnsetType = msgspec.UNSET
    th_accept: Threshold | msgspec.UnsetType | None = msgspec.UNSET


class Since(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`after` is the revision that the copy has."""

    after: Position = 0


async def browse(call: Call[None, Paging]) -> Response:
    """Galleries, and where they stand."""
    asked = call.query

    def work(connection: Connection) -> list[Gallery]:
        within = call.reach.galleries(connection)
        return galleries.listing(connection, after=asked.after, limit=asked.limit + 1, within=within)

    found = await call.plane.read(work)
    return listing(found, asked.limit, lambda g: g.id)


async def show(call: Call[None, None]) -> Response:
    """One gallery."""
    gallery_id = call.path()
    return answer(await call.plane.read(lambda c: galleries.get(c, gallery_id)))


async def create(call: Call[NewGallery, None]) -> Response:
    """Add a gallery, with nobody in it; sites follow it when they are told to."""
    wanted = call.body

    def work(connection: Connection) -> Gallery:
        now = call.plane.clock()
        settings = SettingsRow(new_id(now), texts.name(wanted.name), wanted.kind, wanted.th_accept)
        galleries.create(connection, settings, now)
        return galleries.get(connection, settings.id)

    made = await call.plane.write(work)
    return answer(made, 201, {"Location": f"/v1/galleries/{made.id}"})


async def change(call: Call[ChangedGallery, None]) -> Response:
    """Change a gallery's name, kind or TH_ACCEPT."""
    gallery_id = call.path()
    changed = {k: v for k, v in msgspec.structs.asdict(call.body).items() if v is not msgspec.UNSET}
    if "name" in changed:
        changed["name"] = texts.name(changed["name"])

    def work(connection: Connection) -> Gallery:
        galleries.lock(connection, [gallery_id])
        after = msgspec.structs.replace(galleries.settings(connection, gallery_id), **changed)
        galleries.change_settings(connection, after, call.plane.clock())
        if "th_accept" in changed:
            thresholds.note(connection, gallery_id)
        return galleries.get(connection, gallery_id)

    return answer(await call.plane.write(work))


async def delete(call: Call[None, None]) -> Response:
    """Remove a gallery. Its people stay, in other galleries or in none."""
    gallery_id = call.path()
    await call.plane.write(lambda c: galleries.delete(c, gallery_id))
    return Response(status_code=204)


async def join(call: Call[None, None]) -> Response:
    """Have a person in a gallery; saying it again changes nothing."""
    gallery_id, identity_id = call.path(), call.path("identity")
    await call.plane.write(lambda c: members.join(c, gallery_id, identity_id, call.plane.clock()))
    return Response(status_code=204)


async def leave(call: Call[None, None]) -> Response:
    """Take a person out of a gallery."""
    gallery_id, identity_id = call.path(), call.path("identity")
    await call.plane.write(lambda c: members.leave(c, gallery_id, identity_id, call.plane.clock()))
    return Response(status_code=204)


async def changes(call: Call[None, Since]) -> Response:
    """A page of changes; 410: start over from a snapshot."""
    gallery_id = call.path()
    if not call.plane.feed.news.follows(call.edge.id, gallery_id):
        await call.plane.read(lambda c: check_follows(c, call.edge, gallery_id))
    try:
        return await _page(call, gallery_id, call.query.after)
    except Diverged as error:
        message = f"{error.message}: was the control plane restored from a backup? The edge starts over"
        await call.plane.write(lambda c: sound(c, AlarmKind.EDGE_AHEAD, call.edge, gallery_id, message, call.plane))
        raise


async def _page(call: Call[None, Since], gallery_id: str, after: int) -> Response:
    async def read() -> Page:
        return await call.plane.read(lambda c: galleries.page(c, gallery_id, after))

    async def packed() -> bytes:
        return encode(await read())

    if wants_json(call):
        return answer(await read())
    revision = call.plane.feed.news.revisions.get(gallery_id, 0)
    return Response(await call.plane.pages.get(gallery_id, revision, after, packed), media_type=MSGPACK)


async def snapshot(call: Call[None, None]) -> Response:
    """Everything at one revision, as length-framed msgpack values; to each edge one snapshot at a time (429)."""
    plane, gallery_id = call.plane, call.path()
    await plane.read(lambda c: check_follows(c, call.edge, gallery_id))
    return Snapshot(plane, gallery_id, call.edge.id)


class Snapshot(StreamingResponse):
    """A snapshot on its way to an edge, which gets no other meanwhile: else one edge could take every turn."""

    def __init__(self, plane: Plane, gallery_id: str, edge_id: str) -> None:
        self._plane, self._edge_id, self._chunks = plane, edge_id, _stream(plane, gallery_id)
        super().__init__(self._chunks, media_type=MSGPACK)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        under_way = self._plane.snapshots_to
        if self._edge_id in under_way:
            raise TooManyRequests("this edge is being sent a snapshot", retry_after_s=AGAIN_AFTER_S)
        under_way.add(self._edge_id)
        try:
            async with aclosing(self._chunks):
                await super().__call__(scope, receive, send)
        finally:
            under_way.remove(self._edge_id)


async def _stream(plane: Plane, gallery_id: str) -> AsyncGenerator[bytes]:
    chunks, turn = _chunks(plane.database, gallery_id), Lock()

    def step() -> bytes:
        with turn:
            return next(chunks, b"")

    def close() -> None:
        # A step may still be under way in its thread when the client leaves.
        with turn:
            chunks.close()

    async with plane.snapshots:
        try:
            while chunk := await plane.run(step):
                yield chunk
        finally:
            await plane.run(close)


def _chunks(database: Database, gallery_id: str) -> Generator[bytes, None, None]:
    with database.read() as connection:
        pending = bytearray()
        for piece in pack_rows(*galleries.snapshot(connection, gallery_id)):
            pending += piece
            if len(pending) >= CHUNK_BYTES:
                yield bytes(pending)
                pending.clear()
    yield bytes(pending)


MEMBER = {"id": Reach.gallery, "identity": Reach.person}

ROUTES = (
    Route("GET", "/v1/galleries", browse, GALLERIES_READ, {200: Listing[Gallery]}, query=Paging, within={}),
    Route("GET", "/v1/galleries/{id}", show, GALLERIES_READ, {200: Gallery}, within={"id": Reach.gallery}),
    Route("POST", "/v1/galleries", create, GALLERIES_WRITE, {201: Gallery}, body=NewGallery, audit="gallery.create"),
    Route(
        "PATCH",
        "/v1/galleries/{id}",
        change,
        GALLERIES_WRITE,
        {200: Gallery},
        body=ChangedGallery,
        audit="gallery.change",
    ),
    Route("DELETE", "/v1/galleries/{id}", delete, GALLERIES_WRITE, {204: None}, audit="gallery.delete"),
    Route(
        "PUT",
        "/v1/galleries/{id}/members/{identity}",
        join,
        PEOPLE_WRITE,
        {204: None},
        within=MEMBER,
        audit="gallery.join",
    ),
    Route(
        "DELETE",
        "/v1/galleries/{id}/members/{identity}",
        leave,
        PEOPLE_WRITE,
        {204: None},
        within=MEMBER,
        audit="gallery.leave",
    ),
    Route("GET", "/v1/galleries/{id}/changes", changes, EDGE, {200: wire(Page)}, query=Since),
    Route("GET", "/v1/galleries/{id}/snapshot", snapshot, EDGE, {200: Media((MSGPACK,))}),
)
