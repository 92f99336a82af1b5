"""Merging two people into one, and taking them apart again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import msgspec
from starlette.responses import Response

from control_plane.api.route import Call, Route, answer
from control_plane.auth import PEOPLE_WRITE
from control_plane.store import identities, merges
from control_plane.store.db import Connection
from control_plane.store.identities import Identity


class Other(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`from` is the id of the one who is merged into the other, or taken out again."""

    from_: str = msgspec.field(name="from")


async def merge(call: Call[Other, None]) -> Response:
    """Merge somebody into this person, who keeps name, external id, attributes and validity."""
    return await _do(call, merges.merge)


async def unmerge(call: Call[Other, None]) -> Response:
    """Take somebody who was merged into this person out again, with all that was theirs."""
    return await _do(call, merges.unmerge)


async def _do(call: Call[Other, None], what: Callable[[Connection, str, str, datetime], None]) -> Response:
    identity_id = call.path()
    call.about(other_id=call.body.from_)

    def work(connection: Connection) -> Identity:
        what(connection, identity_id, call.body.from_, call.plane.clock())
        return identities.get(connection, identity_id)

    return answer(await call.plane.write(work))


ROUTES = (
    Route(
        "POST", "/v1/identities/{id}/merge", merge, PEOPLE_WRITE, {200: Identity}, body=Other, audit="identity.merge"
    ),
    Route(
        "POST",
        "/v1/identities/{id}/unmerge",
        unmerge,
        PEOPLE_WRITE,
        {200: Identity},
        body=Other,
        audit="identity.unmerge",
    ),
)
