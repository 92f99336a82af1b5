"""Imports: ZIP archives of photos, each entry an enrollment of its own."""

from __future__ import annotations

from datetime import datetime
from typing import IO

import msgspec
from starlette.responses import Response

from control_plane.api.failures import refusal
from control_plane.api.route import Call, Listing, Media, Paging, Route, answer, listing
from control_plane.api.uploads import archive_limit, flag, form, keep, upload
from control_plane.auth import OPERATOR
from control_plane.dispatch import READ_ARCHIVE
from control_plane.plane import Plane
from control_plane.problems import PROBLEM_JSON, Problem, problem
from control_plane.store import enrollments, galleries, imports
from control_plane.store.db import Connection
from control_plane.store.enrollments import Enrollment
from control_plane.store.imports import Import, State
from faces.errors import Invalid

ZIP = "application/zip"


class NewImport(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`gallery` is an id; `force` enrols look-alikes all the same."""

    gallery: str = galleries.DEFAULT_GALLERY
    force: bool = False


class Items(Paging, frozen=True, kw_only=True):
    """`state` picks the outcomes."""

    state: enrollments.State | None = None


class FailedImport(Problem, frozen=True, kw_only=True):
    """An archive that could not be read: a problem with the whole import."""

    import_: Import = msgspec.field(name="import")


async def hand_in(plane: Plane, file: IO[bytes], wait_s: float, gallery_id: str, force: bool) -> Import:
    """Store an archive to be read by a worker, and say how it stands when it is done or after `wait_s`."""

    def submit(connection: Connection, blob: str, _digest: str, now: datetime) -> str:
        galleries.get(connection, gallery_id)
        return imports.submit(connection, now, gallery_id=gallery_id, blob=blob, force=force)

    import_id = await keep(plane, "archives", file, plane.config.max_archive_bytes, submit)
    plane.nudge(READ_ARCHIVE, import_id)

    async def done() -> Import | None:
        found = await plane.read(lambda c: imports.get(c, import_id))
        return found if found.state in (State.DONE, State.FAILED) else None

    if (finished := await plane.feed.until(done, wait_s)) is not None:
        return finished
    return await plane.read(lambda c: imports.get(c, import_id))


def told(found: Import) -> Response:
    """An import as an answer: 201 when all its photos are decided, 202 before, 422 if it could not be read."""
    if found.state is State.FAILED:
        error = found.error or {}
        return refusal(
            problem("refused", str(error.get("message", ""))), {"reason": error.get("code"), "import": found}
        )
    status = 201 if found.state is State.DONE else 202
    return answer(found, status, {"Location": f"/v1/imports/{found.id}"})


async def browse(call: Call[None, Paging]) -> Response:
    """Imports, oldest first."""
    asked = call.query
    found = await call.plane.read(lambda c: imports.listing(c, after=asked.after, limit=asked.limit + 1))
    return listing(found, asked.limit, lambda i: i.id)


async def create(call: Call[None, NewImport]) -> Response:
    """Hand in a ZIP archive of photos (katya.jpg enrols katya)."""
    asked = call.query
    async with upload(call, "zip", raw=(ZIP,)) as sent:
        if sent.file is None:
            raise Invalid("zip is missing", remedy="Send a form with the archive in 'zip', or the archive itself.")
        force = asked.force or flag(sent.fields, "force")
        return told(await hand_in(call.plane, sent.file, call.wait_s, asked.gallery, force))


async def show(call: Call[None, None]) -> Response:
    """One import, with its outcomes so far."""
    import_id = call.path()
    return answer(await call.plane.read(lambda c: imports.get(c, import_id)))


async def items(call: Call[None, Items]) -> Response:
    """An import's photos, one enrollment each."""
    import_id, asked = call.path(), call.query

    def work(connection: Connection) -> list[Enrollment]:
        imports.get(connection, import_id)
        return enrollments.listing(
            connection, import_id=import_id, state=asked.state, after=asked.after, limit=asked.limit + 1
        )

    return listing(await call.plane.read(work), asked.limit, lambda e: e.id)


ROUTES = (
    Route("GET", "/v1/imports", browse, OPERATOR, {200: Listing[Import]}, query=Paging),
    Route(
        "POST",
        "/v1/imports",
        create,
        OPERATOR,
        {201: Import, 202: Import, 422: Media((PROBLEM_JSON,), FailedImport)},
        query=NewImport,
        reads=form("zip", force="true: enrol look-alikes all the same") | {ZIP: Media((ZIP,))},
        limit=archive_limit,
    ),
    Route("GET", "/v1/imports/{id}", show, OPERATOR, {200: Import}),
    Route("GET", "/v1/imports/{id}/items", items, OPERATOR, {200: Listing[Enrollment]}, query=Items),
)
