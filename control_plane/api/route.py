"""A route as a value: what it takes, what it answers and who may call it, for the server and the document alike."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache, partial
from typing import Annotated, Any, Generic, TypeVar, get_args

import msgspec
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import Route as WebRoute
from starlette.types import Receive, Scope, Send

from control_plane.auth import BY_NO_KEY, EDGE, JOIN, Caller, EdgeCaller, Need, check_edge, edge_of
from control_plane.config import Config
from control_plane.guard import SAFE_METHODS
from control_plane.limits import Cost, network
from control_plane.notes import Note
from control_plane.pieces import answered, received
from control_plane.plane import Plane
from control_plane.problems import Forbidden, NoCsrfToken, Unauthenticated, Unsupported
from control_plane.store.chain import DONE
from control_plane.store.db import Connection, new_id
from control_plane.store.reach import Reach
from faces.errors import Invalid, NotFound, Refused, RollcallError

B = TypeVar("B")
Q = TypeVar("Q")
T = TypeVar("T")

JSON = "application/json"
Position = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
Limit = Annotated[int, msgspec.Meta(ge=1, le=500)]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]
PATH_PART = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
NUMBER = re.compile(r"\s*[-+]?[0-9.]+([eE][-+]?[0-9]+)?\s*")
MAX_JSON_BYTES = 1 << 20
LONGEST_WAIT_S = 30

UNAUDITED = ""

Within = Mapping[str, Callable[[Reach, Connection, str], None]]
"""For parts of the path: what checks that they are within a caller's reach."""


@dataclass(frozen=True, slots=True)
class Media:
    """An answer or body that is not (only) JSON: its media types, and the type of the value it encodes, if any."""

    types: tuple[str, ...]
    value: Any = None


@dataclass(frozen=True, slots=True)
class Call(Generic[B, Q]):
    """One request, checked and decoded as its route declares. `edge` is who calls where only edges may."""

    request: Request
    plane: Plane
    body: B
    query: Q
    edge: EdgeCaller
    caller: Caller

    @property
    def reach(self) -> Reach:
        """What the caller may know of."""
        return Reach(self.caller.sites)

    @property
    def address(self) -> str:
        """The client's IP address; empty where the server was not told."""
        return client_address(self.request)

    def about(self, *, resource_id: str | None = None, other_id: str | None = None) -> None:
        """Have the audit log name these ids, where the path does not."""
        if (note := self.plane.audit_note) is not None:
            note.resource_id = resource_id or note.resource_id
            note.other_id = other_id or note.other_id

    def path(self, name: str = "id") -> str:
        """A part of the path; one that cannot be an id is not found."""
        return path_part(self.request.path_params[name])

    @property
    def wait_s(self) -> int:
        """How long the caller would rather wait than be told `pending` (`Prefer: wait=5`, RFC 7240)."""
        found = re.search(r"(?:^|[,;\s])wait=(\d{1,6})", self.request.headers.get("prefer", ""))
        return min(int(found[1]), LONGEST_WAIT_S) if found else 0

    @property
    def media_type(self) -> str:
        return media_type(self.request)


@dataclass(frozen=True, slots=True)
class Route(Generic[B, Q]):
    """One endpoint; its docstring is what the document says of it.

    `answers` gives for each status the type of the JSON answered, or Media, or None for no content. `body` is the
    type of a JSON body; `reads` describes a body that the endpoint reads by itself. `limit` is the largest body in
    bytes. `original` marks the endpoints of the original service, whose errors keep its members too.

    `within` says how a caller bound to sites is held to them: by checks on parts of the path, and for the rest by the
    endpoint itself (`Call.reach`). None: keys that are bound to sites may not call it. Edges are held to their site by
    their id.

    `audit` is the action that the audit log calls it, `resource.verb`; UNAUDITED: nothing is to be said. Whatever
    changes something declares it.

    `costs` says what a call counts as where callers are limited: by key or user, and by address where nobody is asked
    who it is.
    """

    method: str
    path: str
    endpoint: Callable[[Call[B, Q]], Awaitable[Response]]
    needs: Need
    answers: Mapping[int, Any]
    body: type[B] | None = None
    query: type[Q] | None = None
    reads: Mapping[str, Any] = field(default_factory=dict)
    limit: Callable[[Config], int] = lambda _: MAX_JSON_BYTES
    original: bool = False
    within: Within | None = None
    audit: str | None = None
    costs: Cost | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.needs, Need):
            raise TypeError(f"{self.method} {self.path} does not declare what its caller needs")
        if self.audit is None and self.method not in SAFE_METHODS:
            raise TypeError(f"{self.method} {self.path} does not declare what the audit log calls it")

    @property
    def action(self) -> str:
        """What the audit log calls it where somebody is refused, who is told of more than is said otherwise."""
        return self.audit or f"{self.path.removeprefix('/v1').split('/')[1]}.ask"


