"""Edges: they introduce themselves, are shown with their cameras and how far their galleries lag, and removed."""

from __future__ import annotations

from typing import Annotated

import msgspec
from starlette.responses import Response

from control_plane.api import texts
from control_plane.api.route import UNAUDITED, Call, Listing, Paging, Route, answer, listing
from control_plane.api.wireform import wire, wire_answer, wire_bodies, wire_body
from control_plane.auth import EDGE, SITES_READ, SITES_WRITE, Caller, EdgeCaller, check_edge
from control_plane.plane import Plane
from control_plane.store import alarms, erasures, galleries, joins, keys, sites, thresholds
from control_plane.store.alarms import AlarmKind
from control_plane.store.db import Connection
from control_plane.store.reach import Reach
from control_plane.store.sites import Direction, Edge
from faces.errors import Invalid, NotFound
from faces.wire import Followed, Hello, Report, Welcome

MOST_CAMERAS = 256
LONGEST_WORD = 64
LONGEST_ERROR = 500
MOST_ASKED = 10_000

Asked = Annotated[list[str], msgspec.Meta(max_length=MOST_ASKED)]
Word = Annotated[str, msgspec.Meta(max_length=LONGEST_WORD)]


class Fleet(Paging, frozen=True, kw_only=True):
    """`site` is an id."""

    site: str | None = None


class Introduction(Hello, frozen=True, kw_only=True):
    """What an edge says of itself."""

    name: texts.Name
    site: Word | None = None
    version: Word
    engine: Word
    cameras: Annotated[list[texts.Name], msgspec.Meta(max_length=MOST_CAMERAS, extra_json_schema={"uniqueItems": True})]


