"""Every route by every kind of caller, and two sites on one control plane that learn nothing of each other."""

from __future__ import annotations

import base64
import random
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest
import requests
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Close

from control_plane.api.route import Route
from control_plane.api.routes import ROUTES
from control_plane.api.schema import with_document
from control_plane.app import check_declared
from control_plane.auth import BY_NO_KEY, SCOPES, Need
from control_plane.cookies import CSRF_HEADER, NAME, csrf_token
from control_plane.guard import SAFE_METHODS
from control_plane.store import (
    enrollments,
    galleries,
    identifications,
    identities,
    keys,
    members,
    sign_ins,
    sites,
    users,
)
from control_plane.store.alarms import AlarmKind, sound
from control_plane.store.db import Database, new_id, utcnow
from control_plane.store.keys import Role
from control_plane.store.sign_ins import Lasting
from control_plane.store.tables import sign_ins as rows
from control_plane.store.tables import users as accounts
from faces import wire
from faces.events import Status
from faces.gallery import SettingsRow

DECLARED = with_document(ROUTES, "test")
PARAMETERS = ["site", "gallery", "galleries", "edge", "identity", "camera", "name", "external_id", "after", "day"]
UNKNOWN = "01890000-0000-7000-8000-000000000000"
LASTING = Lasting(timedelta(days=1), timedelta(days=2))
ENDED = ("signed out", "unused for too long", "used for too long", "disabled", "mistyped")
"""How a cookie can be one that does not count."""


@dataclass(frozen=True)
class Tenant:
    """A site with a gallery of its own, and one of everything; `edge` is the edge's side."""

    site: str
    gallery: str
    person: str
    photo: str
    edge: Any
    event: str
    alarm: str
    enrollment: str
    identification: str
    names: tuple[str, ...]

    @property
    def ids(self) -> dict[str, str]:
        """An id for each first part of a path under /v1."""
        return {
            "identities": self.person,
            "galleries": self.gallery,
            "sites": self.site,
            "edges": self.edge.id,
            "events": self.event,
            "alarms": self.alarm,
            "enrollments": self.enrollment,
            "identifications": self.identification,
        }

    @property
    def marks(self) -> set[bytes]:
        """What no other site may see."""
        return {mark.encode() for mark in (*self.ids.values(), self.photo, *self.names)}


def settle(server: Any, label: str, event: Any, add_encoding: Any) -> Tenant:
    """Make a site with one of everything, while keys are not needed yet."""
    now = utcnow()
    names = tuple(f"{what}-of-{label}-{uuid4().hex[:6]}" for what in ("site", "list", "person", "door", "file"))
    with server.database.write() as connection:
        gallery = new_id(now)
        galleries.create(connection, SettingsRow(gallery, names[1]), now)
        site = sites.create(connection, names[0], [gallery], now)
        person = identities.create(connection, names[2], [gallery], now, external_id=f"ext-{names[2]}")
        photo = add_encoding(connection, person, server.blobs)
        enrollment = enrollments.submit(
            connection, now, gallery_id=gallery, blob="", sha256="0" * 64, identity_id=person, name=names[2]
        )
        identification = identifications.submit(connection, now, galleries=[gallery], blob="")
        edge_id = f"edge-{label}-{uuid4().hex[:8]}"
        sound(connection, AlarmKind.EDGE_DIVERGED, names[2], f"about {names[2]}", now, site_id=site, edge_id=edge_id)
    edge = server.edge(edge_id, cameras=(names[3],), site=names[0])
    edge.send(
        event(identity_id=person, name=names[2], camera=names[3], gallery_id=gallery),
        event(camera=names[3], status=Status.REJECT),
    )
    found = server.get("/v1/events", params={"site": site}).json()["items"][0]["id"]
    (alarm,) = (a["id"] for a in server.get("/v1/alarms").json()["items"] if a["site_id"] == site)
    return Tenant(site, gallery, person, photo, edge, found, alarm, enrollment, identification, names)