class Endpoint:
    """The routes of one path at work on a plane: an ASGI application."""

    def __init__(self, routes: Iterable[Route[Any, Any]], plane: Plane) -> None:
        self.routes = {route.method: route for route in routes}
        self._plane = plane

    @property
    def original(self) -> bool:
        return any(route.original for route in self.routes.values())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self.routes["GET" if scope["method"] == "HEAD" else scope["method"]]
        connection = HTTPConnection(scope)
        try:
            caller = await self._plane.admit(connection, route.needs)
        except (Unauthenticated, Forbidden, NoCsrfToken) as error:
            self._plane.refused(connection, route.action, error)
            raise
        still = partial(self._plane.gate.check, caller, route.needs)
        request = Request(scope, received(scope, receive, route.limit(self._plane.config), still), send)
        _limit(route, caller, request, self._plane)
        edge = edge_of(request) if route.needs in (EDGE, JOIN) else EdgeCaller("", 0)
        plane = self._plane.auditing(_note(route, request, caller, edge, self._plane))
        try:
            response = await self._response(route, request, plane, caller, edge)
        except RollcallError as error:
            plane.audited(error.code)
            if plane.audit_note is None and isinstance(error, Forbidden):
                self._plane.refused(request, route.action, error)
            raise
        plane.audited(DONE if response.status_code < 400 else Refused.code)
        await answered(response, scope, receive, send, still)

    async def _response(
        self, route: Route[Any, Any], request: Request, plane: Plane, caller: Caller, edge: EdgeCaller
    ) -> Response:
        if route.needs is EDGE:
            check_edge(caller, edge.id, plane.feed.news.places)
        elif caller.sites is not None:
            await plane.read(partial(check_reach, route, caller.sites, request.path_params))
        query = None if route.query is None else _query(request, route.query)
        body = None if route.body is None else await _body(request, route.body)
        if plane.audit_note is not None:
            plane.audit_note.asked(query)
        return await route.endpoint(Call(request, plane, body, query, edge, caller))


def _note(route: Route[Any, Any], request: Request, caller: Caller, edge: EdgeCaller, plane: Plane) -> Note | None:
    """What the audit log is to say of a request; None: nothing."""
    if not route.audit:
        return None
    parts = {name: str(value) for name, value in request.path_params.items()}
    one = parts.pop("id", edge.id or None)
    places = plane.feed.news.places
    return Note(
        actor=f"edge:{edge.id}" if edge.id else caller.actor,
        action=route.audit,
        address=client_address(request),
        request_id=new_id(plane.clock()),
        resource_id=one,
        other_id=next(iter(parts.values()), None),
        site_id=places.get(one or ""),
    )


def _limit(route: Route[Any, Any], caller: Caller, request: Request, plane: Plane) -> None:
    """Raises TooManyRequests. While everything is open nobody is limited who is on this machine."""
    if route.costs is None or (caller.holder is None and route.needs not in BY_NO_KEY):
        return
    who = caller.actor if caller.holder else network(client_address(request))
    plane.limits.take(route.costs, who, time.monotonic())


def check_reach(
    route: Route[Any, Any], sites: frozenset[str], parts: Mapping[str, Any], connection: Connection
) -> None:
    """Raises Forbidden or NotFound if a caller bound to sites may not call this, or not with these parts of a path."""
    if route.within is None:
        raise Forbidden("who is bound to sites may not do this", remedy="It needs a key or a user for all sites.")
    for name, check in route.within.items():
        check(Reach(sites), connection, path_part(parts[name]))