class ChangedEdge(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`cameras` tells by name which way people go before a camera; null: either way."""

    cameras: dict[str, Direction | None]


async def browse(call: Call[None, Fleet]) -> Response:
    """Edges, their cameras, and how far their galleries lag."""
    asked = call.query
    after, limit, now = asked.after, asked.limit + 1, call.plane.clock()
    found = await call.plane.read(
        lambda c: sites.edge_listing(c, now, after=after, limit=limit, site_id=asked.site, within=call.reach.sites)
    )
    return listing(found, asked.limit, lambda e: e.id)


async def show(call: Call[None, None]) -> Response:
    """One edge."""
    edge_id = call.path()
    return answer(await call.plane.read(lambda c: sites.edge(c, edge_id, call.plane.clock())))


async def change(call: Call[ChangedEdge, None]) -> Response:
    """Say which way people go before an edge's cameras."""
    edge_id, directions = call.path(), call.body.cameras

    def work(connection: Connection) -> Edge:
        sites.direct(connection, edge_id, directions)
        return sites.edge(connection, edge_id, call.plane.clock())

    return answer(await call.plane.write(work))


async def remove(call: Call[None, None]) -> Response:
    """Remove an edge for good: it is listed no more, no erasure waits for it, and its credentials end within a second,
    also where they are in use. What still runs goes on by what it holds until its lease ends, and has to be wiped."""
    edge_id = call.path()
    await call.plane.write(lambda c: joins.remove(c, edge_id, call.plane.clock()))
    return Response(status_code=204)


async def introduce(call: Call[None, None]) -> Response:
    """An edge introduces itself."""
    edge = call.edge
    if call.path() != edge.id:
        raise Invalid("the edge in the path is not the one that calls")
    hello = _checked(await wire_body(call, Introduction))

    def work(connection: Connection) -> Welcome:
        now = call.plane.clock()
        site_id = hold(connection, call.caller, edge.id)
        welcome = sites.welcome(connection, edge.id, hello, edge.wire, now, site_id=site_id)
        thresholds.check(connection, edge.id, now)
        held = call.caller.key
        return msgspec.structs.replace(welcome, renew=held is not None and joins.due(connection, held.id, now))

    welcome = await call.plane.gatherer.write(work)
    return wire_answer(call, msgspec.structs.replace(welcome, now=call.plane.clock()))


def hold(connection: Connection, caller: Caller, edge_id: str) -> str | None:
    """Hold an edge that introduces itself to its key: to one edge and one site, whose id is returned. Raises Conflict,
    and Forbidden if it stands elsewhere already."""
    if caller.key is None:
        return None
    check_edge(caller, edge_id, sites.places(connection))
    keys.belong(connection, caller.key.id, edge_id)
    return min(caller.key.sites or (), default="")


async def followed(call: Call[None, None]) -> Response:
    """What the calling edge follows, and where it stands."""
    return wire_answer(call, await call.plane.read(lambda c: galleries.followed(c, sites.site_of(c, call.edge.id))))


async def report(call: Call[None, None]) -> Response:
    """The calling edge's report on its copy of a gallery; that it has none, also of one not followed."""
    gallery_id, told = call.path(), await wire_body(call, Report)

    def work(connection: Connection) -> None:
        now = call.plane.clock()
        if not told.nothing:
            check_follows(connection, call.edge, gallery_id)
        sites.heard_of(connection, [call.edge.id], now)
        sites.report(connection, call.edge.id, gallery_id, told, now)
        if told.error is not None:
            ahead = told.position.revision > galleries.position(connection, gallery_id).revision
            kind = AlarmKind.EDGE_AHEAD if ahead else AlarmKind.EDGE_DIVERGED
            sound(connection, kind, call.edge, gallery_id, told.error[:LONGEST_ERROR], call.plane)

    await call.plane.gatherer.write(work)
    return Response(status_code=204)


async def erased(call: Call[None, None]) -> Response:
    """Those of the given people who were erased: an edge keeps nothing of them in what it has still to deliver."""
    asked = await wire_body(call, Asked)
    return wire_answer(call, sorted(await call.plane.read(lambda c: erasures.among(c, asked))))


def sound(
    connection: Connection, kind: AlarmKind, edge: EdgeCaller, gallery_id: str, message: str, plane: Plane
) -> None:
    """Raise an alarm on an edge's copy of a gallery."""
    site_id = sites.site_of(connection, edge.id)
    where = {"site_id": site_id, "edge_id": edge.id, "gallery_id": gallery_id}
    alarms.sound(connection, kind, f"{edge.id} {gallery_id}", message, plane.clock(), **where)


def check_follows(connection: Connection, edge: EdgeCaller, gallery_id: str) -> None:
    """Raises NotFound unless the edge's site follows the gallery."""
    if not sites.follows(connection, edge.id, gallery_id):
        raise NotFound(f"the edge's site follows no gallery {gallery_id!r}")


def _checked(hello: Hello) -> Hello:
    """An introduction that can be kept; raises Invalid."""
    texts.name(hello.name)
    if len(set(hello.cameras)) != len(hello.cameras):
        raise Invalid("cameras: each name once")
    for camera in hello.cameras:
        texts.name(camera, "cameras")
    return hello


ROUTES = (
    Route("GET", "/v1/edges", browse, SITES_READ, {200: Listing[Edge]}, query=Fleet, within={}),
    Route("GET", "/v1/edges/{id}", show, SITES_READ, {200: Edge}, within={"id": Reach.edge}),
    Route(
        "PATCH",
        "/v1/edges/{id}",
        change,
        SITES_WRITE,
        {200: Edge},
        body=ChangedEdge,
        within={"id": Reach.edge},
        audit="edge.change",
    ),
    Route(
        "DELETE",
        "/v1/edges/{id}",
        remove,
        SITES_WRITE,
        {204: None},
        within={"id": Reach.edge},
        audit="edge.remove",
    ),
    Route(
        "PUT", "/v1/edges/{id}", introduce, EDGE, {200: wire(Welcome)}, reads=wire_bodies(Introduction), audit=UNAUDITED
    ),
    Route("GET", "/v1/edge/galleries", followed, EDGE, {200: wire(list[Followed])}),
    Route("PUT", "/v1/edge/galleries/{id}", report, EDGE, {204: None}, reads=wire_bodies(Report), audit=UNAUDITED),
    Route("POST", "/v1/edge/erased", erased, EDGE, {200: wire(list[str])}, reads=wire_bodies(Asked), audit=UNAUDITED),
)
