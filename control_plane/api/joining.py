"""How an edge joins a site, and the credential that it is given: renewed while it is used, and ended by an operator."""

from __future__ import annotations

from datetime import datetime

import msgspec
from starlette.responses import Response

from control_plane.api.route import Call, Route, answer
from control_plane.api.wireform import wire, wire_answer
from control_plane.auth import EDGE, JOIN, SITES_WRITE, presented
from control_plane.limits import Cost
from control_plane.problems import Forbidden, Unauthenticated
from control_plane.store import joins, sites
from control_plane.store.db import Connection
from control_plane.store.reach import Reach
from faces.errors import Conflict
from faces.wire import Joined


class JoinToken(msgspec.Struct, frozen=True, kw_only=True):
    """With `token` an edge joins the site, once: `rollcall edge join URL TOKEN`. It is shown this once."""

    token: str
    site_id: str
    expires_at: datetime


async def issue(call: Call[None, None]) -> Response:
    """A token with which one edge joins the site within 15 minutes."""
    site_id, now = call.path(), call.plane.clock()

    def work(connection: Connection) -> str:
        sites.get(connection, site_id)
        return joins.issue(connection, site_id, now)

    token = await call.plane.write(work)
    return answer(JoinToken(token=token, site_id=site_id, expires_at=now + joins.GOOD_FOR), 201)


async def join(call: Call[None, None]) -> Response:
    """An edge joins by a token, sent as `Authorization: Bearer`, and is given a credential of its own."""
    edge, token = call.edge, presented(call.request.headers)
    if not joins.whole(token):
        raise Unauthenticated("this is no join token: a part is missing or mistyped", remedy="Copy the token whole.")

    def work(connection: Connection) -> Joined:
        now = call.plane.clock()
        site_id = joins.redeem(connection, token, now)
        if site_id is None:
            raise Unauthenticated(
                "this join token is not good: it was used, or has expired", remedy="Make another for each edge."
            )
        if sites.places(connection).get(edge.id) not in (None, site_id):
            raise Forbidden("this edge is at another site", remedy="Remove its edge-id file to make it a new edge.")
        text = joins.grant(connection, edge.id, site_id, now, days=call.plane.config.edge_key_days)
        return _joined(connection, site_id, text)

    joined = await call.plane.write(work)
    await call.plane.key_counts(joined.key)
    return wire_answer(call, joined)


async def renew(call: Call[None, None]) -> Response:
    """Another credential for the calling edge; the one it calls by counts until the new one is used."""
    held = call.caller.key
    if held is None or held.edge_id != call.edge.id:
        raise Conflict("there is no credential of this edge to renew", remedy="The edge joins, or introduces itself.")

    def work(connection: Connection) -> Joined:
        days = call.plane.config.edge_key_days
        text = joins.renew(connection, held, call.edge.id, call.plane.clock(), days=days)
        return _joined(connection, min(held.sites or (), default=""), text)

    joined = await call.plane.write(work)
    await call.plane.key_counts(joined.key)
    return wire_answer(call, joined)


async def hasten(call: Call[None, None]) -> Response:
    """Have the edge take another credential as soon as it asks again, within ten minutes; it goes on meanwhile."""
    edge_id = call.path()
    await call.plane.write(lambda c: joins.hasten(c, edge_id, call.plane.clock()))
    return Response(status_code=204)


async def end(call: Call[None, None]) -> Response:
    """End the edge's credentials for good, within a second, also where they are in use. To come back it joins again."""
    edge_id = call.path()
    await call.plane.write(lambda c: joins.end(c, edge_id, call.plane.clock()))
    return Response(status_code=204)


def _joined(connection: Connection, site_id: str, key: str) -> Joined:
    return Joined(site_id=site_id, site=sites.get(connection, site_id).name, key=key)


ROUTES = (
    Route(
        "POST",
        "/v1/sites/{id}/join-tokens",
        issue,
        SITES_WRITE,
        {201: JoinToken},
        within={"id": Reach.site},
        audit="site.make_join_token",
    ),
    Route("POST", "/v1/edge/join", join, JOIN, {200: wire(Joined)}, audit="edge.join", costs=Cost.JOIN),
    Route("POST", "/v1/edge/credential", renew, EDGE, {200: wire(Joined)}, audit="edge.renew_credential"),
    Route(
        "POST",
        "/v1/edges/{id}/credential",
        hasten,
        SITES_WRITE,
        {204: None},
        within={"id": Reach.edge},
        audit="edge.ask_renewal",
    ),
    Route(
        "DELETE",
        "/v1/edges/{id}/credential",
        end,
        SITES_WRITE,
        {204: None},
        within={"id": Reach.edge},
        audit="edge.end_credential",
    ),
)
