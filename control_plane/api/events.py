"""The event log: edges append in batches, everybody else reads by cursor."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from starlette.responses import Response

from control_plane.api.identities import Moment
from control_plane.api.ingest import Received, received
from control_plane.api.pictures import picture
from control_plane.api.route import Call, Limit, Listing, Media, Position, Route, answer, listing
from control_plane.api.wireform import wire, wire_answer, wire_bodies
from control_plane.auth import EDGE, OPERATOR
from control_plane.dispatch import DELIVER
from control_plane.store import events, sites, webhooks
from control_plane.store.db import Connection
from control_plane.store.events import LoggedEvent
from faces.events import Event, Status
from faces.wire import Verdict, Verdicts

MAX_BATCH_BYTES = 32 << 20


class Log(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Events behind position `after` and before `before`, oldest first.

    `order=newest` turns the order round; `next` is then the next page's `before`, else its `after`. `since` and
    `until` bound the time of capture. A reader that has reached the end asks again after its last event's position.
    """

    after: Position = 0
    before: Position | None = None
    limit: Limit = 100
    order: Literal["oldest", "newest"] = "oldest"
    site: str | None = None
    camera: str | None = None
    identity: str | None = None
    status: Status | None = None
    since: Moment | None = None
    until: Moment | None = None


class Batch(msgspec.Struct, frozen=True):
    """Events in order, oldest first; one that cannot be read is refused alone. `clock_offset_s` is how far the edge's
    clock is ahead."""

    events: list[Event]
    clock_offset_s: float | None = None


async def browse(call: Call[None, Log]) -> Response:
    """The event log, by cursor."""
    asked = call.query
    found = await call.plane.read(
        lambda c: events.listing(
            c,
            after=asked.after,
            before=asked.before,
            newest_first=asked.order == "newest",
            limit=asked.limit + 1,
            site_id=asked.site,
            camera=asked.camera,
            identity_id=asked.identity,
            status=asked.status,
            since=asked.since,
            until=asked.until,
        )
    )
    return listing(found, asked.limit, lambda e: str(e.position))


async def show(call: Call[None, None]) -> Response:
    """One event."""
    event_id = call.path()
    return answer(await call.plane.read(lambda c: events.get(c, event_id)))


async def thumbnail(call: Call[None, None]) -> Response:
    """The small picture of an event's face."""
    event_id = call.path()
    return picture(await call.plane.read(lambda c: events.thumbnail(c, event_id)))


async def ingest(call: Call[None, None]) -> Response:
    """Append events; a verdict for each."""
    data, media_type = await call.request.body(), call.media_type
    batch = await call.plane.run(lambda: received(data, media_type))
    verdicts, due = await call.plane.write(lambda c: _append(c, batch, call))
    call.plane.nudge(DELIVER, *due)
    return wire_answer(call, Verdicts(verdicts, call.plane.clock()))


def _append(connection: Connection, batch: Received, call: Call[Any, Any]) -> tuple[list[Verdict], list[str]]:
    """Store what could be read; returns a verdict for each event, in order, and the deliveries to be made."""
    now = call.plane.clock()
    site_id = sites.site_of(connection, call.edge.id)
    sites.heard_of(connection, call.edge.id, now)
    verdicts = events.append(connection, batch.events, site_id=site_id, edge_id=call.edge.id, now=now)
    stored = [v.id for v in verdicts if v.outcome == "stored"]
    due = webhooks.pending_of(connection, stored) if call.plane.sends_jobs else []
    return batch.merged(verdicts), due


ROUTES = (
    Route("GET", "/v1/events", browse, OPERATOR, {200: Listing[LoggedEvent]}, query=Log),
    Route(
        "POST",
        "/v1/events",
        ingest,
        EDGE,
        {200: wire(Verdicts)},
        reads=wire_bodies(Batch),
        limit=lambda _: MAX_BATCH_BYTES,
    ),
    Route("GET", "/v1/events/{id}", show, OPERATOR, {200: LoggedEvent}),
    Route("GET", "/v1/events/{id}/thumbnail", thumbnail, OPERATOR, {200: Media(("image/jpeg",))}),
)
