"""Webhooks: who else is told, and the deliveries made to them."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

import msgspec
from starlette.responses import Response

from control_plane.api.route import Call, Listing, Paging, Route, answer, listing
from control_plane.auth import OPERATOR
from control_plane.store import webhooks
from control_plane.store.webhooks import Delivery, Webhook
from faces.errors import Invalid
from faces.events import Status

LONGEST_URL = 2000


class NewWebhook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A receiver; `statuses` are the decisions it is told."""

    url: str
    statuses: tuple[Literal["PASS", "REJECT"], ...] = ("PASS",)


async def browse(call: Call[None, Paging]) -> Response:
    """Webhooks."""
    asked = call.query
    found = await call.plane.read(lambda c: webhooks.listing(c, after=asked.after, limit=asked.limit + 1))
    return listing(found, asked.limit, lambda w: w.id)


async def create(call: Call[NewWebhook, None]) -> Response:
    """Have decisions posted to a URL."""
    url, statuses = _checked(call.body.url), sorted({Status(s) for s in call.body.statuses})
    if not statuses:
        raise Invalid("statuses is empty")
    made = await call.plane.write(lambda c: webhooks.create(c, url, statuses, call.plane.clock()))
    return answer(made, 201, {"Location": f"/v1/webhooks/{made.id}"})


async def show(call: Call[None, None]) -> Response:
    """One webhook."""
    webhook_id = call.path()
    return answer(await call.plane.read(lambda c: webhooks.get(c, webhook_id)))


async def delete(call: Call[None, None]) -> Response:
    """Remove a webhook and its deliveries."""
    webhook_id = call.path()
    await call.plane.write(lambda c: webhooks.delete(c, webhook_id))
    return Response(status_code=204)


async def deliveries(call: Call[None, Paging]) -> Response:
    """A webhook's deliveries, oldest first."""
    webhook_id, asked = call.path(), call.query
    found = await call.plane.read(
        lambda c: webhooks.delivery_listing(c, webhook_id, after=asked.after, limit=asked.limit + 1)
    )
    return listing(found, asked.limit, lambda d: d.id)


def _checked(url: str) -> str:
    """A URL that can be posted to; raises Invalid. One that carries a password is refused: it would be shown."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not url.isprintable() or " " in url or len(url) > LONGEST_URL:
        raise Invalid("url is not an http:// or https:// URL")
    if parts.username is not None:
        raise Invalid("url holds a user name", remedy="Deliveries are signed; leave user and password out.")
    return url


ROUTES = (
    Route("GET", "/v1/webhooks", browse, OPERATOR, {200: Listing[Webhook]}, query=Paging),
    Route("POST", "/v1/webhooks", create, OPERATOR, {201: Webhook}, body=NewWebhook),
    Route("GET", "/v1/webhooks/{id}", show, OPERATOR, {200: Webhook}),
    Route("DELETE", "/v1/webhooks/{id}", delete, OPERATOR, {204: None}),
    Route("GET", "/v1/webhooks/{id}/deliveries", deliveries, OPERATOR, {200: Listing[Delivery]}, query=Paging),
)
