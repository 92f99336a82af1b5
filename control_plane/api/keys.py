"""Access keys, for administrators of all sites."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from starlette.responses import Response

from control_plane.api import texts
from control_plane.api.route import Call, Listing, Moment, Paging, Route, answer, listing
from control_plane.auth import KEYS_READ, KEYS_WRITE
from control_plane.store import keys
from control_plane.store import sites as places
from control_plane.store.db import Connection
from control_plane.store.keys import Key, Role
from faces.errors import Invalid

KeyRole = Literal["viewer", "operator", "integrator", "admin"]
Sites = Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=1000)]


class ToldKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key as it is told: never what it is called by. `sites` are ids; null: it is good for all. `edge_id`: it is the
    credential of this edge."""

    id: str
    role: Role
    name: str
    sites: tuple[str, ...] | None
    edge_id: str | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None

    @classmethod
    def of(cls, key: Key) -> ToldKey:
        return cls(**{name: getattr(key, name) for name in cls.__struct_fields__})


class NewKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key for a program. `sites` are ids of those that it is for; null: all."""

    role: KeyRole
    name: texts.NameOrNone = ""
    sites: Sites | None = None
    expires_at: Moment | None = None


class MadeKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key that was just made: the one time that it is shown."""

    id: str
    key: str

    def __repr__(self) -> str:
        return f"MadeKey({self.id})"


async def browse(call: Call[None, Paging]) -> Response:
    """Access keys, oldest first, those that are revoked too."""
    asked = call.query
    found = await call.plane.read(keys.listing)
    ids = [key.id for key in found]
    begin = ids.index(asked.after) + 1 if asked.after in ids else 0
    page = [ToldKey.of(key) for key in found[begin : begin + asked.limit + 1]]
    return listing(page, asked.limit, lambda key: key.id)


async def create(call: Call[NewKey, None]) -> Response:
    """Make a key. The answer holds it, which is shown this once."""
    asked, now = call.body, call.plane.clock()
    name = texts.name_or_none(asked.name)
    if asked.expires_at is not None and asked.expires_at <= now:
        raise Invalid("expires_at is past")

    def work(connection: Connection) -> str:
        known = {site.id for site in places.listing(connection, limit=1_000_000)}
        if missing := set(asked.sites or ()) - known:
            raise Invalid(f"there is no site {min(missing)[:64]!r}", remedy="GET /v1/sites shows their ids.")
        text = keys.create(connection, Role(asked.role), now, name=name, sites=asked.sites, expires_at=asked.expires_at)
        call.about(resource_id=keys.id_of(text))
        return text

    text = await call.plane.write(work)
    await call.plane.key_counts(text)
    return answer(MadeKey(id=keys.id_of(text) or "", key=text), 201)


async def revoke(call: Call[None, None]) -> Response:
    """End a key for good, within a second, also where it is in use."""
    key_id = call.path()
    await call.plane.write(lambda c: keys.revoke(c, key_id, call.plane.clock()))
    return Response(status_code=204)


ROUTES = (
    Route("GET", "/v1/keys", browse, KEYS_READ, {200: Listing[ToldKey]}, query=Paging, audit="key.list"),
    Route("POST", "/v1/keys", create, KEYS_WRITE, {201: MadeKey}, body=NewKey, audit="key.create"),
    Route("DELETE", "/v1/keys/{id}", revoke, KEYS_WRITE, {204: None}, audit="key.revoke"),
)
