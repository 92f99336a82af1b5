from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from argon2 import PasswordHasher
from websockets.exceptions import ConnectionClosed

from control_plane.api import session
from control_plane.auth import SCOPES
from control_plane.cookies import CSRF_HEADER
from control_plane.passwords import Passwords
from control_plane.store import sign_ins, users
from control_plane.store.db import Database, utcnow
from control_plane.store.keys import Role
from control_plane.store.tables import sign_ins as rows
from control_plane.tries import FREE
from faces.wire import WATCH_PROTOCOL

GOOD = "correct horse battery"
OTHER = "staple under the door"


@pytest.fixture(scope="module")
def server(fresh: Callable[[Path], Database], running: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("signin")
    with running(fresh(folder), folder) as server:
        for name, role in (("Ann", Role.ADMIN), ("Bob", Role.OPERATOR), ("Eve", Role.VIEWER)):
            server.user(name, role, None if role is Role.ADMIN else ["default"])
        server.page("Ann")
        yield server


def sign_in(server: Any, name: str, password: str, **headers: str) -> requests.Response:
    answer: requests.Response = server.post("/v1/session", json={"name": name, "password": password}, headers=headers)
    server.http.cookies.clear()
    return answer


def closed(socket: Any) -> tuple[int, float]:
    """The code that a socket was closed with, and how long that took."""
    began = time.monotonic()
    try:
        while True:
            socket.recv(timeout=10)
    except ConnectionClosed as ended:
        return ended.rcvd.code if ended.rcvd else 1006, time.monotonic() - began


def test_whoever_signs_in_is_told_who_they_are_and_goes_on_by_the_cookie(server: Any) -> None:
    page = server.page("bob")
    told = page.call("GET", "/v1/session").json()
    bob = next(u for u in server.page("Ann").call("GET", "/v1/users").json()["items"] if u["name"] == "Bob")
    assert told == {
        "name": "Bob",
        "role": "operator",
        "sites": ["default"],
        "user_id": bob["id"],
        "csrf": page.csrf,
        "may": sorted(SCOPES[Role.OPERATOR]),
    }
    assert bob["signed_in_at"] is not None
    assert "password" not in bob
    assert page.call("GET", "/v1/sites").status_code == 200
    assert page.call("GET", "/v1/users").status_code == 403


def test_the_cookie_is_for_no_script_and_no_other_site(server: Any) -> None:
    header = sign_in(server, "Ann", GOOD).headers["Set-Cookie"]
    name, *flags = header.split("; ")
    assert name.startswith("rollcall=")
    assert {flag.lower() for flag in flags} == {"httponly", "max-age=604800", "path=/", "samesite=strict"}


@pytest.mark.parametrize(("name", "password"), [("Ann", OTHER), ("Nobody", GOOD), ("Nobody", OTHER), ("", "")])
def test_a_wrong_password_and_an_unknown_name_are_told_alike(server: Any, name: str, password: str) -> None:
    answer = sign_in(server, name, password)
    assert (answer.status_code, answer.json()["detail"]) == (401, "the name or the password is wrong")
    assert "Set-Cookie" not in answer.headers


def test_a_page_of_another_origin_signs_nobody_in_and_neither_does_a_form(server: Any) -> None:
    assert sign_in(server, "Ann", GOOD, Origin="http://evil.org").json()["code"] == "foreign_origin"
    form = server.post("/v1/session", data={"name": "Ann", "password": GOOD})
    assert (form.status_code, form.json()["code"]) == (415, "unsupported_media_type")


def test_a_script_is_not_answered_with_a_window_of_the_browsers_own(server: Any) -> None:
    asked = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin"}
    assert server.get("/v1/session", headers=asked).headers["WWW-Authenticate"].startswith("Bearer")
    assert server.get("/v1/session").headers["WWW-Authenticate"].startswith("Basic")


def test_signing_out_ends_this_sign_in_alone_and_its_sockets(server: Any) -> None:
    here, there = server.page("Bob"), server.page("Bob")
    with here.socket(WATCH_PROTOCOL) as ending, there.socket(WATCH_PROTOCOL) as going_on:
        cookie = here.cookie
        answer = here.call("DELETE", "/v1/session")
        assert answer.status_code == 204
        code, took = closed(ending)
        assert (code, took < 1.0) == (4401, True)
        assert here.call("GET", "/v1/session", headers={"Cookie": cookie}).status_code == 401
        assert there.call("GET", "/v1/session").status_code == 200
        going_on.ping().wait(5)


@pytest.mark.parametrize("how", ["disabled", "password", "role", "ended"])
def test_whoever_may_no_more_is_out_within_a_second_wherever_they_are(server: Any, how: str) -> None:
    name = f"Short {how}"
    user_id = server.user(name)
    admin, page = server.page("Ann"), server.page(name)
    with page.socket(WATCH_PROTOCOL) as socket:
        if how == "ended":
            other = server.page(name)
            (found,) = (s for s in other.call("GET", "/v1/sign-ins").json()["items"] if not s["current"])
            assert other.call("DELETE", f"/v1/sign-ins/{found['id']}").status_code == 204
        else:
            told = {"disabled": {"disabled": True}, "password": {"password": OTHER}, "role": {"role": "operator"}}
            assert admin.call("PATCH", f"/v1/users/{user_id}", json=told[how]).status_code == 200
        code, took = closed(socket)
    assert (code, took < 1.0) == (4401, True)
    assert page.call("GET", "/v1/session").status_code == 401
    assert sign_in(server, name, GOOD).status_code == (401 if how in ("disabled", "password") else 201)


def test_a_disabled_user_is_told_so_only_by_the_right_password_and_may_come_back(server: Any) -> None:
    user_id, admin = server.user("Gone"), server.page("Ann")
    admin.call("PATCH", f"/v1/users/{user_id}", json={"disabled": True})
    assert "disabled" in sign_in(server, "Gone", GOOD).json()["detail"]
    assert "disabled" not in sign_in(server, "Gone", OTHER).json()["detail"]
    admin.call("PATCH", f"/v1/users/{user_id}", json={"disabled": False})
    assert sign_in(server, "Gone", GOOD).status_code == 201


def test_one_changes_ones_own_password_and_stays_where_one_is(server: Any, wait_for: Any) -> None:
    server.user("Changing")
    here, there = server.page("Changing"), server.page("Changing")
    wrong = here.call("PUT", "/v1/session/password", json={"old": OTHER, "new": OTHER})
    assert (wrong.status_code, wrong.json()["detail"]) == (400, "the old password is wrong")
    weak = here.call("PUT", "/v1/session/password", json={"old": GOOD, "new": "short"})
    assert (weak.status_code, "12 to 200" in weak.json()["remedy"]) == (400, True)
    assert here.call("PUT", "/v1/session/password", json={"old": GOOD, "new": OTHER}).status_code == 204
    assert here.call("GET", "/v1/session").status_code == 200
    wait_for(lambda: there.call("GET", "/v1/session").status_code == 401, 1.0)
    assert sign_in(server, "Changing", GOOD).status_code == 401
    assert sign_in(server, "Changing", OTHER).status_code == 201


@pytest.mark.parametrize("how", ["password", "disabled"])
def test_a_sign_in_that_was_under_way_does_not_outlive_a_change(
    server: Any, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    user_id, fits = server.user(f"Under way {how}"), Passwords.fits

    def changed_meanwhile(self: Passwords, password: str, hashed: str | None) -> bool:
        found = fits(self, password, hashed)
        with server.database.write() as connection:
            if how == "password":
                users.set_password(connection, user_id, self.hashed(OTHER))
            else:
                users.disable(connection, user_id, utcnow())
        return found

    monkeypatch.setattr(Passwords, "fits", changed_meanwhile)
    refused = sign_in(server, f"Under way {how}", GOOD)
    assert (refused.status_code, "just been changed" in refused.json()["detail"]) == (401, how == "password")
    with server.database.read() as connection:
        assert not [s for s in sign_ins.by_id(connection).values() if s.user_id == user_id]


def test_one_sees_and_ends_ones_own_sign_ins_and_nobody_elses(server: Any) -> None:
    here, bobs = server.page("Eve"), server.page("Bob")
    (mine,) = (s for s in here.call("GET", "/v1/sign-ins").json()["items"] if s["current"])
    assert mine["address"] == "127.0.0.1"
    assert "python-requests" in mine["agent"]
    (other,) = (s for s in bobs.call("GET", "/v1/sign-ins").json()["items"] if s["current"])
    assert here.call("DELETE", f"/v1/sign-ins/{other['id']}").status_code == 404
    assert bobs.call("GET", "/v1/session").status_code == 200


def test_a_name_that_is_tried_too_often_has_to_wait_and_says_how_long(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "time", SimpleNamespace(monotonic=lambda: 0.0))
    answers = [sign_in(server, "Tried", OTHER) for _ in range(FREE + 1)]
    assert [a.status_code for a in answers] == [401] * FREE + [429]
    assert answers[-1].json()["code"] == "too_many_requests"
    assert int(answers[-1].headers["Retry-After"]) >= 1
    assert sign_in(server, "Eve", GOOD).status_code == 201


def test_a_password_is_hashed_anew_when_the_parameters_have_changed(server: Any) -> None:
    with server.database.write() as connection:
        weak = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash(GOOD)
        users.create(connection, "Old", Role.VIEWER, weak, utcnow())
    assert sign_in(server, "Old", GOOD).status_code == 201
    with server.database.read() as connection:
        known = users.named(connection, "Old")
    assert known is not None
    assert not PasswordHasher().check_needs_rehash(known.password)
    assert sign_in(server, "Old", GOOD).status_code == 201


def test_a_sign_in_that_another_process_made_counts_at_once(server: Any) -> None:
    with server.database.write() as connection:
        user = users.named(connection, "Eve")
        assert user is not None
        lasting = server.config.lasting
        cookies = [sign_ins.create(connection, user.user.id, utcnow(), lasting) for _ in range(5)]
    for cookie in cookies:
        assert server.get("/v1/session", headers={"Cookie": f"rollcall={cookie}"}).status_code == 200


def test_use_is_noted_so_that_a_sign_in_goes_on(server: Any, wait_for: Any) -> None:
    page = server.page("Eve")
    sign_in_id = page.cookie.partition("=")[2].partition(".")[0]
    with server.database.write() as connection:
        held = sign_ins.by_id(connection)[sign_in_id]
        moved = {"used_at": held.used_at - sign_ins.USED_EVERY, "idle_at": held.idle_at - sign_ins.USED_EVERY}
        connection.execute(rows.update().where(rows.c.id == sign_in_id).values(**moved))

    def used() -> bool:
        page.call("GET", "/v1/session")
        with server.database.read() as connection:
            return sign_ins.by_id(connection)[sign_in_id].idle_at > moved["idle_at"]

    wait_for(used)


def test_a_ticket_of_a_signed_in_page_opens_one_socket(server: Any) -> None:
    page = server.page("Eve")
    assert page.call("POST", "/v1/tickets", headers={CSRF_HEADER: "wrong"}).json()["code"] == "csrf_token"
    ticket = page.call("POST", "/v1/tickets").json()["subprotocol"]
    with server.socket("/ws/face-stream", WATCH_PROTOCOL, ticket) as socket:
        page.call("DELETE", "/v1/session")
        assert closed(socket)[0] == 4401


def test_while_everything_is_open_whoever_asks_is_an_administrator_without_a_name(
    fresh: Callable[[Path], Database], running: Any, tmp_path: Path
) -> None:
    with running(fresh(tmp_path), tmp_path) as server:
        told = server.get("/v1/session").json()
        may = sorted(SCOPES[Role.ADMIN])
        assert told == {"name": "", "role": "admin", "sites": None, "user_id": None, "csrf": "", "may": may}
        assert server.call("DELETE", "/v1/session").status_code == 409
        assert sign_in(server, "Ann", GOOD).status_code == 401


def test_who_signs_in_and_who_fails_to_is_in_the_audit_log(server: Any, wait_for: Any) -> None:
    user_id = server.user("Watched")
    sign_in(server, "Watched", OTHER)
    sign_in(server, "Nobody at all", OTHER)
    page = server.page("Watched")
    page.call("DELETE", "/v1/session")
    admin = server.page("Ann")

    def told(action: str) -> list[tuple[str, str, str]]:
        rows = admin.call("GET", "/v1/audit", params={"action": action, "order": "newest", "limit": 5}).json()["items"]
        return [(r["actor"], r["resource_id"], r["outcome"]) for r in rows if r["address"] == "127.0.0.1"]

    mine = f"user:{user_id}"
    failed = {("nobody", user_id, "unauthenticated"), ("nobody", None, "unauthenticated")}
    wait_for(lambda: failed <= set(told("user.sign_in")))
    assert (mine, user_id, "done") in told("user.sign_in")
    assert told("user.sign_out")[0][0] == mine
