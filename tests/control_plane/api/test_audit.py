from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from control_plane.api.route import UNAUDITED, Route
from control_plane.api.routes import ROUTES
from control_plane.auth import EDGE, SITES_READ
from control_plane.guard import SAFE_METHODS
from control_plane.store import audit, keys
from control_plane.store.chain import Row
from control_plane.store.db import Database, utcnow
from control_plane.store.keys import Role
from faces import wire


def rows(server: Any, **wanted: str) -> list[Row]:
    """The log's rows, as the store has them: asking for them would be a row of its own."""
    with server.database.read() as connection:
        return audit.listing(connection, limit=1000, wanted=audit.Wanted(**wanted))


def last(server: Any, wait_for: Any, action: str) -> Row:
    found: list[Row] = wait_for(lambda: rows(server, action=action))
    return found[-1]


def test_a_change_is_in_the_log_with_the_change_and_says_who_what_and_from_where(either: Any) -> None:
    person = either.post("/v1/identities", json={"name": "Ada Lovelace"}).json()["id"]
    (made,) = rows(either, action="identity.create")
    assert (made.actor, made.resource, made.resource_id, made.outcome) == ("nobody", "identity", person, "done")
    assert made.address == "127.0.0.1"
    assert made.request_id
    either.call("PATCH", f"/v1/identities/{person}", json={"name": "Ada King"})
    either.call("DELETE", f"/v1/identities/{person}")
    found = rows(either, concerning=person)
    assert [row.action for row in found] == ["identity.create", "identity.change", "identity.erase"]
    with either.database.read() as connection:
        assert audit.verify(connection) is None
    assert "Ada" not in str(rows(either))


def test_a_change_that_fails_leaves_its_error_and_none_of_the_words_that_it_was_asked_with(
    server: Any, wait_for: Any
) -> None:
    assert server.call("DELETE", "/v1/identities/Ada").status_code == 404
    failed = last(server, wait_for, "identity.erase")
    assert (failed.outcome, failed.resource_id) == ("not_found", None)
    assert server.post("/v1/identities", json={"name": ""}).status_code == 400
    assert last(server, wait_for, "identity.create").outcome == "invalid"


def test_looks_are_in_the_log_within_a_second(server: Any, jpeg: bytes, event: Any, wait_for: Any) -> None:
    person = server.person("Ada")
    photo = server.get(f"/v1/identities/{person}/photos").json()["items"][0]["id"]
    edge = server.edge()
    seen = event(identity_id=person, thumbnail=jpeg)
    edge.send(seen)
    before = len(rows(server))
    began = time.monotonic()
    assert server.get(f"/v1/identities/{person}/photos/{photo}").content == jpeg
    server.get("/v1/events", params={"identity": person})
    server.get("/v1/events", params={"identity": "Ada"})
    server.get(f"/v1/events/{seen.id}/thumbnail")
    server.get("/v1/events/export", params={"format": "ndjson"})
    server.get("/v1/attendance", params={"day": "2026-01-01"})
    server.get("/v1/audit")
    wait_for(lambda: len(rows(server)) >= before + 7, 1.0 + time.monotonic() - began)
    found = [(row.action, row.resource_id, row.other_id) for row in rows(server)[before:]]
    assert found == [
        ("identity.see_photo", person, photo),
        ("event.list", person, None),
        ("event.list", None, None),
        ("event.see_thumbnail", str(seen.id), None),
        ("event.export", None, None),
        ("attendance.see", None, None),
        ("audit.list", None, None),
    ]


def test_who_calls_by_a_key_is_named_by_its_id(server: Any, wait_for: Any) -> None:
    with server.database.write() as connection:
        text = keys.create(connection, Role.ADMIN, utcnow())
    told = {"Authorization": f"Bearer {text}"}
    try:
        wait_for(lambda: server.get("/v1/sites").status_code == 401)
        site = server.post("/v1/sites", json={"name": "Bonn"}, headers=told).json()["id"]
        (row,) = rows(server, action="site.create")
        assert (row.actor, row.site_id) == (f"key:{keys.id_of(text)}", site)
        assert text not in str(rows(server))
        server.post(f"/v1/sites/{site}/join-tokens", headers=told)
        assert rows(server, action="site.make_join_token")[-1].resource_id == site
        assert "rcj_" not in str(rows(server))
    finally:
        with server.database.write() as connection:
            connection.exec_driver_sql("DELETE FROM keys")
        wait_for(lambda: server.get("/v1/sites").status_code == 200)


def test_a_merge_names_both(server: Any) -> None:
    one, other = server.person("One"), server.person("Other")
    assert server.post(f"/v1/identities/{one}/merge", json={"from": other}).status_code == 200
    (row,) = rows(server, action="identity.merge")
    assert (row.resource_id, row.other_id) == (one, other)


def test_events_and_syncs_of_edges_are_not_in_the_log(server: Any, event: Any, wait_for: Any) -> None:
    edge = server.edge()
    server.get("/v1/audit/export", params={"actor": "first"})
    first = last(server, wait_for, "audit.export").position
    edge.send(*(event() for _ in range(20)))
    edge.call("GET", "/v1/edge/galleries")
    server.get("/v1/attendance", params={"day": "2026-01-02"})
    assert wait_for(lambda: rows(server)[first:])[0].action == "attendance.see"


def test_who_opens_the_stream_is_in_the_log(server: Any, wait_for: Any) -> None:
    with server.socket("/ws/face-stream"):
        assert last(server, wait_for, "stream.open").address == "127.0.0.1"


