"""Imports: ZIP archives of photos, planned, run, watched, cancelled and taken back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Annotated

import msgspec
from starlette.responses import Response, StreamingResponse

from control_plane.api.failures import refusal
from control_plane.api.route import Call, Limit, Listing, Media, Paging, Route, answer, listing
from control_plane.api.tables import CSV, line
from control_plane.api.uploads import archive_limit, either, flag, form, keep, upload
from control_plane.auth import IMPORTS_READ, IMPORTS_WRITE
from control_plane.dispatch import READ_ARCHIVE
from control_plane.limits import Cost
from control_plane.plane import Plane
from control_plane.problems import PROBLEM_JSON, Problem, problem
from control_plane.store import galleries, import_items, imports
from control_plane.store.blobs import Steady
from control_plane.store.db import Connection
from control_plane.store.import_items import Item, ItemState
from control_plane.store.imports import Import, State
from faces.errors import Conflict, Invalid, Reason

ZIP = "application/zip"
CSV_PAGE = 500
REFUSAL_COLUMNS = ("entry", "name", "external_id", "reason", "message", "remedy", "like", "distance")

Seq = Annotated[int, msgspec.Meta(ge=0, le=(1 << 31) - 1)]


class NewImport(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`gallery` is an id; `force` enrols look-alikes all the same; `dry_run` only reports, and changes nothing."""

    gallery: str = galleries.DEFAULT_GALLERY
    force: bool = False
    dry_run: bool = False


