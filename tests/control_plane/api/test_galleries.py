from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from control_plane.store import galleries
from control_plane.store.tables import galleries as table
from faces import wire
from faces.errors import Invalid
from faces.replica import Replica
from faces.wire import Page, Position, SnapshotReader
from tests.control_plane.store.test_at_once import held_up


def position(server: Any) -> Position:
    with server.database.read() as connection:
        return galleries.position(connection, "default")


def follow(edge: Any, replica: Replica) -> None:
    more = True
    while more:
        response = edge.call("GET", "/v1/galleries/default/changes", params={"after": replica.position.revision})
        page = wire.decode(response.content, Page)
        replica.apply(page)
        more = page.more


def test_a_copy_made_of_changes_is_the_gallery(either: Any) -> None:
    edge, replica = either.edge(), Replica("sface")
    people = [either.person(f"P{n}", photos=2) for n in range(3)]
    follow(edge, replica)
    assert replica.position == position(either)
    assert len(replica.gallery) == 3
    either.call("DELETE", f"/v1/identities/{people[0]}")
    either.call("PATCH", f"/v1/identities/{people[1]}", json={"name": "Renamed"})
    follow(edge, replica)
    assert replica.position == position(either)
    assert {i.name for i in replica.gallery.identities.values()} == {"Renamed", "P2"}


def test_a_copy_made_of_a_snapshot_is_the_gallery(either: Any) -> None:
    for n in range(3):
        either.person(f"P{n}", photos=2)
    response = either.edge().call("GET", "/v1/galleries/default/snapshot")
    reader = SnapshotReader()
    rows = [row for n in range(0, len(response.content), 100) for row in reader.feed(response.content[n : n + 100])]
    assert reader.complete
    assert reader.head is not None
    replica = Replica("sface")
    replica.start_over(reader.head.position, rows)
    assert replica.position == position(either)
    with either.database.read() as connection:
        stored = list(galleries.snapshot(connection, "default")[1])
    assert sorted(rows, key=repr) == sorted(stored, key=repr)


def test_several_snapshots_at_once_are_all_whole_while_people_come_and_go(server: Any) -> None:
    edges = [server.edge() for _ in range(12)]
    for n in range(20):
        server.person(f"S{n}", photos=3)

    def fetch(edge: Any) -> Position:
        reader = SnapshotReader()
        rows = reader.feed(edge.call("GET", "/v1/galleries/default/snapshot").content)
        assert reader.complete
        assert reader.head is not None
        replica = Replica("sface")
        replica.start_over(reader.head.position, rows)
        return replica.position

    with ThreadPoolExecutor(8) as pool:
        fetched = pool.map(fetch, edges)
        server.person("meanwhile")
        assert len(list(fetched)) == 12


def test_a_snapshot_whose_reader_leaves_frees_its_connection(server: Any) -> None:
    for n in range(40):
        server.person(f"Leave{n}", photos=4)
    for _ in range(30):
        response = server.http.get(
            server.url + "/v1/galleries/default/snapshot", headers=server.edge().headers, stream=True, timeout=10
        )
        response.raw.read(10)
        response.close()
    assert server.edge().call("GET", "/v1/galleries/default/snapshot").status_code == 200


def test_a_copy_that_is_ahead_or_too_far_behind_starts_over(server: Any) -> None:
    edge = server.edge()
    ahead = edge.call("GET", "/v1/galleries/default/changes", params={"after": 10**9})
    assert (ahead.status_code, ahead.json()["code"]) == (410, "diverged")
    server.person("Ann")
    with server.database.write() as connection:
        connection.execute(table.update().values(compacted_to=2))
    behind = edge.call("GET", "/v1/galleries/default/changes", params={"after": 1})
    assert (behind.status_code, behind.json()["code"]) == (410, "compacted")
    with server.database.write() as connection:
        connection.execute(table.update().values(compacted_to=0))


@pytest.mark.parametrize("after", ["-1", "x", str(2**63)])
def test_a_revision_that_is_none_is_refused(server: Any, after: str) -> None:
    response = server.edge().call("GET", "/v1/galleries/default/changes", params={"after": after})
    assert (response.status_code, response.json()["code"]) == (400, "invalid")


