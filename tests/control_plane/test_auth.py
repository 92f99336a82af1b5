from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from websockets.exceptions import InvalidStatus

from control_plane.auth import (
    EDGE,
    EVENTS_READ,
    JOIN,
    PEOPLE_READ,
    PEOPLE_WRITE,
    SCOPES,
    SESSION,
    SIGN_IN,
    Caller,
    Gate,
    Need,
    presented,
)
from control_plane.cookies import CSRF_HEADER, csrf_token
from control_plane.problems import Forbidden, ForeignOrigin, NoCsrfToken, Unauthenticated
from control_plane.store import sign_ins
from control_plane.store.access import Access
from control_plane.store.keys import Key, Role, check_sum, digest, id_of
from control_plane.store.sign_ins import SignIn
from control_plane.store.tickets import Bearer
from control_plane.store.users import User
from faces.wire import EDGE_HEADER, WIRE, WIRE_HEADER


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({}, 400, "invalid"),
        ({EDGE_HEADER: "e1"}, 400, "invalid"),
        ({EDGE_HEADER: "e1", WIRE_HEADER: "one"}, 400, "invalid"),
        ({EDGE_HEADER: "../x", WIRE_HEADER: str(WIRE)}, 400, "invalid"),
        ({EDGE_HEADER: "e" * 65, WIRE_HEADER: str(WIRE)}, 400, "invalid"),
        ({EDGE_HEADER: "e1", WIRE_HEADER: str(WIRE + 1)}, 426, "wire_version"),
        ({EDGE_HEADER: "e1", WIRE_HEADER: "0"}, 426, "wire_version"),
    ],
)
def test_an_edge_names_itself_and_speaks_a_common_wire(
    server: Any, headers: dict[str, str], status: int, code: str
) -> None:
    response = server.get("/v1/edge/galleries", headers=headers)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert code != "wire_version" or response.json()["remedy"]


def test_an_edge_of_a_newer_wire_gets_no_link(server: Any) -> None:
    headers = {EDGE_HEADER: "e1", WIRE_HEADER: str(WIRE + 1)}
    with pytest.raises(InvalidStatus) as error:
        server.socket("/v1/edge/link", "rollcall.edge.v1", headers=headers)
    assert error.value.response.status_code == 426


NOW = datetime(2026, 1, 1, tzinfo=UTC)
TEXT = "rc_000000000001_" + "a" * 40
TEXT += check_sum(TEXT)


def a_key(role: Role, **fields: Any) -> Key:
    values = {"name": "", "sites": None, "edge_id": None, "created_at": NOW, "expires_at": None, "revoked_at": None}
    return Key(**{"id": id_of(TEXT), "role": role, "sha256": digest(TEXT), "last_used_at": None, **values, **fields})


def gate(*held: Key | User | SignIn, open_without: bool = True) -> Gate:
    def of(kind: type) -> Any:
        return {one.id: one for one in held if isinstance(one, kind)}

    return Gate(lambda: Access(of(Key), of(User), of(SignIn)), lambda: NOW, open_without=open_without)


def request(method: str = "GET", **headers: str) -> HTTPConnection:
    """A request with these headers; the method `WS` is a WebSocket's handshake."""
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in {"host": "h", **headers}.items()]
    kind, scheme = ("websocket", "ws") if method == "WS" else ("http", "http")
    return HTTPConnection({"type": kind, "scheme": scheme, "method": method, "headers": raw})


def test_without_keys_everything_is_open_to_this_machine_and_nothing_to_others() -> None:
    assert gate().admit(request(), PEOPLE_READ).sites is None
    assert gate().admit(request(), EDGE).key is None
    with pytest.raises(Unauthenticated):
        gate(open_without=False).admit(request(), PEOPLE_READ)


def test_an_edges_key_alone_closes_nothing_and_any_other_does_even_when_it_counts_no_more() -> None:
    assert gate(a_key(Role.EDGE)).open
    for closing in (a_key(Role.VIEWER), a_key(Role.ADMIN, revoked_at=NOW), a_key(Role.ADMIN, expires_at=NOW)):
        assert not gate(closing).open


def test_a_key_counts_until_it_ends() -> None:
    headers = request(authorization=f"bearer {TEXT}")
    assert gate(a_key(Role.VIEWER, expires_at=NOW + timedelta(seconds=1))).admit(headers, PEOPLE_READ).key
    for ended in (a_key(Role.VIEWER, expires_at=NOW), a_key(Role.VIEWER, revoked_at=NOW)):
        with pytest.raises(Unauthenticated):
            gate(ended).admit(headers, PEOPLE_READ)


def test_the_id_alone_opens_nothing() -> None:
    other = TEXT.replace("a" * 40, "b" * 40)[: -len(check_sum(""))]
    with pytest.raises(Unauthenticated, match="not known"):
        gate(a_key(Role.ADMIN)).admit(request(authorization=f"Bearer {other}{check_sum(other)}"), PEOPLE_READ)


def test_two_authorization_headers_are_none() -> None:
    raw = [(b"authorization", f"Bearer {TEXT}".encode())] * 2
    with pytest.raises(Unauthenticated):
        presented(Headers(raw=raw))


