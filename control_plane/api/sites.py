"""Sites: places, and the galleries they follow."""

from __future__ import annotations

import msgspec
from starlette.responses import Response

from control_plane.api import texts
from control_plane.api.route import Call, Listing, Paging, Route, answer, listing
from control_plane.auth import OPERATOR
from control_plane.store import sites
from control_plane.store.db import Connection
from control_plane.store.galleries import DEFAULT_GALLERY
from control_plane.store.sites import Site


class NewSite(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A place. `galleries` are the ids of those that its edges follow."""

    name: str
    galleries: tuple[str, ...] = (DEFAULT_GALLERY,)


class ChangedSite(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be changed; fields that are absent stay as they are."""

    name: str | msgspec.UnsetType = msgspec.UNSET
    galleries: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET


async def browse(call: Call[None, Paging]) -> Response:
    """Sites."""
    asked = call.query
    found = await call.plane.read(lambda c: sites.listing(c, after=asked.after, limit=asked.limit + 1))
    return listing(found, asked.limit, lambda s: s.id)


async def create(call: Call[NewSite, None]) -> Response:
    """Add a site."""
    name = texts.name(call.body.name)

    def work(connection: Connection) -> Site:
        site_id = sites.create(connection, name, list(call.body.galleries), call.plane.clock())
        return sites.get(connection, site_id)

    made = await call.plane.write(work)
    return answer(made, 201, {"Location": f"/v1/sites/{made.id}"})


async def show(call: Call[None, None]) -> Response:
    """One site."""
    site_id = call.path()
    return answer(await call.plane.read(lambda c: sites.get(c, site_id)))


async def change(call: Call[ChangedSite, None]) -> Response:
    """Change a site's name, or the galleries that its edges follow."""
    site_id = call.path()
    name = call.body.name if call.body.name is msgspec.UNSET else texts.name(call.body.name)
    followed = call.body.galleries

    def work(connection: Connection) -> Site:
        if name is not msgspec.UNSET:
            sites.rename(connection, site_id, name)
        if followed is not msgspec.UNSET:
            sites.follow(connection, site_id, list(followed))
        return sites.get(connection, site_id)

    return answer(await call.plane.write(work))


ROUTES = (
    Route("GET", "/v1/sites", browse, OPERATOR, {200: Listing[Site]}, query=Paging),
    Route("POST", "/v1/sites", create, OPERATOR, {201: Site}, body=NewSite),
    Route("GET", "/v1/sites/{id}", show, OPERATOR, {200: Site}),
    Route("PATCH", "/v1/sites/{id}", change, OPERATOR, {200: Site}, body=ChangedSite),
)