def path_part(value: Any) -> str:
    """A part of the path; one that cannot be an id is not found."""
    if not PATH_PART.fullmatch(str(value)):
        raise NotFound(f"there is nothing called {str(value)[:64]!r}")
    return str(value)


def served(routes: Iterable[Route[Any, Any]], plane: Plane) -> list[WebRoute]:
    """The web framework's routes, one a path, so that a wrong method is told all the right ones."""
    paths: dict[str, list[Route[Any, Any]]] = {}
    for route in routes:
        paths.setdefault(route.path, []).append(route)
    return [
        WebRoute(path, Endpoint(group, plane), methods=[route.method for route in group])
        for path, group in paths.items()
    ]


class Paging(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page of a list: at most `limit` items behind `after`, the `next` of the page before."""

    after: Annotated[str, msgspec.Meta(max_length=64)] = ""
    limit: Limit = 100


class Listing(msgspec.Struct, Generic[T], frozen=True):
    """A page of a list. `next` is the cursor of the next page; null: there is none now."""

    items: list[T]
    next: str | None


def listing(found: Sequence[T], limit: int, cursor: Callable[[T], str]) -> Response:
    """Answer a page of what was found when one more than `limit` was asked for."""
    items = list(found[:limit])
    return answer(Listing(items, cursor(items[-1]) if len(found) > limit else None))


def answer(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Answer a value as JSON."""
    return Response(msgspec.json.encode(value), status, headers, JSON)


def client_address(request: Request) -> str:
    return request.client.host if request.client else ""


def media_type(request: Request) -> str:
    """The body's media type, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def plain(value: str) -> bool:
    """Whether every database takes this text: no NUL, no half of a surrogate pair."""
    return not re.search("[\0\ud800-\udfff]", value)


def checked(value: T, what: str = "body") -> T:
    """A decoded body; raises Invalid if there is a text or a time in it that a database does not take."""
    rest = [msgspec.to_builtins(value, builtin_types=(bytes, datetime))]
    while rest:
        found = rest.pop()
        if isinstance(found, str) and not plain(found):
            raise Invalid(f"{what}: a text holds characters that are no text")
        if isinstance(found, datetime) and not dated(found):
            raise Invalid(f"{what}: a time is before the year 1 or after the year 9999")
        if isinstance(found, dict):
            rest += [*found, *found.values()]
        elif isinstance(found, list | tuple):
            rest += found
    return value


def dated(moment: datetime) -> bool:
    """Whether a moment has a date in UTC, too: at either end of all years it may have none."""
    try:
        return moment.astimezone(UTC) is not None
    except OverflowError:
        return False


def _query(request: Request, kind: type[Q]) -> Q:
    given = dict(request.query_params)
    # A number would be read as seconds since 1970, which nobody means who forgets the rest of a date.
    if any(NUMBER.fullmatch(given.get(name, "")) for name in _moments(kind)):  # type: ignore[arg-type]
        raise Invalid("parameters: a time is written as 2026-03-29T12:00:00Z")
    try:
        return checked(msgspec.convert(given, kind, strict=False), "parameters")
    except msgspec.ValidationError as error:
        raise Invalid(f"parameters: {error}") from error


@cache
def _moments(kind: type[Any]) -> tuple[str, ...]:
    """The parameters that are moments."""
    return tuple(f.encode_name for f in msgspec.structs.fields(kind) if Moment in (f.type, *get_args(f.type)))


async def _body(request: Request, kind: type[B]) -> B:
    if media_type(request) != JSON:
        raise Unsupported("the body is not JSON", remedy=f"Send it with Content-Type: {JSON}.")
    return checked(decoded(await request.body(), kind))


def decoded(data: bytes | msgspec.Raw, kind: type[B]) -> B:
    """A JSON body as the given type; raises Invalid, naming the field."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise Invalid(f"body: {error}", remedy="The document at /openapi.json describes it.") from error