def test_who_watches_a_camera_is_in_the_log(server: Any, wait_for: Any) -> None:
    edge = server.edge()
    with server.socket("/ws/face-stream", wire.WATCH_PROTOCOL) as socket:
        for _ in range(2):
            socket.send(f'{{"type": "watch", "edge": "{edge.id}", "camera": "door"}}')
        socket.send('{"type": "unwatch"}')
        wait_for(lambda: rows(server, action="edge.watch_camera", concerning=edge.id))
    server.get("/v1/attendance", params={"day": "2026-01-03"})
    wait_for(lambda: rows(server)[-1].action == "attendance.see")
    assert len(rows(server, action="edge.watch_camera", concerning=edge.id)) == 1


def test_the_log_is_read_by_cursor_and_exported(server: Any) -> None:
    for number in range(5):
        server.post("/v1/sites", json={"name": f"place {number}"})
    page = server.get("/v1/audit", params={"action": "site.create", "limit": 2}).json()
    after = server.get("/v1/audit", params={"action": "site.create", "after": page["next"]}).json()["items"]
    positions = [row["position"] for row in (*page["items"], *after)]
    assert positions == sorted({row.position for row in rows(server, action="site.create")})
    newest = server.get("/v1/audit", params={"order": "newest", "limit": 1, "resource": "site"}).json()["items"]
    assert newest[0]["position"] == positions[-1]
    lines = server.get("/v1/audit/export", params={"format": "ndjson", "action": "site.create"}).content.splitlines()
    assert [msgspec.json.decode(one, type=Row).position for one in lines] == positions
    table = server.get("/v1/audit/export", params={"action": "site.create"}).content.decode("utf-8-sig")
    assert [int(row["position"]) for row in csv.DictReader(io.StringIO(table))] == positions


def test_whatever_changes_something_says_what_the_log_calls_it() -> None:
    async def endpoint(_call: Any) -> Any: ...

    with pytest.raises(TypeError, match="does not declare what the audit log calls it"):
        Route("POST", "/x", endpoint, SITES_READ, {})
    unsaid = {(r.method, r.path) for r in ROUTES if r.method not in SAFE_METHODS and r.audit == UNAUDITED}
    assert {path for _, path in unsaid if not path.startswith("/v1/edge")} == {"/v1/events", "/v1/tickets"}
    assert all(r.needs is EDGE for r in ROUTES if (r.method, r.path) in unsaid and r.path != "/v1/tickets")


def test_looks_that_wait_are_written_at_the_end(
    fresh: Callable[[Path], Database], running: Any, tmp_path: Path
) -> None:
    database = fresh(tmp_path)
    with running(database, tmp_path) as server:
        for _ in range(3):
            server.get("/v1/events")
    again = Database(database.url.render_as_string(hide_password=False))
    with again.read() as connection:
        assert [row.action for row in audit.listing(connection)] == ["event.list"] * 3
    again.close()


def test_who_is_refused_is_in_the_log_once_a_minute_whatever_they_try(either: Any, wait_for: Any) -> None:
    with either.database.write() as connection:
        made = {
            "viewer": keys.create(connection, Role.VIEWER, utcnow()),
            "bound": keys.create(connection, Role.ADMIN, utcnow(), sites=["default"]),
            "revoked": keys.create(connection, Role.ADMIN, utcnow()),
        }
        keys.revoke(connection, keys.id_of(made["revoked"]) or "", utcnow())
    user = either.user("Ann", Role.ADMIN)
    page = either.page("Ann")
    person, made["stranger"] = either.person("Ada"), "rc_none"

    def ask(who: str, method: str, path: str, status: int) -> None:
        for _ in range(3):
            assert either.call(method, path, headers={"Authorization": f"Bearer {made[who]}"}).status_code == status

    wait_for(lambda: either.get("/v1/sites").status_code == 401)
    ask("viewer", "DELETE", f"/v1/identities/{person}", 403)
    ask("viewer", "DELETE", "/v1/identities/Ada", 403)
    ask("viewer", "GET", "/v1/users", 403)
    ask("bound", "GET", "/v1/users", 403)
    ask("revoked", "GET", "/v1/users", 401)
    ask("stranger", "GET", "/v1/users", 401)
    page.csrf = ""
    assert page.call("DELETE", f"/v1/identities/{person}").status_code == 403
    bad = {"name": "Ann", "password": "wrong"}
    assert either.post("/v1/session", json=bad).status_code == 401
    told = wait_for(lambda: (found := [r for r in rows(either) if r.outcome != "done"]) and len(found) > 6 and found)
    by_key = {who: f"key:{keys.id_of(made[who])}" for who in ("viewer", "bound", "revoked")}
    assert sorted((r.actor, r.action, r.resource_id or "", r.outcome) for r in told) == sorted(
        [
            (by_key["viewer"], "identity.erase", person, "forbidden"),
            (by_key["viewer"], "users.ask", "", "forbidden"),
            (by_key["bound"], "users.ask", "", "forbidden"),
            (by_key["revoked"], "users.ask", "", "unauthenticated"),
            ("nobody", "users.ask", "", "unauthenticated"),
            (f"user:{user}", "identity.erase", person, "csrf_token"),
            ("nobody", "user.sign_in", user, "unauthenticated"),
        ]
    )
    assert {r.address for r in told} == {"127.0.0.1"}
    with either.database.read() as connection:
        assert audit.verify(connection) is None
