"""Webhooks: who else is told, the deliveries made to them, and doing deliveries over."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from datetime import timedelta
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec
from starlette.responses import Response

from control_plane.api.route import Call, Listing, Moment, Paging, Route, answer, listing
from control_plane.auth import WEBHOOKS_READ, WEBHOOKS_WRITE
from control_plane.store import deliveries, webhooks
from control_plane.store.db import Connection
from control_plane.store.deliveries import Attempt, Delivery, DeliveryState, Replayed
from control_plane.store.webhooks import Secret, Webhook, WebhookWithSecret
from faces.errors import Invalid
from faces.events import Status

LONGEST_URL = 2000
MOST_FILTERS = 200
LONGEST_FILTER = 200
MOST_REPLAYED = 500
RESOLVED_WITHIN_S = 2.0
DAY_S = 86_400

Url = Annotated[
    str, msgspec.Meta(extra_json_schema={"format": "uri", "maxLength": LONGEST_URL, "pattern": r"^https?://[^\s\\@]+$"})
]
Statuses = tuple[Literal["PASS", "REJECT"], ...]
Filter = Annotated[list[Annotated[str, msgspec.Meta(max_length=LONGEST_FILTER)]], msgspec.Meta(max_length=MOST_FILTERS)]


class NewWebhook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A receiver, and what it is told: decisions of these `statuses`, at these `sites` (ids), by these `cameras`
    (names), of people of these `galleries` (ids), each empty for all; and `alarms`."""

    url: Url
    statuses: Statuses = ("PASS",)
    sites: Filter = []
    cameras: Filter = []
    galleries: Filter = []
    alarms: bool = False


class ChangedWebhook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be changed. Enabling it anew, or another URL, is a fresh start."""

    url: Url | msgspec.UnsetType = msgspec.UNSET
    statuses: Statuses | msgspec.UnsetType = msgspec.UNSET
    sites: Filter | msgspec.UnsetType = msgspec.UNSET
    cameras: Filter | msgspec.UnsetType = msgspec.UNSET
    galleries: Filter | msgspec.UnsetType = msgspec.UNSET
    alarms: bool | msgspec.UnsetType = msgspec.UNSET
    enabled: bool | msgspec.UnsetType = msgspec.UNSET


class Rotation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For how many seconds the old secret signs as well."""

    keep_old_s: Annotated[int, msgspec.Meta(ge=0, le=30 * DAY_S)] = DAY_S


