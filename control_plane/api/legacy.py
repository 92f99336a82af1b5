"""The original service's endpoints, on the default gallery: the same forms, the same answers."""

from __future__ import annotations

import msgspec
from starlette.responses import Response

from control_plane.api import enrollments as enrolling
from control_plane.api import imports as importing
from control_plane.api import texts
from control_plane.api.failures import original_members, refusal
from control_plane.api.identities import erased
from control_plane.api.route import LONGEST_WAIT_S, Call, Media, Route, answer
from control_plane.api.uploads import FORMS, archive_limit, either, flag, form, photo_limit, upload
from control_plane.auth import IMPORTS_WRITE, PEOPLE_READ, PEOPLE_WRITE
from control_plane.limits import Cost
from control_plane.problems import PROBLEM_JSON, Problem, problem
from control_plane.store import identities, import_items, imports
from control_plane.store.db import Connection
from control_plane.store.enrollments import Enrollment, State
from control_plane.store.galleries import DEFAULT_GALLERY
from control_plane.store.reach import Reach
from faces.errors import Invalid, NotFound


class Done(msgspec.Struct, frozen=True):
    success: bool
    message: str


class Waiting(msgspec.Struct, frozen=True, omit_defaults=True):
    """Not yet decided: which enrollment or import to ask for."""

    success: bool
    message: str
    enrollment: str | None = None
    import_: str | None = msgspec.field(default=None, name="import")


class Result(msgspec.Struct, frozen=True):
    """How many photos were enrolled, and the names of the files that were not."""

    registered: int
    failed: list[str]


class Registered(msgspec.Struct, frozen=True):
    success: bool
    result: Result


class Refusal(Problem, frozen=True, kw_only=True):
    """A problem, with what clients of the original look at."""

    success: bool
    message: str
    error: str
    reason: str


async def register(call: Call[None, None]) -> Response:
    """Enrol a photo under a name, and wait for the outcome."""
    async with upload(call, "image") as sent:
        given = sent.fields.get("name", "")
        if not given or sent.file is None:
            raise Invalid("name & image required")
        name, force = texts.name(given), flag(sent.fields, "force")
        await call.plane.read(lambda c: _called(c, call.reach, name))
        enrollment = await enrolling.put_forward(
            call.plane, sent.file, LONGEST_WAIT_S, gallery_id=DEFAULT_GALLERY, name=name, force=force
        )
    return _registered(enrollment, name)


def _registered(enrollment: Enrollment, name: str) -> Response:
    if enrollment.state is State.ACCEPTED:
        return answer(Done(True, f"Face {name} registered successfully"))
    if enrollment.state is State.PENDING:
        return answer(Waiting(False, f"Face {name} is still being looked at", enrollment=enrollment.id), 202)
    message = enrollment.message or ""
    told = problem("refused", message, enrollment.remedy or "")
    return refusal(told, original_members(message) | {"reason": enrollment.reason, "enrollment": enrollment})


async def unregister(call: Call[None, None]) -> Response:
    """Erase the person of a name."""
    async with upload(call, "image") as sent:
        given = sent.fields.get("name", "")
    if not given:
        raise Invalid("name required")
    name = texts.name(given)
    identity_id = await call.plane.read(lambda c: _called(c, call.reach, name))
    if identity_id is None:
        raise NotFound(f"there is no face called {name!r}")
    call.about(resource_id=identity_id)
    await erased(call.plane, identity_id)
    return answer(Done(True, f"Face {name} removed"))


def _called(connection: Connection, reach: Reach, name: str) -> str | None:
    """The id of the person of this name, if there is one and they may be changed."""
    reach.gallery(connection, DEFAULT_GALLERY)
    found = identities.by_name(connection, name, DEFAULT_GALLERY)
    if found is not None:
        reach.whole(connection, found)
    return found


async def faces(call: Call[None, None]) -> Response:
    """The names of all who can be recognised."""

    def work(connection: Connection) -> list[str]:
        call.reach.gallery(connection, DEFAULT_GALLERY)
        return identities.names(connection, DEFAULT_GALLERY)

    return answer(await call.plane.read(work))


async def register_faces(call: Call[None, None]) -> Response:
    """Enrol a ZIP archive of photos, and wait for the outcomes."""
    async with upload(call, "zip") as sent:
        if sent.file is None:
            raise Invalid("zip missing")
        asked = importing.NewImport(force=flag(sent.fields, "force"))
        found = await importing.hand_in(call.plane, sent.file, LONGEST_WAIT_S, asked)
    if found.state is imports.State.FAILED:
        error = found.error or {}
        message = str(error.get("message", ""))
        return refusal(problem("refused", message), original_members(message) | {"reason": error.get("code")})
    if found.state is not imports.State.DONE:
        return answer(Waiting(False, "The photos are still being looked at", import_=found.id), 202)
    failed = await call.plane.read(lambda c: _failed(c, found.id))
    return answer(Registered(True, Result(found.accepted + found.duplicates, failed)))


def _failed(connection: Connection, import_id: str) -> list[str]:
    """The entries of an import that were refused."""
    names: list[str] = []
    after = -1
    while found := import_items.listing(
        connection, import_id, state=import_items.ItemState.REFUSED, after=after, limit=500
    ):
        names += [item.entry for item in found]
        after = found[-1].seq
    return names


NAME = {"type": "string", **texts.NAMELIKE}
NAME_FORM = {
    kind: Media((kind,), {"type": "object", "properties": {"name": NAME}, "required": ["name"]}) for kind in FORMS
}

ROUTES = (
    Route(
        "POST",
        "/register",
        register,
        PEOPLE_WRITE,
        {200: Done, 202: Waiting, 422: Media((PROBLEM_JSON,), Refusal)},
        reads=form("image", "name", name=NAME, force=either("true: enrol a look-alike all the same")),
        limit=photo_limit,
        costs=Cost.ENROLL,
        within={},
        original=True,
        audit="enrollment.create",
    ),
    Route(
        "POST",
        "/unregister",
        unregister,
        PEOPLE_WRITE,
        {200: Done},
        reads=NAME_FORM,
        original=True,
        within={},
        audit="identity.erase",
    ),
    Route("GET", "/faces", faces, PEOPLE_READ, {200: list[str]}, original=True, within={}),
    Route(
        "POST",
        "/register-faces",
        register_faces,
        IMPORTS_WRITE,
        {200: Registered, 202: Waiting, 422: Media((PROBLEM_JSON,), Refusal)},
        reads=form("zip", force=either("true: enrol look-alikes all the same")),
        limit=archive_limit,
        costs=Cost.UPLOAD,
        original=True,
        audit="import.create",
    ),
)