@dataclass
class World:
    server: Any
    ours: Tenant
    theirs: Tenant
    keys: dict[str, str]
    cookies: dict[str, str]

    def call(self, who: str, method: str, path: str, **options: Any) -> requests.Response:
        headers = {**self.shown(who), **options.pop("headers", {})}
        answer: requests.Response = self.server.call(method, path, headers=headers, **options)
        return answer

    def shown(self, who: str) -> dict[str, str]:
        """What a caller shows of themselves: a key, or as a page does the cookie and the token that belongs to it."""
        cookie = self.cookies.get(who)
        return bearer(self.keys.get(who)) if cookie is None else {**sent(cookie), CSRF_HEADER: csrf_token(cookie)}

    def sign_in(self, who: str, role: Role, sites: list[str] | None = None) -> None:
        """Have a user, and a browser in which they are signed in."""
        self.cookies[who] = self.another(self.server.user(who, role, sites))

    def another(self, user_id: str) -> str:
        """The cookie of one more sign-in of a user, which the server knows of."""
        with self.server.database.write() as connection:
            cookie = sign_ins.create(connection, user_id, utcnow(), LASTING)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            if self.server.get("/v1/session", headers=sent(cookie)).status_code == 200:
                return cookie
        raise AssertionError("the sign-in was not noticed")

    def sign_in_again(self, who: str) -> None:
        with self.server.database.read() as connection:
            known = users.named(connection, who)
        assert known is not None
        self.cookies[who] = self.another(known.user.id)


def sent(cookie: str) -> dict[str, str]:
    return {"Cookie": f"{NAME}={cookie}"}


def end_sign_ins(world: World) -> None:
    """Sign administrators in, and have each cookie count no more, in a way of its own."""
    for who in ENDED:
        world.sign_in(who, Role.ADMIN)
    past, mine = utcnow() - timedelta(seconds=1), {who: rows.c.id == world.cookies[who][:16] for who in ENDED}
    with world.server.database.write() as connection:
        connection.execute(rows.delete().where(mine["signed out"]))
        connection.execute(rows.update().where(mine["unused for too long"]).values(idle_at=past))
        connection.execute(rows.update().where(mine["used for too long"]).values(expires_at=past))
        # Its sign-in stays, as if it had been made that very moment.
        connection.execute(accounts.update().where(accounts.c.name == "disabled").values(disabled_at=past))
        sign_ins.changed(connection)
    world.cookies["mistyped"] = mistyped(world.cookies["mistyped"])


def bearer(key: str | None) -> dict[str, str]:
    return {} if key is None else {"Authorization": f"Bearer {key}"}


def make(server: Any, role: Role, **options: Any) -> str:
    """A key that the server knows of."""
    with server.database.write() as connection:
        text = keys.create(connection, role, utcnow(), **options)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        answer = server.get("/v1/sites", headers=bearer(text))
        if answer.status_code != 401 or "not known" not in answer.json()["detail"]:
            return text
    raise AssertionError("the key was not noticed")


def revoke(server: Any, text: str) -> None:
    with server.database.write() as connection:
        keys.revoke(connection, keys.id_of(text) or "", utcnow())


def ended(socket: Any) -> tuple[Close, bytes]:
    """How the other side closed a socket, and what it sent before."""
    sent = b""
    try:
        while True:
            message = socket.recv(timeout=10)
            sent += message.encode() if isinstance(message, str) else message
    except ConnectionClosed as closed:
        return closed.rcvd or Close(1006, "cut off"), sent


def mistyped(text: str) -> str:
    return text[:20] + ("0" if text[20] != "0" else "1") + text[21:]


