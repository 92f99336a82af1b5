"""The audit log: who did what, and who looked at what."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Annotated, Literal

import msgspec
from starlette.responses import Response

from control_plane.api.logs import NDJSON, Format, exported, pages
from control_plane.api.route import Call, Limit, Listing, Media, Moment, Position, Route, listing
from control_plane.api.tables import CSV
from control_plane.auth import AUDIT_READ
from control_plane.store import audit
from control_plane.store.audit import Wanted
from control_plane.store.chain import Row

Word = Annotated[str, msgspec.Meta(max_length=64)]


class Filter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which rows: `concerning` is an id of what was acted on or looked at; `site` is an id."""

    actor: Word | None = None
    action: Word | None = None
    resource: Word | None = None
    concerning: Word | None = None
    site: Word | None = None
    since: Moment | None = None
    until: Moment | None = None

    def wanted(self) -> Wanted:
        return Wanted(
            actor=self.actor,
            action=self.action,
            resource=self.resource,
            concerning=self.concerning,
            site_id=self.site,
            since=self.since,
            until=self.until,
        )


class Log(Filter, frozen=True, kw_only=True):
    """Rows behind position `after` and before `before`, oldest first; `order=newest` turns the order round, and `next`
    is then the next page's `before`, else its `after`."""

    after: Position = 0
    before: Position | None = None
    limit: Limit = 100
    order: Literal["oldest", "newest"] = "oldest"


class Export(Filter, frozen=True, kw_only=True):
    """A table for a spreadsheet, or one JSON object a line for a program."""

    format: Format = "csv"


async def browse(call: Call[None, Log]) -> Response:
    """The audit log, by cursor."""
    asked = call.query
    found = await call.plane.read(
        lambda c: audit.listing(
            c,
            after=asked.after,
            before=asked.before,
            newest_first=asked.order == "newest",
            limit=asked.limit + 1,
            wanted=asked.wanted(),
        )
    )
    return listing(found, asked.limit, lambda row: str(row.position))


async def export(call: Call[None, Export]) -> Response:
    """All rows that there are now, oldest first, as one file."""
    asked = call.query
    head = await call.plane.read(audit.head)
    found = partial(audit.listing, before=head.position + 1, wanted=asked.wanted())
    return exported("audit", asked.format, pages(call.plane, found), Row.__struct_fields__, _cells)


def _cells(row: Row) -> Iterable[object]:
    cells: dict[str, object] = msgspec.to_builtins(row)
    return cells.values()


ROUTES = (
    Route("GET", "/v1/audit", browse, AUDIT_READ, {200: Listing[Row]}, query=Log, audit="audit.list"),
    Route(
        "GET",
        "/v1/audit/export",
        export,
        AUDIT_READ,
        {200: Media((CSV, NDJSON))},
        query=Export,
        audit="audit.export",
    ),
)
