"""Sites: places, and the galleries they follow."""

from __future__ import annotations

from typing import Annotated

import msgspec
from starlette.responses import Response

from control_plane.api import texts
from control_plane.api.route import Call, Listing, Paging, Route, answer, listing
from control_plane.auth import SITES_READ, SITES_WRITE
from control_plane.store import sites
from control_plane.store.db import Connection
from control_plane.store.galleries import DEFAULT_GALLERY
from control_plane.store.reach import Reach
from control_plane.store.sites import Site

Days = Annotated[int, msgspec.Meta(ge=0, le=36_500)]
TimeZone = Annotated[str, msgspec.Meta(extra_json_schema={"format": "time-zone", "examples": ["Europe/Berlin", "UTC"]})]
LeaseDays = Annotated[float, msgspec.Meta(ge=0, le=3650)]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`time_zone` is a name such as Europe/Berlin; it says when a day of attendance begins. `event_days` and
    `thumbnail_days` say how long they are kept: null: as the worker is set up, 0: for ever. `probe_days` says how long
    the encodings of strangers are kept, by which those are found who come again: 0: not at all. `lease_days` says how
    long edges admit people without a sync: null: as each edge is set up (LEASE_DAYS), 0: for ever."""

    time_zone: TimeZone | msgspec.UnsetType = msgspec.UNSET
    event_days: Days | msgspec.UnsetType | None = msgspec.UNSET
    thumbnail_days: Days | msgspec.UnsetType | None = msgspec.UNSET
    probe_days: Days | msgspec.UnsetType = msgspec.UNSET
    lease_days: LeaseDays | msgspec.UnsetType | None = msgspec.UNSET

    def told(self) -> dict[str, object]:
        """The settings that are there; raises Invalid for a time zone that does not exist."""
        if self.time_zone is not msgspec.UNSET:
            texts.time_zone(self.time_zone)
        found = {name: getattr(self, name) for name in Settings.__struct_fields__}
        return {name: value for name, value in found.items() if value is not msgspec.UNSET}


class NewSite(Settings, frozen=True, kw_only=True):
    """A place. `galleries` are the ids of those that its edges follow."""

    name: texts.Name
    galleries: tuple[str, ...] = (DEFAULT_GALLERY,)


class ChangedSite(Settings, frozen=True, kw_only=True):
    """What is to be changed; fields that are absent stay as they are."""

    name: texts.Name | msgspec.UnsetType = msgspec.UNSET
    galleries: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET


async def browse(call: Call[None, Paging]) -> Response:
    """Sites."""
    asked = call.query
    within = call.reach.sites
    found = await call.plane.read(lambda c: sites.listing(c, after=asked.after, limit=asked.limit + 1, within=within))
    return listing(found, asked.limit, lambda s: s.id)


async def create(call: Call[NewSite, None]) -> Response:
    """Add a site."""
    name, told = texts.name(call.body.name), call.body.told()

    def work(connection: Connection) -> Site:
        site_id = sites.create(connection, name, list(call.body.galleries), call.plane.clock())
        sites.configure(connection, site_id, told)
        return sites.get(connection, site_id)

    made = await call.plane.write(work)
    return answer(made, 201, {"Location": f"/v1/sites/{made.id}"})


async def show(call: Call[None, None]) -> Response:
    """One site."""
    site_id = call.path()
    return answer(await call.plane.read(lambda c: sites.get(c, site_id)))


async def change(call: Call[ChangedSite, None]) -> Response:
    """Change a site's name, its settings, or the galleries that its edges follow."""
    site_id = call.path()
    name = call.body.name if call.body.name is msgspec.UNSET else texts.name(call.body.name)
    followed, told = call.body.galleries, call.body.told()

    def work(connection: Connection) -> Site:
        if name is not msgspec.UNSET:
            sites.rename(connection, site_id, name)
        if followed is not msgspec.UNSET:
            sites.follow(connection, site_id, list(followed))
        sites.configure(connection, site_id, told)
        return sites.get(connection, site_id)

    return answer(await call.plane.write(work))


ROUTES = (
    Route("GET", "/v1/sites", browse, SITES_READ, {200: Listing[Site]}, query=Paging, within={}),
    Route("POST", "/v1/sites", create, SITES_WRITE, {201: Site}, body=NewSite, audit="site.create"),
    Route("GET", "/v1/sites/{id}", show, SITES_READ, {200: Site}, within={"id": Reach.site}),
    Route("PATCH", "/v1/sites/{id}", change, SITES_WRITE, {200: Site}, body=ChangedSite, audit="site.change"),
)
