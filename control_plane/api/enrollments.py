"""Enrollments: a photo put forward for somebody, and what became of it."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from control_plane.api.failures import refusal
from control_plane.api.route import Call, Media, Route, answer
from control_plane.api.uploads import keep
from control_plane.auth import PEOPLE_READ
from control_plane.dispatch import ENROLL
from control_plane.plane import Plane
from control_plane.problems import PROBLEM_JSON, Problem, problem
from control_plane.store import enrollments
from control_plane.store.blobs import Steady
from control_plane.store.db import Connection
from control_plane.store.enrollments import Enrollment, State
from control_plane.store.reach import Reach
from faces.errors import Reason


class RefusedPhoto(Problem, frozen=True, kw_only=True):
    """A photo that was refused: a problem with the reason's code, and the whole enrollment."""

    reason: Reason
    enrollment: Enrollment


OUTCOMES = {201: Enrollment, 202: Enrollment, 422: Media((PROBLEM_JSON,), RefusedPhoto)}
"""Accepted; not yet decided; refused."""


async def put_forward(plane: Plane, file: Steady, wait_s: float, **whose: Any) -> Enrollment:
    """Hand a photo in (`whose` as in `store.enrollments.submit`), and say what became of it within `wait_s`."""

    def submit(connection: Connection, blob: str, digest: str, now: Any) -> str:
        return enrollments.submit(connection, now, blob=blob, sha256=digest, **whose)

    enrollment_id = await keep(plane, "photos", file, plane.config.max_photo_bytes, submit)
    plane.nudge(ENROLL, enrollment_id)
    return await outcome(plane, enrollment_id, wait_s)


async def outcome(plane: Plane, enrollment_id: str, wait_s: float) -> Enrollment:
    """An enrollment as soon as it is decided, or as it stands after `wait_s`.

    One that is gone was for a person who has been erased meanwhile: NotFound.
    """

    async def decided() -> Enrollment | None:
        found = await plane.read(lambda c: enrollments.get(c, enrollment_id))
        return None if found.state is State.PENDING else found

    if (found := await plane.feed.until(decided, wait_s)) is not None:
        return found
    return await plane.read(lambda c: enrollments.get(c, enrollment_id))


def told(enrollment: Enrollment) -> Response:
    """An enrollment's outcome as an answer."""
    if enrollment.state is State.REFUSED:
        told = problem("refused", enrollment.message or "", enrollment.remedy or "")
        return refusal(told, {"reason": enrollment.reason, "enrollment": enrollment})
    status = 201 if enrollment.state is State.ACCEPTED else 202
    return answer(enrollment, status, {"Location": f"/v1/enrollments/{enrollment.id}"})


async def show(call: Call[None, None]) -> Response:
    """One enrollment: pending, accepted or refused."""
    enrollment_id = call.path()
    if call.wait_s:
        return answer(await outcome(call.plane, enrollment_id, call.wait_s))
    return answer(await call.plane.read(lambda c: enrollments.get(c, enrollment_id)))


ROUTES = (Route("GET", "/v1/enrollments/{id}", show, PEOPLE_READ, {200: Enrollment}, within={"id": Reach.enrollment}),)
