"""Alarms: what an operator must know of, and who has seen it."""

from __future__ import annotations

from enum import StrEnum

import msgspec
from starlette.responses import Response

from control_plane.api import texts
from control_plane.api.route import Call, Listing, Paging, Route, answer, listing
from control_plane.auth import EVENTS_READ, EVENTS_WRITE
from control_plane.store import alarms
from control_plane.store.alarms import Alarm
from control_plane.store.reach import Reach


class State(StrEnum):
    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"


class Which(Paging, frozen=True, kw_only=True):
    """`state`: the open or the acknowledged ones alone."""

    state: State | None = None


class Acknowledgement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who has seen it."""

    by: texts.Name


async def browse(call: Call[None, Which]) -> Response:
    """Alarms, in the order in which they were raised."""
    asked = call.query
    still_open = None if asked.state is None else asked.state is State.OPEN
    found = await call.plane.read(
        lambda c: alarms.listing(
            c, after=asked.after, limit=asked.limit + 1, still_open=still_open, within=call.reach.sites
        )
    )
    return listing(found, asked.limit, lambda a: a.id)


async def acknowledge(call: Call[Acknowledgement, None]) -> Response:
    """Say that an alarm was seen; the first to say so is kept."""
    alarm_id, by = call.path(), texts.name(call.body.by, "by")
    return answer(await call.plane.write(lambda c: alarms.acknowledge(c, alarm_id, by, call.plane.clock())))


ROUTES = (
    Route("GET", "/v1/alarms", browse, EVENTS_READ, {200: Listing[Alarm]}, query=Which, within={}),
    Route(
        "POST",
        "/v1/alarms/{id}/acknowledge",
        acknowledge,
        EVENTS_WRITE,
        {200: Alarm},
        body=Acknowledgement,
        within={"id": Reach.alarm},
        audit="alarm.acknowledge",
    ),
)
