"""Attendance: first in, last out and how long, a person and day."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from typing import Literal

import msgspec
from starlette.responses import Response

from control_plane.api.route import JSON, Call, Media, Route, answer
from control_plane.api.tables import BOM, CSV, line
from control_plane.auth import EVENTS_READ
from control_plane.store import attendance
from control_plane.store.attendance import Attendance
from control_plane.store.db import Connection
from control_plane.store.sites import DEFAULT_SITE
from faces.errors import Invalid

FIRST_YEAR, LAST_YEAR = 1970, 9998
COLUMNS = ("day", "site", "identity_id", "external_id", "name", "first_in", "last_out", "duration", "passes")


class Day(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`day` as 2026-03-29, in the time zone of the site; `site` is an id."""

    day: date
    site: str = DEFAULT_SITE
    format: Literal["json", "csv"] = "json"


async def show(call: Call[None, Day]) -> Response:
    """Who was at a site on a day: everybody who passed, with the first time in and the last time out.

    A camera that is marked `in` or `out` counts that way alone, one that is not marked both ways.
    """
    asked = call.query
    if not FIRST_YEAR <= asked.day.year <= LAST_YEAR:
        raise Invalid(f"day is not of a year from {FIRST_YEAR} to {LAST_YEAR}")

    def work(connection: Connection) -> Attendance:
        call.reach.site(connection, asked.site)
        return attendance.of_day(connection, asked.site, asked.day)

    found = await call.plane.read(work)
    if asked.format == "json":
        return answer(found)
    headers = {"Content-Disposition": f'attachment; filename="attendance-{asked.day}.csv"'}
    return Response(BOM + "".join(_lines(found)), 200, headers, CSV)


def _lines(found: Attendance) -> Iterator[str]:
    """Times by the clock at the site, as spreadsheets read them."""
    yield line(COLUMNS)
    for p in found.people:
        who = str(found.day), found.site, p.identity_id, p.external_id, p.name
        yield line((*who, _local(p.first_in), _local(p.last_out), _hours(p.duration_s), p.passes))


def _local(moment: datetime | None) -> str | None:
    return None if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}"


def _hours(duration_s: int | None) -> str | None:
    if duration_s is None:
        return None
    return f"{duration_s // 3600}:{duration_s // 60 % 60:02}:{duration_s % 60:02}"


ROUTES = (
    Route(
        "GET",
        "/v1/attendance",
        show,
        EVENTS_READ,
        {200: Media((JSON, CSV), Attendance)},
        query=Day,
        within={},
        audit="attendance.see",
    ),
)