def test_galleries_are_shown_with_where_they_stand(server: Any) -> None:
    (listed,) = server.get("/v1/galleries").json()["items"]
    assert listed == server.get("/v1/galleries/default").json()
    before = listed["identities"]
    server.person("One more")
    assert server.get("/v1/galleries/default").json()["identities"] == before + 1
    assert server.get("/v1/galleries/nowhere").status_code == 404


def test_changes_can_be_read_as_json(server: Any) -> None:
    response = server.edge().call("GET", "/v1/galleries/default/changes", headers={"Accept": "application/json"})
    assert response.json()["put"][0]["row"] == "settings"


def test_a_cut_snapshot_is_not_complete(server: Any) -> None:
    content = server.edge().call("GET", "/v1/galleries/default/snapshot").content
    reader = SnapshotReader()
    reader.feed(content[:-1])
    assert not reader.complete
    with pytest.raises(Invalid):
        SnapshotReader().feed(b"\0\0\0\2{}")


def test_a_gallery_is_made_changed_and_removed(either: Any) -> None:
    response = either.post("/v1/galleries", json={"name": "banned", "kind": "deny"})
    made = response.json()
    assert (response.status_code, made["kind"], made["th_accept"], made["identities"]) == (201, "deny", None, 0)
    assert either.get(response.headers["Location"]).json() == made
    changed = either.call("PATCH", f"/v1/galleries/{made['id']}", json={"th_accept": 0.4, "kind": "watch"}).json()
    assert (changed["name"], changed["kind"], changed["th_accept"]) == ("banned", "watch", 0.4)
    assert changed["revision"] == made["revision"] + 1
    assert either.call("DELETE", f"/v1/galleries/{made['id']}").status_code == 204
    assert either.get(f"/v1/galleries/{made['id']}").status_code == 404


@pytest.mark.parametrize("either", ["postgres"], indirect=True)
def test_of_two_changes_of_a_gallery_at_once_both_count(either: Any, wait_for: Any) -> None:
    path = f"/v1/galleries/{either.post('/v1/galleries', json={'name': 'staff'}).json()['id']}"

    def change(told: dict[str, Any]) -> int:
        return requests.patch(either.url + path, json=told, timeout=30).status_code

    with ThreadPoolExecutor(2) as two:
        with either.database.write() as connection:
            galleries.lock_all(connection)
            changes = [two.submit(change, told) for told in ({"kind": "deny"}, {"th_accept": 0.4})]
            wait_for(lambda: held_up(either.database) == 2)
        assert [found.result() for found in changes] == [200, 200]
    changed = either.get(path).json()
    assert (changed["kind"], changed["th_accept"]) == ("deny", 0.4)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"name": "default"}, 409),
        ({"name": ""}, 400),
        ({"name": "x", "kind": "block"}, 400),
        ({"name": "x", "th_accept": 0}, 400),
        ({"name": "x", "th_accept": 3}, 400),
    ],
)
def test_a_gallery_that_cannot_be_is_not_made(server: Any, body: dict[str, Any], status: int) -> None:
    assert server.post("/v1/galleries", json=body).status_code == status


def test_the_default_gallery_cannot_be_removed(server: Any) -> None:
    assert server.call("DELETE", "/v1/galleries/default").status_code == 409


def test_people_join_and_leave_galleries(either: Any) -> None:
    person = either.person("Ann")
    banned = either.post("/v1/galleries", json={"name": "banned", "kind": "deny"}).json()["id"]
    member = f"/v1/galleries/{banned}/members/{person}"
    assert [either.call("PUT", member).status_code for _ in range(2)] == [204, 204]
    assert either.get(f"/v1/identities/{person}").json()["galleries"] == sorted([banned, "default"])
    assert either.get(f"/v1/galleries/{banned}").json()["identities"] == 1
    assert [either.call("DELETE", member).status_code for _ in range(2)] == [204, 404]
    assert either.call("PUT", f"/v1/galleries/{banned}/members/nobody").status_code == 404
