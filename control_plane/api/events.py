"""The event log: edges append in batches, everybody else reads by cursor."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import partial
from typing import Literal

import msgspec
from starlette.responses import Response

from control_plane.api.ingest import MOST_BYTES, received
from control_plane.api.logs import NDJSON, Format, exported, pages
from control_plane.api.pictures import PICTURE, picture
from control_plane.api.route import UNAUDITED, Call, Limit, Listing, Media, Moment, Position, Route, answer, listing
from control_plane.api.tables import CSV
from control_plane.api.wireform import wire, wire_answer, wire_bodies
from control_plane.auth import EDGE, EVENTS_READ
from control_plane.dispatch import DELIVER
from control_plane.store import events, webhooks
from control_plane.store.events import EventInFull, LoggedEvent, Wanted
from control_plane.store.reach import Reach
from faces.events import Event, EventKind, Status
from faces.wire import Verdicts

log = logging.getLogger(__name__)


class Filter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which events: `site`, `edge`, `identity` and `gallery` are ids; `since` and `until` bound the time of capture."""

    site: str | None = None
    edge: str | None = None
    camera: str | None = None
    identity: str | None = None
    gallery: str | None = None
    status: Status | None = None
    kind: EventKind | None = None
    since: Moment | None = None
    until: Moment | None = None

    def wanted(self, reach: Reach) -> Wanted:
        return Wanted(
            sites=reach.sites,
            site_id=self.site,
            edge_id=self.edge,
            camera=self.camera,
            identity_id=self.identity,
            gallery_id=self.gallery,
            status=self.status,
            kind=self.kind,
            since=self.since,
            until=self.until,
        )


class Log(Filter, frozen=True, kw_only=True):
    """Events behind position `after` and before `before`, oldest first.

    `order=newest` turns the order round; `next` is then the next page's `before`, else its `after`. A reader that has
    reached the end asks again after its last event's position.
    """

    after: Position = 0
    before: Position | None = None
    limit: Limit = 100
    order: Literal["oldest", "newest"] = "oldest"


class Export(Filter, frozen=True, kw_only=True):
    """A table for a spreadsheet, or one JSON object a line for a program."""

    format: Format = "csv"


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
            wanted=asked.wanted(call.reach),
        )
    )
    return listing(found, asked.limit, lambda e: str(e.position))


async def export(call: Call[None, Export]) -> Response:
    """All events that there are now, oldest first, as one file."""
    asked = call.query
    head = await call.plane.read(events.head)
    found = partial(events.listing, before=head + 1, wanted=asked.wanted(call.reach))
    return exported("events", asked.format, pages(call.plane, found), LoggedEvent.__struct_fields__, _cells)


def _cells(event: LoggedEvent) -> Iterator[object]:
    """A row: times as in JSON, and what is a list or an object in JSON likewise."""
    for name, value in zip(LoggedEvent.__struct_fields__, msgspec.structs.astuple(event), strict=True):
        if name in ("captured_at", "arrived_at"):
            yield msgspec.to_builtins(value)
        else:
            yield msgspec.json.encode(value).decode() if isinstance(value, tuple | dict | bool) else value


async def show(call: Call[None, None]) -> Response:
    """One event, with all that decided."""
    event_id = call.path()
    return answer(await call.plane.read(lambda c: events.in_full(c, event_id)))


async def thumbnail(call: Call[None, None]) -> Response:
    """The small picture of an event's face."""
    event_id = call.path()
    return picture(await call.plane.read(lambda c: events.thumbnail(c, event_id)))


async def ingest(call: Call[None, None]) -> Response:
    """Append events; a verdict for each."""
    plane, data, kind = call.plane, await call.request.body(), call.media_type
    coding = call.request.headers.get("content-encoding", "").strip().lower()
    batch = await plane.run(lambda: received(data, kind, coding))
    verdicts = [v for arrival in batch.arrivals(call.edge.id) for v in await plane.intake.add(arrival)]
    stored = [v.id for v in verdicts if v.outcome == "stored"]
    if stored:
        log.info("%d events stored", len(stored), extra={"event_ids": stored})
    if plane.sends_jobs:
        plane.nudge(DELIVER, *await plane.read(lambda c: webhooks.pending_of(c, stored)))
    return wire_answer(call, Verdicts(batch.merged(verdicts), plane.clock()))


ROUTES = (
    Route(
        "GET", "/v1/events", browse, EVENTS_READ, {200: Listing[LoggedEvent]}, query=Log, within={}, audit="event.list"
    ),
    Route(
        "POST",
        "/v1/events",
        ingest,
        EDGE,
        {200: wire(Verdicts)},
        reads=wire_bodies(Batch),
        limit=lambda _: MOST_BYTES,
        audit=UNAUDITED,
    ),
    Route(
        "GET",
        "/v1/events/export",
        export,
        EVENTS_READ,
        {200: Media((CSV, NDJSON))},
        query=Export,
        within={},
        audit="event.export",
    ),
    Route(
        "GET", "/v1/events/{id}", show, EVENTS_READ, {200: EventInFull}, within={"id": Reach.event}, audit="event.see"
    ),
    Route(
        "GET",
        "/v1/events/{id}/thumbnail",
        thumbnail,
        EVENTS_READ,
        {200: PICTURE},
        within={"id": Reach.event},
        audit="event.see_thumbnail",
    ),
)