@pytest.fixture(scope="module")
def world(
    fresh: Callable[[Path], Database],
    running: Any,
    event: Any,
    add_encoding: Any,
    wait_for: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("world")
    with running(fresh(folder), folder) as server:
        ours, theirs = (settle(server, label, event, add_encoding) for label in ("s", "t"))
        found = {role.value: make(server, role) for role in Role if role is not Role.EDGE}
        found["ours"] = make(server, Role.ADMIN, sites=[ours.site])
        found["theirs"] = make(server, Role.ADMIN, sites=[theirs.site])
        found["edge"] = make(server, Role.EDGE, sites=[ours.site])
        found["wrong edge"] = make(server, Role.EDGE, sites=[theirs.site])
        found["malformed"] = mistyped(found["admin"])
        found["unknown"] = forged()
        found["expired"] = make(server, Role.ADMIN, expires_at=utcnow() - timedelta(seconds=1))
        found["revoked"] = make(server, Role.ADMIN)
        revoke(server, found["revoked"])
        wait_for(lambda: server.get("/v1/sites", headers=bearer(found["revoked"])).status_code == 401)
        world = World(server, ours, theirs, found, {})
        for role in users.ROLES:
            world.sign_in(f"user {role}", role)
            world.sign_in(f"their {role}", role, [theirs.site])
        end_sign_ins(world)
        wait_for(lambda: all(world.call(who, "GET", "/v1/session").status_code == 401 for who in ENDED))
        yield world


def forged() -> str:
    """A key in the right form that nobody made."""
    text = f"rc_{'0' * 12}_{'0' * 40}"
    return text + keys.check_sum(text)


def filled(route: Route[Any, Any], tenant: Tenant | None) -> str:
    """A route's path, with ids of the tenant, or with unknown ones."""
    kind = route.path.split("/")[2] if route.path.startswith("/v1/") else ""
    known = {} if tenant is None else {"id": tenant.ids.get(kind), "identity": tenant.person, "photo": tenant.photo}
    return re.sub(r"{(\w+)}", lambda found: known.get(found[1]) or UNKNOWN, route.path)


def named(route: Route[Any, Any]) -> str:
    return f"{route.method} {route.path}"


def needing(*needs: Need) -> list[Route[Any, Any]]:
    return [route for route in DECLARED if route.needs in needs]


SIGN_OUT = ("DELETE", "/v1/session")

SCOPED = [route for route in DECLARED if route.needs not in {*BY_NO_KEY, Need.EDGE}]

CHECKED = [route for route in DECLARED if route.needs not in (Need.JOIN, Need.SIGN_IN)]


@pytest.mark.parametrize("who", [None, "malformed", "unknown", "expired", "revoked"])
@pytest.mark.parametrize("route", [route for route in DECLARED if route.needs is not Need.SIGN_IN], ids=named)
def test_without_a_key_that_counts_nothing_but_health_is_told(
    world: World, route: Route[Any, Any], who: str | None
) -> None:
    answer = world.call(who or "", route.method, filled(route, world.ours), headers=world.ours.edge.headers)
    if route.needs is Need.ANYBODY:
        assert answer.status_code == 200
        return
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert "Basic" in answer.headers["WWW-Authenticate"]
    assert not any(mark in answer.content for mark in world.ours.marks)


@pytest.mark.parametrize("route", CHECKED, ids=named)
def test_who_is_not_signed_in_any_more_is_told_nothing_but_health(world: World, route: Route[Any, Any]) -> None:
    for who in (*ENDED, "empty", "made up"):
        cookie = world.cookies.get(who, "" if who == "empty" else f"{'0' * 16}.{'0' * 64}")
        headers = {**world.ours.edge.headers, **sent(cookie), CSRF_HEADER: csrf_token(cookie)}
        answer = world.server.call(route.method, filled(route, world.ours), headers=headers)
        if route.needs is Need.ANYBODY:
            assert answer.status_code == 200
        else:
            assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated"), who
        assert not any(mark in answer.content for mark in world.ours.marks)


@pytest.mark.parametrize("route", [route for route in CHECKED if route.method not in SAFE_METHODS], ids=named)
def test_by_a_cookie_alone_nothing_is_changed(world: World, route: Route[Any, Any]) -> None:
    others = csrf_token(world.cookies["user operator"])
    for token in ({}, {CSRF_HEADER: ""}, {CSRF_HEADER: others}, {CSRF_HEADER: others[:-1]}):
        headers = {**world.ours.edge.headers, **sent(world.cookies["user admin"]), **token}
        answer = world.server.call(route.method, filled(route, world.ours), headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "csrf_token")
    assert world.call("user admin", "GET", "/v1/session").status_code == 200


WHO = [(role.value, role) for role in Role] + [(f"user {role}", role) for role in users.ROLES]


@pytest.mark.parametrize(("who", "role"), WHO, ids=[who for who, _ in WHO])
@pytest.mark.parametrize("route", CHECKED, ids=named)
def test_a_role_may_do_what_it_is_for_and_nothing_else(
    world: World, route: Route[Any, Any], who: str, role: Role
) -> None:
    answer = world.call(who, route.method, filled(route, None), headers=world.ours.edge.headers)
    allowed = route.needs is Need.ANYBODY or route.needs in SCOPES[role]
    assert (answer.status_code == 403) is not allowed
    assert answer.status_code != 401
    if not allowed:
        assert answer.json()["code"] == "forbidden"
        assert route.needs in answer.json()["remedy"]
    if who in world.cookies and (route.method, route.path) == SIGN_OUT:
        assert answer.status_code == 204
        world.sign_in_again(who)


@pytest.mark.parametrize("who", ["theirs", "their admin"])
@pytest.mark.parametrize("route", SCOPED, ids=named)
def test_ids_of_another_site_are_answered_like_unknown_ones(world: World, route: Route[Any, Any], who: str) -> None:
    if route.within is None:
        answer = world.call(who, route.method, filled(route, world.ours))
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    elif "{" in route.path:
        # By a key one has no sign-ins at all.
        if "sign-ins" in route.path and who not in world.cookies:
            return
        real, made_up = (world.call(who, route.method, filled(route, t)) for t in (world.ours, None))
        assert (real.status_code, made_up.status_code) == (404, 404)
        assert blanked(real) == blanked(made_up)


def blanked(answer: requests.Response) -> str:
    """An answer without the ids that were asked for."""
    text = answer.text
    for part in (answer.request.path_url or "").split("/"):
        text = text.replace(part, "") if len(part) > 20 or part.startswith("edge-") else text
    return text


@pytest.mark.parametrize("route", needing(Need.EDGE), ids=named)
def test_an_edge_does_not_call_by_a_key_of_another_site(world: World, route: Route[Any, Any]) -> None:
    answer = world.call("wrong edge", route.method, filled(route, world.ours), headers=world.ours.edge.headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


def test_a_key_is_sent_as_a_password_too_whoever_the_user(world: World) -> None:
    for user in ("", "anybody", "rollcall"):
        basic = base64.b64encode(f"{user}:{world.keys['viewer']}".encode()).decode()
        assert world.server.get("/v1/sites", headers={"Authorization": f"Basic {basic}"}).status_code == 200


@pytest.mark.parametrize("header", ["", "Bearer", "Basic !", "Basic eA==", "Digest x", "Bearer " + "x" * 5000])
def test_no_authorization_header_is_read_as_one_that_counts(world: World, header: str) -> None:
    assert world.server.get("/v1/sites", headers={"Authorization": header}).status_code == 401


def test_a_typo_is_told_from_a_key_that_is_not_known(world: World) -> None:
    def detail(who: str) -> str:
        return str(world.call(who, "GET", "/v1/sites").json()["detail"])

    assert "mistyped" in detail("malformed")
    assert "not known" in detail("unknown")
    assert "revoked" in detail("revoked")
    assert "expired" in detail("expired")


def test_a_route_that_does_not_say_what_its_caller_needs_stops_the_start() -> None:
    from starlette.routing import Route as WebRoute

    async def endpoint(_request: Any) -> None: ...

    with pytest.raises(TypeError, match="does not declare"):
        check_declared([WebRoute("/x", endpoint)])
    with pytest.raises(TypeError, match="does not declare"):
        Route("GET", "/x", endpoint, None, {})  # type: ignore[arg-type]


def test_an_edges_key_becomes_that_edges_and_no_others(world: World, wait_for: Any) -> None:
    text = make(world.server, Role.EDGE, sites=[world.ours.site])
    hello = wire.encode(wire.Hello(name="box", site=None, version="1", engine="sface", cameras=[]))

    def introduce(edge_id: str) -> requests.Response:
        headers = {wire.EDGE_HEADER: edge_id, wire.WIRE_HEADER: str(wire.WIRE), "Content-Type": wire.MSGPACK}
        answer: requests.Response = world.server.call(
            "PUT", f"/v1/edges/{edge_id}", data=hello, headers={**headers, **bearer(text)}
        )
        return answer

    first = introduce("edge-first")
    assert wire.decode(first.content, wire.Welcome).site_id == world.ours.site
    assert introduce("edge-first").status_code == 200
    assert introduce("edge-second").status_code in (403, 409)
    assert introduce(world.theirs.edge.id).status_code in (403, 409)

    def ask(edge_id: str) -> int:
        headers = {wire.EDGE_HEADER: edge_id, wire.WIRE_HEADER: str(wire.WIRE), **bearer(text)}
        return int(world.server.get("/v1/edge/galleries", headers=headers).status_code)

    wait_for(lambda: ask(world.ours.edge.id) == 403)
    assert ask("edge-first") == 200


def test_use_is_noted_once_a_minute(world: World, wait_for: Any) -> None:
    text = make(world.server, Role.VIEWER)

    def last_used() -> Any:
        with world.server.database.read() as connection:
            return next(k.last_used_at for k in keys.listing(connection) if k.id == keys.id_of(text))

    world.server.get("/v1/sites", headers=bearer(text))
    noted = wait_for(last_used)
    for _ in range(5):
        world.server.get("/v1/sites", headers=bearer(text))
    assert last_used() == noted


def test_revoking_takes_effect_within_a_second(world: World, wait_for: Any) -> None:
    text = make(world.server, Role.VIEWER)
    revoke(world.server, text)
    wait_for(lambda: world.server.get("/v1/sites", headers=bearer(text)).status_code == 401, 1.0)


@pytest.mark.parametrize("end", ["revoked", "expired"])
@pytest.mark.parametrize("protocols", [(), (wire.WATCH_PROTOCOL,)])
def test_a_socket_ends_with_its_key(world: World, end: str, protocols: tuple[str, ...]) -> None:
    # Until then it has to be known, and the socket open.
    expires_at = utcnow() + timedelta(seconds=3) if end == "expired" else None
    text = make(world.server, Role.VIEWER, expires_at=expires_at)
    socket = world.server.socket("/ws/face-stream", *protocols, headers=bearer(text))
    ends_at = expires_at or utcnow()
    if end == "revoked":
        revoke(world.server, text)
    close, _ = ended(socket)
    assert timedelta(0) <= utcnow() - ends_at < timedelta(seconds=1)
    assert (close.code, close.reason) == (4401, f"this key {'was revoked' if end == 'revoked' else 'has expired'}")


def test_an_edges_link_ends_with_its_key(world: World) -> None:
    text = make(world.server, Role.EDGE, sites=[world.ours.site])
    headers = {**world.ours.edge.headers, **bearer(text)}
    link = world.server.socket("/v1/edge/link", wire.LINK_PROTOCOL, headers=headers)
    began = time.monotonic()
    revoke(world.server, text)
    assert ended(link)[0].code == 4401
    assert time.monotonic() - began < 1.0


@pytest.mark.parametrize(
    ("path", "who", "status"),
    [
        ("/ws/face-stream", None, 401),
        ("/ws/face-stream", "malformed", 401),
        ("/ws/face-stream", "revoked", 401),
        ("/ws/face-stream", "expired", 401),
        ("/ws/face-stream", "edge", 403),
        ("/v1/edge/link", None, 401),
        ("/v1/edge/link", "admin", 403),
        ("/v1/edge/link", "wrong edge", 403),
    ],
)
def test_a_socket_opens_for_the_right_key_only(world: World, path: str, who: str | None, status: int) -> None:
    protocol = wire.LINK_PROTOCOL if "edge" in path else wire.WATCH_PROTOCOL
    headers = {**world.ours.edge.headers, **bearer(world.keys.get(who or ""))}
    with pytest.raises(InvalidStatus) as refused:
        world.server.socket(path, protocol, headers=headers)
    assert refused.value.response.status_code == status


def test_a_watcher_of_one_site_is_told_its_own_events_as_they_happen_and_no_others(world: World, event: Any) -> None:
    def happen(tenant: Tenant, who: str) -> str:
        made = event(camera=tenant.names[3])
        batch = wire.EventBatch([msgspec.Raw(wire.encode(made))])
        assert tenant.edge.call("POST", "/v1/events", batch, headers=bearer(world.keys[who])).status_code == 200
        return str(made.id)

    with world.server.socket("/ws/face-stream", wire.WATCH_PROTOCOL, headers=bearer(world.keys["theirs"])) as socket:
        head = world.call("admin", "GET", "/v1/events", params={"order": "newest", "limit": "1"}).json()["items"][0]
        socket.send(f'{{"type": "events", "after": {head["position"]}}}')
        hidden = [happen(world.ours, "edge") for _ in range(3)]
        shown = happen(world.theirs, "wrong edge")
        hidden += [happen(world.ours, "edge")]
        last = happen(world.theirs, "wrong edge")
        seen = ""
        while last not in seen:
            seen += socket.recv(timeout=10)
    assert shown in seen
    assert not any(one in seen for one in hidden)
    assert not any(mark in seen.encode() for mark in world.ours.marks)


def ticket(world: World, who: str) -> str:
    return str(world.call(who, "POST", "/v1/tickets").json()["subprotocol"])


def test_a_ticket_opens_one_socket_for_the_bearer_of_the_key(world: World) -> None:
    text = ticket(world, "theirs")
    with world.server.socket("/ws/face-stream", wire.WATCH_PROTOCOL, text) as socket:
        assert socket.subprotocol == wire.WATCH_PROTOCOL
        cameras = socket.recv(timeout=10)
        assert world.theirs.names[3] in cameras
        assert world.ours.names[3] not in cameras
    with pytest.raises(InvalidStatus) as refused:
        world.server.socket("/ws/face-stream", wire.WATCH_PROTOCOL, text)
    assert refused.value.response.status_code == 401


@pytest.mark.parametrize("text", ["", "0" * 40, "x" * 2000])
def test_no_ticket_is_made_up(world: World, text: str) -> None:
    headers = bearer(world.keys["admin"])
    with pytest.raises(InvalidStatus) as refused:
        world.server.socket("/ws/face-stream", wire.WATCH_PROTOCOL, "rollcall.ticket." + text, headers=headers)
    assert refused.value.response.status_code == 401


def test_a_ticket_is_worth_no_more_than_its_key(world: World, wait_for: Any) -> None:
    revoked = make(world.server, Role.VIEWER)
    text = world.server.post("/v1/tickets", headers=bearer(revoked)).json()["subprotocol"]
    revoke(world.server, revoked)
    wait_for(lambda: world.server.get("/v1/sites", headers=bearer(revoked)).status_code == 401)
    with pytest.raises(InvalidStatus) as refused:
        world.server.socket("/ws/face-stream", wire.WATCH_PROTOCOL, text)
    assert refused.value.response.status_code == 401
    with pytest.raises(InvalidStatus) as refused:
        world.server.socket(
            "/v1/edge/link", wire.LINK_PROTOCOL, ticket(world, "admin"), headers=world.ours.edge.headers
        )
    assert refused.value.response.status_code == 403


def test_a_watcher_of_one_site_sees_nothing_of_another(world: World) -> None:
    with world.server.socket("/ws/face-stream", wire.WATCH_PROTOCOL, headers=bearer(world.keys["theirs"])) as socket:
        socket.send('{"type": "events", "after": 0}')
        seen = b""
        while world.theirs.event.encode() not in seen:
            seen += socket.recv(timeout=10).encode()
        assert not any(mark in seen for mark in world.ours.marks)
        lens = {"type": "watch", "edge": world.ours.edge.id, "camera": world.ours.names[3]}
        socket.send(msgspec.json.encode(lens).decode())
        close, sent = ended(socket)
        assert close.code == 4404
        assert not any(mark in sent for mark in world.ours.marks)


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/v1/identities", {"name": "person-of"}),
        ("/v1/identities", {"gallery": "gallery"}),
        ("/v1/identities", {"external_id": "external_id"}),
        ("/v1/events", {"site": "site"}),
        ("/v1/events", {"identity": "person"}),
        ("/v1/events", {"gallery": "gallery", "order": "newest"}),
        ("/v1/edges", {"site": "site"}),
        ("/v1/galleries", {}),
        ("/v1/sites", {}),
        ("/v1/alarms", {}),
    ],
)
def test_no_filter_finds_anything_of_another_site(world: World, path: str, asked: dict[str, str]) -> None:
    values = {"external_id": f"ext-{world.ours.names[2]}"}
    params = {k: values.get(v) or getattr(world.ours, v, v) for k, v in asked.items()}
    everything = world.call("admin", "GET", path, params=params).content
    assert any(mark in everything for mark in world.ours.marks)
    answer = world.call("theirs", "GET", path, params=params)
    assert answer.status_code == 200
    assert not any(mark in answer.content for mark in world.ours.marks)


