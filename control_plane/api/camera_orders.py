"""Camera orders: cameras of an edge are added, changed, removed and looked at from the control plane."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from starlette.responses import Response

from control_plane.api import texts
from control_plane.api.pictures import PICTURE
from control_plane.api.pictures import picture as picture_answer
from control_plane.api.route import UNAUDITED, Call, Route, answer
from control_plane.api.wireform import wire, wire_answer, wire_bodies, wire_body
from control_plane.auth import EDGE, SITES_WRITE
from control_plane.plane import Plane
from control_plane.store import camera_orders
from control_plane.store.camera_orders import OrderState, ToldOrder
from control_plane.store.db import Connection
from control_plane.store.reach import Reach
from faces.errors import Invalid
from faces.wire import CameraOrder, OrderAction, OrderOutcome

LONGEST_SOURCE = 2000
LONGEST_WORDS = 500
LARGEST_PICTURE = 4 << 20


class NewOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`put`: the edge is to watch this camera, or to watch it so from now on; `remove`: no more; `look`: it is to show
    a picture of it, from `source` or, without one, from the camera as it is watched. What is not given is as the edge
    has it."""

    action: OrderAction
    camera: texts.Name
    source: Annotated[str, msgspec.Meta(max_length=LONGEST_SOURCE)] | None = None
    max_fps: Annotated[float, msgspec.Meta(ge=1, le=1000)] | None = None
    scale: Annotated[float, msgspec.Meta(ge=0.05, le=1)] | None = None
    cooldown: Annotated[float, msgspec.Meta(ge=0, le=86_400)] | None = None
    th_accept: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    threshold: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None

    def order(self) -> CameraOrder:
        """As the edge is told it; raises Invalid."""
        camera = texts.name(self.camera, "camera")
        if self.action is OrderAction.PUT and not self.source:
            raise Invalid("source is missing", remedy="Give the camera's rtsp:// or http:// URL, or its number.")
        given = {name: getattr(self, name) for name in self.__struct_fields__ if name not in ("action", "camera")}
        settings = {name: str(value) for name, value in given.items() if value is not None}
        return CameraOrder(action=self.action, camera=camera, settings=settings)


async def create(call: Call[NewOrder, None]) -> Response:
    """Have an edge watch a camera, watch it no more, or show a picture of it (with `Prefer: wait=10`: and wait for how
    it went). A camera's source goes to that edge alone: it is not kept here."""
    edge_id, order = call.path(), call.body.order()
    made = await call.plane.write(lambda c: camera_orders.create(c, edge_id, order, call.plane.clock()))
    return _told(await _outcome(call.plane, edge_id, made, call.wait_s))


async def show(call: Call[None, None]) -> Response:
    """How an order went."""
    return answer(await _outcome(call.plane, call.path(), call.path("order"), call.wait_s))


async def picture(call: Call[None, None]) -> Response:
    """The picture that a look has brought."""
    edge_id, order_id = call.path(), call.path("order")
    return picture_answer(await call.plane.read(lambda c: camera_orders.picture(c, edge_id, order_id)))


async def waiting(call: Call[None, None]) -> Response:
    """What the calling edge is to do."""
    now = call.plane.clock()
    return wire_answer(call, await call.plane.read(lambda c: camera_orders.waiting(c, call.edge.id, now)))


async def finish(call: Call[None, None]) -> Response:
    """The calling edge says how an order went."""
    order_id, outcome = call.path(), _checked(await wire_body(call, OrderOutcome))
    now: datetime = call.plane.clock()
    await call.plane.write(lambda c: camera_orders.finish(c, call.edge.id, order_id, outcome, now))
    return Response(status_code=204)


async def _outcome(plane: Plane, edge_id: str, order_id: str, wait_s: float) -> ToldOrder:
    def look(connection: Connection) -> ToldOrder:
        return camera_orders.get(connection, edge_id, order_id)

    async def finished() -> ToldOrder | None:
        found = await plane.read(look)
        return None if found.state is OrderState.PENDING else found

    if wait_s and (found := await plane.feed.until(finished, wait_s)) is not None:
        return found
    return await plane.read(look)


def _told(found: ToldOrder) -> Response:
    status = 202 if found.state is OrderState.PENDING else 201
    return answer(found, status, {"Location": f"/v1/edges/{found.edge_id}/orders/{found.id}"})


def _checked(outcome: OrderOutcome) -> OrderOutcome:
    """An outcome that can be kept; raises Invalid."""
    if len(outcome.picture or b"") > LARGEST_PICTURE:
        raise Invalid(f"the picture is larger than {LARGEST_PICTURE} bytes")
    for words in (outcome.message, outcome.remedy):
        if len(words) > LONGEST_WORDS:
            raise Invalid("what is said of the outcome is too long")
    return outcome


EDGES_OWN = {"id": Reach.edge}

ROUTES = (
    Route(
        "POST",
        "/v1/edges/{id}/orders",
        create,
        SITES_WRITE,
        {201: ToldOrder, 202: ToldOrder},
        body=NewOrder,
        within=EDGES_OWN,
        audit="edge.order",
    ),
    Route("GET", "/v1/edges/{id}/orders/{order}", show, SITES_WRITE, {200: ToldOrder}, within=EDGES_OWN),
    Route(
        "GET",
        "/v1/edges/{id}/orders/{order}/picture",
        picture,
        SITES_WRITE,
        {200: PICTURE},
        within=EDGES_OWN,
        audit="edge.see_picture",
    ),
    Route("GET", "/v1/edge/orders", waiting, EDGE, {200: wire(list[CameraOrder])}),
    Route(
        "POST",
        "/v1/edge/orders/{id}",
        finish,
        EDGE,
        {204: None},
        reads=wire_bodies(OrderOutcome),
        limit=lambda _: LARGEST_PICTURE + (64 << 10),
        audit=UNAUDITED,
    ),
)
