"""Changing the engine: encodings of another model from the kept photos, then the switch."""

from __future__ import annotations

from typing import Annotated

import msgspec
from starlette.responses import Response

from control_plane.api.route import Call, Listing, Paging, Route, answer, listing
from control_plane.auth import GALLERIES_READ, GALLERIES_WRITE
from control_plane.dispatch import PLAN_REENCODING
from control_plane.store import reencodings
from control_plane.store.db import Connection
from control_plane.store.reencodings import Loss, Reencoding, RefusedPhoto
from faces.encoding import MODELS


class NewReencoding(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The engine to change to, by its name. Going back is the same: what is encoded already is not encoded again."""

    engine: Annotated[str, msgspec.Meta(extra_json_schema={"enum": sorted(MODELS)})]


class Switch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`accept_losses`: although somebody would not be recognised any more."""

    accept_losses: bool = False


class CleanedUp(msgspec.Struct, frozen=True):
    """How many encodings of other models were removed."""

    removed: int


async def browse(call: Call[None, Paging]) -> Response:
    """Changes of the engine, oldest first."""
    asked = call.query
    found = await call.plane.read(lambda c: reencodings.listing(c, after=asked.after, limit=asked.limit + 1))
    return listing(found, asked.limit, lambda r: r.id)


async def create(call: Call[NewReencoding, None]) -> Response:
    """Begin to change the engine; edges keep the old one until the switch."""

    def work(connection: Connection) -> Reencoding:
        return reencodings.get(connection, reencodings.begin(connection, call.body.engine, call.plane.clock()))

    made = await call.plane.write(work)
    call.plane.nudge(PLAN_REENCODING, made.id)
    return answer(made, 202, {"Location": f"/v1/reencodings/{made.id}"})


async def show(call: Call[None, None]) -> Response:
    """One change of the engine, and how far it is."""
    reencoding_id = call.path()
    return answer(await call.plane.read(lambda c: reencodings.get(c, reencoding_id)))


async def refusals(call: Call[None, None]) -> Response:
    """The photos that the new engine refused, with the reasons."""
    reencoding_id = call.path()
    return answer(Listing(await call.plane.read(lambda c: reencodings.refusals(c, reencoding_id)), None))


async def losses(call: Call[None, None]) -> Response:
    """The people who would not be recognised any more."""
    reencoding_id = call.path()
    return answer(Listing(await call.plane.read(lambda c: reencodings.losses(c, reencoding_id)), None))


async def switch(call: Call[Switch, None]) -> Response:
    """Have all galleries go by the new engine from now on, each from one revision on."""
    reencoding_id, accept_losses = call.path(), call.body.accept_losses

    def work(connection: Connection) -> Reencoding:
        reencodings.switch(connection, reencoding_id, call.plane.clock(), accept_losses=accept_losses)
        return reencodings.get(connection, reencoding_id)

    if await call.plane.write(lambda c: reencodings.reopen(c, reencoding_id), noted=False):
        call.plane.nudge(PLAN_REENCODING, reencoding_id)
    return answer(await call.plane.write(work))


async def cancel(call: Call[None, None]) -> Response:
    """Give a change up before the switch."""
    reencoding_id = call.path()

    def work(connection: Connection) -> Reencoding:
        reencodings.cancel(connection, reencoding_id)
        return reencodings.get(connection, reencoding_id)

    return answer(await call.plane.write(work))


async def clean_up(call: Call[None, None]) -> Response:
    """Remove the encodings of engines that galleries do not go by: there is no way back then but by the photos."""
    removed = await call.plane.write(reencodings.clean_up)
    await call.plane.run(call.plane.database.truncate_wal)
    return answer(CleanedUp(removed))


ROUTES = (
    Route("GET", "/v1/reencodings", browse, GALLERIES_READ, {200: Listing[Reencoding]}, query=Paging),
    Route(
        "POST",
        "/v1/reencodings",
        create,
        GALLERIES_WRITE,
        {202: Reencoding},
        body=NewReencoding,
        audit="reencoding.create",
    ),
    Route("POST", "/v1/reencodings/cleanup", clean_up, GALLERIES_WRITE, {200: CleanedUp}, audit="reencoding.clean_up"),
    Route("GET", "/v1/reencodings/{id}", show, GALLERIES_READ, {200: Reencoding}),
    Route("GET", "/v1/reencodings/{id}/refusals", refusals, GALLERIES_READ, {200: Listing[RefusedPhoto]}),
    Route("GET", "/v1/reencodings/{id}/losses", losses, GALLERIES_READ, {200: Listing[Loss]}),
    Route(
        "POST",
        "/v1/reencodings/{id}/switch",
        switch,
        GALLERIES_WRITE,
        {200: Reencoding},
        body=Switch,
        audit="reencoding.switch",
    ),
    Route("POST", "/v1/reencodings/{id}/cancel", cancel, GALLERIES_WRITE, {200: Reencoding}, audit="reencoding.cancel"),
)