def test_exports_and_attendance_are_of_the_keys_sites(world: World) -> None:
    for kind in ("csv", "ndjson"):
        told = world.call("theirs", "GET", "/v1/events/export", params={"format": kind}).content
        assert world.theirs.event.encode() in told
        assert not any(mark in told for mark in world.ours.marks)
    for site, status in ((world.theirs.site, 200), (world.ours.site, 404), ("default", 404)):
        answer = world.call("theirs", "GET", "/v1/attendance", params={"day": "2026-01-01", "site": site})
        assert answer.status_code == status


def test_nobody_is_searched_or_corrected_by_what_is_another_sites(world: World) -> None:
    photo = {"image": ("x.jpg", b"\xff\xd8\xff")}
    for lists in (world.ours.gallery, f"{world.theirs.gallery},{world.ours.gallery}", "", UNKNOWN):
        answer = world.call("theirs", "POST", "/v1/identify", params={"galleries": lists}, files=photo)
        assert answer.status_code == 404
    path = f"/v1/identities/{world.theirs.person}/corrections"
    assert world.call("theirs", "POST", path, json={"event_id": world.ours.event}).status_code == 404
    assert world.call("admin", "POST", path, json={"event_id": world.ours.event}).status_code == 409


def test_a_person_of_two_sites_is_shown_without_the_other_and_not_changed(world: World) -> None:
    now = utcnow()
    with world.server.database.write() as connection:
        person = identities.create(connection, "of both", [world.theirs.gallery], now)
        members.join(connection, world.ours.gallery, person, now)
    found = world.call("theirs", "GET", f"/v1/identities/{person}").json()
    assert found["galleries"] == [world.theirs.gallery]
    for method, options in (("PATCH", {"json": {"name": "x"}}), ("DELETE", {})):
        assert world.call("theirs", method, f"/v1/identities/{person}", **options).status_code == 409
    assert world.call("admin", "DELETE", f"/v1/identities/{person}").status_code == 204


