"""A log as one file: a table for a spreadsheet, or one JSON object a line for a program."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from functools import partial
from typing import Literal, Protocol, TypeVar

import msgspec
from starlette.responses import Response, StreamingResponse

from control_plane.api.tables import BOM, CSV, line
from control_plane.plane import Plane
from control_plane.store.db import Connection

NDJSON = "application/x-ndjson"
PAGE = 500

Format = Literal["csv", "ndjson"]


class Placed(Protocol):
    """A row of a log."""

    @property
    def position(self) -> int: ...


P = TypeVar("P", bound=Placed)
Page = Callable[..., list[P]]
"""A store's listing: `(connection, *, after, limit)` to the rows behind a position."""


async def pages(plane: Plane, listing: Page[P]) -> AsyncIterator[list[P]]:
    """A log page by page, oldest first, each in a transaction of its own."""
    after = 0
    while found := await plane.read(partial(_page, listing, after)):
        yield found
        after = found[-1].position


def exported(
    name: str,
    kind: Format,
    rows: AsyncIterator[list[P]],
    columns: Sequence[str],
    cells: Callable[[P], Iterable[object]],
) -> Response:
    """The rows as a file called `name`; `cells` are a row's in a table of these `columns`."""
    headers = {"Content-Disposition": f'attachment; filename="{name}.{kind}"'}
    if kind == "csv":
        return StreamingResponse(_csv(rows, columns, cells), 200, headers, CSV)
    return StreamingResponse(_ndjson(rows), 200, headers, NDJSON)


def _page(listing: Page[P], after: int, connection: Connection) -> list[P]:
    return listing(connection, after=after, limit=PAGE)


async def _csv(
    rows: AsyncIterator[list[P]], columns: Sequence[str], cells: Callable[[P], Iterable[object]]
) -> AsyncIterator[str]:
    yield BOM + line(columns)
    async for found in rows:
        yield "".join(line(cells(row)) for row in found)


async def _ndjson(rows: AsyncIterator[list[P]]) -> AsyncIterator[bytes]:
    async for found in rows:
        yield msgspec.json.Encoder().encode_lines(found)