def test_every_scope_is_some_roles_and_only_an_administrator_has_all() -> None:
    assert frozenset().union(*SCOPES.values()) == set(Need) - {JOIN, SIGN_IN}
    assert SCOPES[Role.ADMIN] == set(Need) - {EDGE, JOIN, SIGN_IN}
    assert all(not scopes >= SCOPES[Role.ADMIN] for role, scopes in SCOPES.items() if role is not Role.ADMIN)
    assert not any(need.endswith(":write") for need in SCOPES[Role.VIEWER])


def test_whoever_calls_has_a_word_that_stays_the_same() -> None:
    assert Caller().actor == "nobody"
    assert Caller(a_key(Role.ADMIN, name="Ann's")).actor == "key:000000000001"
    assert Caller(a_key(Role.EDGE)).actor == "key:000000000001"
    assert Caller(a_key(Role.EDGE, edge_id="e1")).actor == "edge:e1"
    assert Caller(user=ANN).actor == "user:u1"


COOKIE = f"{'1' * 16}.{'a' * 64}"
ANN = User(id="u1", name="Ann", role=Role.OPERATOR, sites=("s1",), created_at=NOW, disabled_at=None, signed_in_at=None)
HOUR = timedelta(hours=1)
HERE = SignIn(
    id="1" * 16,
    user_id="u1",
    sha256=sign_ins.digest(COOKIE),
    address="",
    agent="",
    created_at=NOW,
    used_at=NOW,
    idle_at=NOW + HOUR,
    expires_at=NOW + 2 * HOUR,
)


def test_whoever_is_signed_in_may_what_their_role_may_at_their_sites() -> None:
    caller = gate(ANN, HERE).admit(request(cookie=f"rollcall={COOKIE}"), PEOPLE_READ)
    assert (caller.user, caller.sites, caller.bearer) == (ANN, {"s1"}, Bearer(None, HERE.id))
    with pytest.raises(Forbidden, match="operator"):
        gate(ANN, HERE).admit(request(cookie=f"rollcall={COOKIE}"), Need.SITES_WRITE)


@pytest.mark.parametrize("cookie", ["", "x", COOKIE[:-1] + "b", COOKIE.upper(), "2" + COOKIE[1:], COOKIE + "a"])
def test_no_other_cookie_is_anybodys(cookie: str) -> None:
    with pytest.raises(Unauthenticated):
        gate(ANN, HERE).admit(request(cookie=f"rollcall={cookie}"), PEOPLE_READ)


def test_a_sign_in_ends_unused_at_its_last_moment_or_with_its_user() -> None:
    ended = (
        (ANN, replace(HERE, idle_at=NOW)),
        (ANN, replace(HERE, expires_at=NOW)),
        (replace(ANN, disabled_at=NOW), HERE),
        (ANN,),
        (HERE,),
    )
    for held in ended:
        with pytest.raises(Unauthenticated):
            gate(*held, open_without=False).admit(request(cookie=f"rollcall={COOKIE}"), PEOPLE_READ)
        with pytest.raises(Unauthenticated):
            gate(*held, open_without=False).bearer(Bearer(None, HERE.id), EVENTS_READ)
    assert gate(ANN, HERE).ends_at(Caller(user=ANN, sign_in=HERE)) == NOW + HOUR


def test_a_user_closes_everything_also_when_disabled() -> None:
    assert not gate(replace(ANN, disabled_at=NOW)).open


def test_a_cookie_changes_nothing_without_the_token_that_only_our_page_knows() -> None:
    cookie = f"rollcall={COOKIE}"
    held = gate(ANN, HERE)
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        for headers in ({}, {CSRF_HEADER: ""}, {CSRF_HEADER: COOKIE}, {CSRF_HEADER: "\xe9" * 64}):
            with pytest.raises(NoCsrfToken):
                held.admit(request(method, cookie=cookie, **headers), PEOPLE_WRITE)
        assert held.admit(request(method, cookie=cookie, **{CSRF_HEADER: csrf_token(COOKIE)}), PEOPLE_WRITE).user
    assert COOKIE.partition(".")[2] not in csrf_token(COOKIE)


@pytest.mark.parametrize(("origin", "opens"), [("http://h", True), ("HTTP://H", True), ("", False), ("null", False)])
def test_a_cookie_opens_a_socket_for_our_own_page_alone(origin: str, opens: bool) -> None:
    asked = request("WS", cookie=f"rollcall={COOKIE}", **({"origin": origin} if origin else {}))
    if opens:
        assert gate(ANN, HERE).admit(asked, EVENTS_READ).user
        return
    with pytest.raises(ForeignOrigin):
        gate(ANN, HERE).admit(asked, EVENTS_READ)


def test_a_key_goes_before_a_cookie_and_over_tls_only_the_cookie_counts_that_came_by_it() -> None:
    both = request(cookie=f"rollcall={COOKIE}", authorization=f"Bearer {TEXT}")
    assert gate(ANN, HERE, a_key(Role.ADMIN)).admit(both, SESSION).key
    encrypted = request(cookie=f"rollcall={COOKIE}")
    encrypted.scope["scheme"] = "https"
    with pytest.raises(Unauthenticated):
        gate(ANN, HERE).admit(encrypted, SESSION)
    named = request(cookie=f"__Host-rollcall={COOKIE}")
    named.scope["scheme"] = "https"
    assert gate(ANN, HERE).admit(named, SESSION).user