def test_nobody_is_enrolled_where_the_key_does_not_reach(world: World) -> None:
    for lists in ([world.ours.gallery], [world.theirs.gallery, world.ours.gallery], ["default"], [UNKNOWN]):
        answer = world.call("theirs", "POST", "/v1/identities", json={"name": "Eve", "galleries": lists})
        assert answer.status_code == 404
    assert world.call("theirs", "POST", "/v1/identities", json={"name": "Eve", "galleries": []}).status_code == 400


def test_the_originals_endpoints_are_shut_to_who_does_not_follow_the_default_gallery(world: World) -> None:
    assert world.call("theirs", "GET", "/faces").status_code == 404
    files = {"image": ("x.jpg", b"\xff\xd8\xff")}
    assert world.call("theirs", "POST", "/register", data={"name": "x"}, files=files).status_code == 404
    assert world.call("theirs", "POST", "/unregister", data={"name": "x"}).status_code == 404


def state_of(world: World, tenant: Tenant) -> list[Any]:
    """What an administrator sees of a tenant."""
    shown = [
        world.call("admin", "GET", f"/v1/{kind}/{key}").json()
        for kind, key in tenant.ids.items()
        if kind not in ("alarms", "edges")
    ]
    alarms = [a for a in world.call("admin", "GET", "/v1/alarms").json()["items"] if a["id"] == tenant.alarm]
    return [*shown, alarms, world.call("admin", "GET", f"/v1/identities/{tenant.person}/photos").json()]