class Replay(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to deliver once more: `ids` of deliveries or events; or all that the webhook wants from `since` until
    `until` (now, if not given): events by their capture, alarms by when they were raised."""

    ids: Annotated[list[str], msgspec.Meta(max_length=MOST_REPLAYED)] = []
    since: Moment | None = None
    until: Moment | None = None


class Which(Paging, frozen=True, kw_only=True):
    """`state`: the deliveries in this state alone."""

    state: DeliveryState | None = None


async def browse(call: Call[None, Paging]) -> Response:
    """Webhooks."""
    asked = call.query
    found = await call.plane.read(lambda c: webhooks.listing(c, after=asked.after, limit=asked.limit + 1))
    return listing(found, asked.limit, lambda w: w.id)


async def create(call: Call[NewWebhook, None]) -> Response:
    """Have decisions and alarms posted to a URL. The answer holds the secret, which is shown this once."""
    values = await _checked(call, msgspec.structs.asdict(call.body))
    url, statuses = values.pop("url"), values.pop("statuses")
    made = await call.plane.write(lambda c: webhooks.create(c, url, statuses, call.plane.clock(), **values))
    return answer(made, 201, {"Location": f"/v1/webhooks/{made.id}"})


async def show(call: Call[None, None]) -> Response:
    """One webhook."""
    webhook_id = call.path()
    return answer(await call.plane.read(lambda c: webhooks.get(c, webhook_id)))


async def change(call: Call[ChangedWebhook, None]) -> Response:
    """Change a webhook's URL, what it is told, or whether it is enabled."""
    webhook_id = call.path()
    changed = {k: v for k, v in msgspec.structs.asdict(call.body).items() if v is not msgspec.UNSET}
    values = await _checked(call, changed)
    return answer(await call.plane.write(lambda c: webhooks.change(c, webhook_id, values)))


async def delete(call: Call[None, None]) -> Response:
    """Remove a webhook and its deliveries."""
    webhook_id = call.path()
    await call.plane.write(lambda c: webhooks.delete(c, webhook_id))
    return Response(status_code=204)


async def rotate(call: Call[Rotation, None]) -> Response:
    """Make a new secret, which is shown this once; the old one signs as well for a while."""
    webhook_id, keep = call.path(), timedelta(seconds=call.body.keep_old_s)
    return answer(await call.plane.write(lambda c: webhooks.rotate(c, webhook_id, keep, call.plane.clock())))


async def browse_deliveries(call: Call[None, Which]) -> Response:
    """A webhook's deliveries, oldest first."""
    webhook_id, asked = call.path(), call.query
    found = await call.plane.read(
        lambda c: deliveries.listing(c, webhook_id, after=asked.after, limit=asked.limit + 1, state=asked.state)
    )
    return listing(found, asked.limit, lambda d: d.id)


async def attempts(call: Call[None, None]) -> Response:
    """A delivery's attempts, oldest first."""
    webhook_id, delivery_id = call.path(), call.path("delivery")
    found = await call.plane.read(lambda c: deliveries.attempts(c, webhook_id, delivery_id))
    return answer(Listing(found, None))


async def replay(call: Call[Replay, None]) -> Response:
    """Deliver once more, under the same message ids: receivers that have them already know it."""
    webhook_id, asked = call.path(), call.body
    if bool(asked.ids) == (asked.since is not None) or (asked.until is not None and asked.since is None):
        raise Invalid("give either ids, or since (and until)")

    def work(connection: Connection) -> Replayed:
        now = call.plane.clock()
        if asked.since is None:
            return deliveries.replay(connection, webhook_id, asked.ids, now)
        return deliveries.replay_range(connection, webhook_id, asked.since, asked.until or now, now)

    return answer(await call.plane.write(work), 202)


async def _checked(call: Call[Any, Any], values: dict[str, Any]) -> dict[str, Any]:
    """What was asked for; raises Invalid, or ForbiddenAddress for a URL that would never be posted to."""
    if "url" in values:
        await _check_url(call, values["url"])
    if "statuses" in values:
        values["statuses"] = sorted({Status(s) for s in values["statuses"]})
    return values


async def _check_url(call: Call[Any, Any], url: str) -> None:
    """Raise Invalid for a URL that cannot be posted to. One that carries a password is refused: it would be shown."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not url.isprintable() or " " in url or "\\" in url or len(url) > LONGEST_URL:
        raise Invalid("url is not an http:// or https:// URL")
    if parts.username is not None:
        raise Invalid("url holds a user name", remedy="Deliveries are signed; leave user and password out.")
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    call.plane.config.webhook_allow.check(host, port, await _addresses(host, port))


async def _addresses(host: str, port: int) -> list[str]:
    """Where a host leads just now, for an early answer: the worker asks again, and has the say. Empty: not known."""
    found: list[Any] = []
    with contextlib.suppress(OSError, UnicodeError, TimeoutError):
        async with asyncio.timeout(RESOLVED_WITHIN_S):
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


ROUTES = (
    Route("GET", "/v1/webhooks", browse, WEBHOOKS_READ, {200: Listing[Webhook]}, query=Paging),
    Route(
        "POST",
        "/v1/webhooks",
        create,
        WEBHOOKS_WRITE,
        {201: WebhookWithSecret},
        body=NewWebhook,
        audit="webhook.create",
    ),
    Route("GET", "/v1/webhooks/{id}", show, WEBHOOKS_READ, {200: Webhook}),
    Route(
        "PATCH",
        "/v1/webhooks/{id}",
        change,
        WEBHOOKS_WRITE,
        {200: Webhook},
        body=ChangedWebhook,
        audit="webhook.change",
    ),
    Route("DELETE", "/v1/webhooks/{id}", delete, WEBHOOKS_WRITE, {204: None}, audit="webhook.delete"),
    Route(
        "POST", "/v1/webhooks/{id}/rotate", rotate, WEBHOOKS_WRITE, {200: Secret}, body=Rotation, audit="webhook.rotate"
    ),
    Route(
        "POST", "/v1/webhooks/{id}/replay", replay, WEBHOOKS_WRITE, {202: Replayed}, body=Replay, audit="webhook.replay"
    ),
    Route(
        "GET", "/v1/webhooks/{id}/deliveries", browse_deliveries, WEBHOOKS_READ, {200: Listing[Delivery]}, query=Which
    ),
    Route(
        "GET",
        "/v1/webhooks/{id}/deliveries/{delivery}/attempts",
        attempts,
        WEBHOOKS_READ,
        {200: Listing[Attempt]},
    ),
)