class Items(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page of outcomes in the archive's order; `state` and `reason` pick some."""

    after: Annotated[int, msgspec.Meta(ge=-1, le=(1 << 31) - 1)] = -1
    limit: Limit = 100
    state: ItemState | None = None
    reason: Reason | None = None


class Accept(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which refused photos (`look_alike`, `not_same_person`) are to be enrolled after all: by `seq`, or all."""

    items: Annotated[list[Seq], msgspec.Meta(max_length=10_000)] = []
    all: bool = False


class FailedImport(Problem, frozen=True, kw_only=True):
    """An archive that could not be read: a problem with the whole import."""

    import_: Import = msgspec.field(name="import")


async def hand_in(plane: Plane, file: Steady, wait_s: float, asked: NewImport) -> Import:
    """Store an archive to be read by a worker, and say how it stands when it is done or after `wait_s`."""

    def submit(connection: Connection, blob: str, _digest: str, now: datetime) -> str:
        galleries.get(connection, asked.gallery)
        return imports.submit(
            connection, now, gallery_id=asked.gallery, blob=blob, force=asked.force, dry_run=asked.dry_run
        )

    import_id = await keep(plane, "archives", file, plane.config.max_archive_bytes, submit)
    plane.nudge(READ_ARCHIVE, import_id)
    return await _settled(plane, import_id, wait_s)


async def _settled(plane: Plane, import_id: str, wait_s: float) -> Import:
    """An import as soon as no worker has anything to do with it, or as it stands after `wait_s`."""

    async def settled() -> Import | None:
        found = await _shown(plane, import_id)
        return None if found.state in imports.ACTIVE else found

    if wait_s and (finished := await plane.feed.until(settled, wait_s)) is not None:
        return finished
    return await _shown(plane, import_id)


async def _shown(plane: Plane, import_id: str) -> Import:
    return await plane.read(lambda c: imports.get(c, import_id, plane.clock()))


def told(found: Import) -> Response:
    """An import as an answer: 201 when all its photos are decided, 202 before, 422 if it could not be read."""
    if found.state is State.FAILED:
        error = found.error or {}
        told = problem("refused", str(error.get("message", "")), str(error.get("remedy", "")))
        return refusal(told, {"reason": error.get("code"), "import": found})
    status = 202 if found.state in imports.ACTIVE else 201
    return answer(found, status, {"Location": f"/v1/imports/{found.id}"})


async def browse(call: Call[None, Paging]) -> Response:
    """Imports, oldest first."""
    asked, now = call.query, call.plane.clock()
    found = await call.plane.read(lambda c: imports.listing(c, after=asked.after, limit=asked.limit + 1, now=now))
    return listing(found, asked.limit, lambda i: i.id)


async def create(call: Call[None, NewImport]) -> Response:
    """Hand in a ZIP archive of photos (katya.jpg, or katya/1.jpg, enrols katya; a manifest.csv may say more)."""
    async with upload(call, "zip", raw=(ZIP,)) as sent:
        if sent.file is None:
            raise Invalid("zip is missing", remedy="Send a form with the archive in 'zip', or the archive itself.")
        asked = call.query
        for name in ("force", "dry_run"):
            if flag(sent.fields, name):
                asked = msgspec.structs.replace(asked, **{name: True})
        return told(await hand_in(call.plane, sent.file, call.wait_s, asked))


async def show(call: Call[None, None]) -> Response:
    """One import, with its outcomes so far."""
    import_id = call.path()
    if call.wait_s:
        return answer(await _settled(call.plane, import_id, call.wait_s))
    return answer(await _shown(call.plane, import_id))


async def items(call: Call[None, Items]) -> Response:
    """An import's photos in the archive's order, each with its outcome."""
    import_id, asked = call.path(), call.query

    def work(connection: Connection) -> list[Item]:
        imports.get(connection, import_id)
        return import_items.listing(
            connection, import_id, after=asked.after, limit=asked.limit + 1, state=asked.state, reason=asked.reason
        )

    return listing(await call.plane.read(work), asked.limit, lambda i: str(i.seq))


async def refusals(call: Call[None, None]) -> Response:
    """The refused photos as CSV, for a spreadsheet."""
    import_id = call.path()
    await call.plane.read(lambda c: imports.get(c, import_id))
    headers = {"Content-Disposition": f'attachment; filename="refusals-{import_id}.csv"'}
    return StreamingResponse(_csv(call.plane, import_id), 200, headers, CSV)


async def _csv(plane: Plane, import_id: str) -> AsyncIterator[str]:
    yield line(REFUSAL_COLUMNS)
    after = -1
    while found := await plane.read(_refused(import_id, after)):
        yield "".join(line(_cells(item)) for item in found)
        after = found[-1].seq


def _refused(import_id: str, after: int) -> Callable[[Connection], list[Item]]:
    return lambda connection: import_items.listing(
        connection, import_id, after=after, limit=CSV_PAGE, state=ItemState.REFUSED
    )


def _cells(item: Item) -> tuple[object, ...]:
    detail = item.detail or {}
    said = item.entry, item.name, item.external_id, item.reason, item.message, item.remedy
    return *said, detail.get("name"), detail.get("distance")


async def accept(call: Call[Accept, None]) -> Response:
    """Enrol photos after all that were refused as look-alikes, or as not the same person."""
    import_id, asked = call.path(), call.body

    def work(connection: Connection) -> None:
        state = imports.state_of(connection, import_id)
        possible = import_items.acceptable(connection, import_id)
        chosen = possible if asked.all else asked.items
        if missing := set(chosen) - set(possible):
            raise Conflict(f"items: {min(missing)} is no photo that can be accepted")
        if chosen:
            if state is not State.RUNNING:
                imports.reopen(connection, import_id)
            import_items.accept(connection, import_id, chosen)

    await call.plane.write(work)
    return told(await _settled(call.plane, import_id, call.wait_s))


async def cancel(call: Call[None, None]) -> Response:
    """Stop an import; what it has enrolled so far stays, until it is undone."""
    import_id = call.path()
    await call.plane.write(lambda c: imports.cancel(c, import_id))
    return told(await _settled(call.plane, import_id, call.wait_s))


async def undo(call: Call[None, None]) -> Response:
    """Take a finished import back: people and photos that only it brought go away."""
    import_id = call.path()
    await call.plane.write(lambda c: imports.undo(c, import_id))
    return told(await _settled(call.plane, import_id, call.wait_s))


OUTCOMES = {201: Import, 202: Import, 422: Media((PROBLEM_JSON,), FailedImport)}

ROUTES = (
    Route("GET", "/v1/imports", browse, IMPORTS_READ, {200: Listing[Import]}, query=Paging),
    Route(
        "POST",
        "/v1/imports",
        create,
        IMPORTS_WRITE,
        OUTCOMES,
        query=NewImport,
        reads=form("zip", force=either("true: enrol look-alikes all the same"), dry_run=either("true: change nothing"))
        | {ZIP: Media((ZIP,))},
        limit=archive_limit,
        audit="import.create",
        costs=Cost.UPLOAD,
    ),
    Route("GET", "/v1/imports/{id}", show, IMPORTS_READ, {200: Import}),
    Route("GET", "/v1/imports/{id}/items", items, IMPORTS_READ, {200: Listing[Item]}, query=Items),
    Route(
        "GET",
        "/v1/imports/{id}/refusals.csv",
        refusals,
        IMPORTS_READ,
        {200: Media((CSV,))},
        audit="import.export_refusals",
    ),
    Route("POST", "/v1/imports/{id}/accept", accept, IMPORTS_WRITE, OUTCOMES, body=Accept, audit="import.accept"),
    Route("POST", "/v1/imports/{id}/cancel", cancel, IMPORTS_WRITE, OUTCOMES, audit="import.cancel"),
    Route("POST", "/v1/imports/{id}/undo", undo, IMPORTS_WRITE, OUTCOMES, audit="import.undo"),
)