def random_request(chance: random.Random, world: World) -> tuple[str, str, dict[str, Any]]:
    """A route with ids of both sites, parameters and a body, all of them at random."""
    ours, theirs = world.ours, world.theirs
    pool = [*ours.ids.values(), *theirs.ids.values(), ours.photo, theirs.photo, UNKNOWN, "default"]

    def one() -> str:
        return chance.choice(pool)

    route = chance.choice(SCOPED)
    path = filled(route, chance.choice((ours, theirs)))
    path = "/".join(one() if len(part) > 20 and chance.random() < 0.3 else part for part in path.split("/"))
    asked = {
        name: chance.choice((one(), chance.choice(ours.names), "1", "2026-01-01"))
        for name in (
            "site",
            "gallery",
            "edge",
            "identity",
            "name",
            "external_id",
            "after",
            "day",
            "galleries",
            "camera",
        )
        if chance.random() < 0.15
    }
    bodies: tuple[dict[str, Any], ...] = (
        {"name": "x", "galleries": [one()]},
        {"name": "x"},
        {"event_id": chance.choice((ours.event, theirs.event))},
        {"from": one()},
        {"by": "me"},
        {"cameras": {chance.choice((ours.names[3], theirs.names[3])): "in"}},
        # Taken, or harmless: what they wrote themselves they may read.
        {"external_id": chance.choice((f"ext-{ours.names[2]}", UNKNOWN))},
    )
    options: dict[str, Any] = {"params": asked}
    if route.method in ("POST", "PATCH", "PUT"):
        options["json"] = chance.choice(bodies)
    return route.method, path, options


THEIRS = ("theirs", *(f"their {role}" for role in users.ROLES))


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("count", [400, pytest.param(20_000, marks=pytest.mark.soak)])
def test_random_requests_with_swapped_ids_show_and_change_nothing_of_the_other_site(world: World, count: int) -> None:
    chance = random.Random(7)
    before = state_of(world, world.ours)
    for number in range(count):
        method, path, options = random_request(chance, world)
        if method == "DELETE" and (world.theirs.person in path or path == f"/v1/edges/{world.theirs.edge.id}"):
            continue
        who = chance.choice(THEIRS)
        answer = world.call(who, method, path, **options)
        told = answer.content + str(answer.headers).encode()
        asked = (answer.request.url or "").encode() + (answer.request.body or b"")
        leaked = [mark for mark in world.ours.marks if mark in told and mark not in asked]
        assert answer.status_code < 500
        assert not leaked, (number, who, method, path, options, answer.text)
        if who in world.cookies and (method, path) == SIGN_OUT:
            world.sign_in_again(who)
        else:
            assert answer.status_code != 401
    assert state_of(world, world.ours) == before
