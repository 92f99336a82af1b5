"""Edges that join, as the edge's own code does it, on a control plane of two sites that asks for keys."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
import requests
from websockets.exceptions import ConnectionClosed

from control_plane.api.edges import hold
from control_plane.auth import Caller
from control_plane.store import galleries, joins, keys, sites
from control_plane.store.db import Database, new_id, utcnow
from control_plane.store.keys import Role
from edge import credential
from edge.credential import Credential
from edge.plane import ControlPlane, Unanswered, headers, joined
from edge.replica import Replica
from edge.uplink import Syncer
from faces import wire
from faces.errors import Conflict
from faces.gallery import SettingsRow
from faces.wire import Hello

HELLO = Hello(name="gate", version="1", engine="sface", cameras=["door"])


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


def ended(link: Any) -> int:
    """The code that the other side closed the link with."""
    try:
        while True:
            link.recv(timeout=10)
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else 1006


@dataclass
class World:
    server: Any
    admin: dict[str, str]
    sites: list[str]
    galleries: list[str]

    def token(self, site: int = 0) -> str:
        answer = self.server.post(f"/v1/sites/{self.sites[site]}/join-tokens", headers=self.admin)
        assert answer.status_code == 201
        return str(answer.json()["token"])

    def join(self, token: str, edge: UUID) -> requests.Response:
        return self.server.post("/v1/edge/join", headers={**headers(edge, token), "Accept": "application/json"})  # type: ignore[no-any-return]

    def joined(self, site: int = 0) -> tuple[UUID, str]:
        """A new edge of a site, introduced, and its credential."""
        edge = uuid4()
        key = joined(self.server.url, edge, self.token(site)).key
        plane = ControlPlane(self.server.url, edge, Credential(key))
        plane.hello(HELLO)
        plane.close()
        return edge, key


def closed(server: Any, wait_for: Any) -> World:
    """A control plane with two sites that asks for keys."""
    now = utcnow()
    lists = [new_id(now) for _ in range(2)]
    with server.database.write() as connection:
        for number, gallery in enumerate(lists):
            galleries.create(connection, SettingsRow(gallery, f"list {number}"), now)
        places = [sites.create(connection, f"site {n}", [lists[n]], now) for n in range(2)]
        admin = bearer(keys.create(connection, Role.ADMIN, now))
    wait_for(lambda: server.get("/v1/sites").status_code == 401)
    return World(server, admin, places, lists)


@pytest.fixture(scope="module")
def world(
    fresh: Callable[[Path], Database], running: Any, wait_for: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("world")
    with running(fresh(folder), folder) as server:
        yield closed(server, wait_for)


@pytest.fixture
def racecourse(either: Any, wait_for: Any) -> World:
    """The same, once on SQLite and once on Postgres."""
    return closed(either, wait_for)


def test_of_a_hundred_edges_that_race_with_one_token_one_joins(racecourse: World) -> None:
    world, token = racecourse, racecourse.token()

    def race(_number: int) -> tuple[int, str]:
        edge = uuid4()
        found = requests.post(f"{world.server.url}/v1/edge/join", headers=headers(edge, token), timeout=30)
        return found.status_code, "" if found.ok else found.json()["code"]

    with ThreadPoolExecutor(10) as racers:
        answers = sorted(racers.map(race, range(100)))
    assert answers == [(200, ""), *[(401, "unauthenticated")] * 99]


def test_an_edge_that_has_joined_is_at_the_tokens_site_and_calls_by_its_own_credential(world: World) -> None:
    edge, key = world.joined()
    plane = ControlPlane(world.server.url, edge, Credential(key))
    assert plane.hello(HELLO).site_id == world.sites[0]
    assert [f.id for f in plane.followed()] == [world.galleries[0]]
    plane.close()
    other = ControlPlane(world.server.url, uuid4(), Credential(key))
    with pytest.raises(Unanswered, match="another edge's"):
        other.hello(HELLO)
    other.close()


def test_an_edge_reads_its_sites_galleries_and_writes_its_own_events_alone(world: World, event: Any) -> None:
    ours, key = world.joined(0)
    theirs, _ = world.joined(1)
    mine = ControlPlane(world.server.url, ours, Credential(key))
    for asked in (mine.changes, lambda gallery, _after: mine.snapshot(gallery).__enter__()):
        with pytest.raises(Unanswered) as refused:
            asked(world.galleries[1], 0)
        assert refused.value.status == 404
    mine.close()
    batch = wire.encode(wire.EventBatch([msgspec.Raw(wire.encode(event()))]))
    for edge, status in ((theirs, 403), (ours, 200)):
        told = {**headers(edge, key), "Content-Type": wire.MSGPACK}
        assert world.server.post("/v1/events", data=batch, headers=told).status_code == status
    asked = {"site": world.sites[0]}
    (written,) = world.server.get("/v1/events", params=asked, headers=world.admin).json()["items"]
    assert (written["edge_id"], written["site_id"]) == (str(ours), world.sites[0])


@pytest.mark.parametrize("bad", ["", "mistyped", "key", "long"])
def test_nothing_but_a_token_lets_an_edge_join(world: World, bad: str) -> None:
    token = world.token()
    given = {"": None, "mistyped": token[:-1] + "x", "key": world.admin["Authorization"][7:], "long": "x" * 5000}[bad]
    answer = world.server.post("/v1/edge/join", headers=headers(uuid4(), given))
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


def test_an_edge_of_another_site_does_not_join_and_the_token_stays_good(world: World) -> None:
    edge, _ = world.joined(0)
    token = world.token(1)
    assert world.join(token, edge).status_code == 403
    assert world.join(token, uuid4()).status_code == 200


def test_a_token_is_made_by_who_may_change_sites_and_only_for_sites_in_reach(world: World, wait_for: Any) -> None:
    with world.server.database.write() as connection:
        bound, viewer = (
            bearer(keys.create(connection, role, utcnow(), sites=[world.sites[0]]))
            for role in (Role.ADMIN, Role.VIEWER)
        )
    wait_for(lambda: world.server.get("/v1/sites", headers=viewer).status_code == 200)

    def ask(site: str, by: dict[str, str]) -> int:
        return int(world.server.post(f"/v1/sites/{site}/join-tokens", headers=by).status_code)

    assert [ask(site, bound) for site in (*world.sites, "nowhere")] == [201, 404, 404]
    assert ask("nowhere", world.admin) == 404
    assert ask(world.sites[0], viewer) == 403


def test_ending_a_credential_closes_its_sockets_within_a_second_and_the_edge_may_join_again(world: World) -> None:
    edge, key = world.joined()
    told = {**headers(edge, key)}
    with world.server.socket("/v1/edge/link", wire.LINK_PROTOCOL, headers=told) as link:
        link.recv(timeout=10)
        began = time.monotonic()
        assert world.server.call("DELETE", f"/v1/edges/{edge}/credential", headers=world.admin).status_code == 204
        assert ended(link) == 4401
    assert time.monotonic() - began < 1.0
    assert world.server.get("/v1/edge/galleries", headers=told).status_code == 401
    again = world.join(world.token(), edge)
    assert world.server.get("/v1/edge/galleries", headers=headers(edge, again.json()["key"])).status_code == 200


def test_a_removed_edge_is_shut_out_within_a_second_and_gone_for_good(racecourse: World, wait_for: Any) -> None:
    world, (edge, key) = racecourse, racecourse.joined()
    told, path = headers(edge, key), f"/v1/edges/{edge}"
    with world.server.database.write() as connection:
        theirs, viewer = (
            bearer(keys.create(connection, role, utcnow(), sites=[world.sites[site]]))
            for role, site in ((Role.ADMIN, 1), (Role.VIEWER, 0))
        )
    wait_for(lambda: world.server.get("/v1/sites", headers=viewer).status_code == 200)
    with world.server.socket("/v1/edge/link", wire.LINK_PROTOCOL, headers=told) as link:
        link.recv(timeout=10)
        refused = [world.server.call("DELETE", path, headers=by).status_code for by in (theirs, viewer)]
        assert refused == [404, 403]
        began = time.monotonic()
        assert world.server.call("DELETE", path, headers=world.admin).status_code == 204
        assert ended(link) == 4401
    assert time.monotonic() - began < 1.0
    assert world.server.get("/v1/edge/galleries", headers=told).status_code == 401
    assert world.server.get("/v1/edges", headers=world.admin).json()["items"] == []
    assert world.server.call("DELETE", path, headers=world.admin).status_code == 404
    asked = {"action": "edge.remove"}
    log = world.server.get("/v1/audit", headers=world.admin, params=asked).json()["items"]
    done = [(row["resource_id"], row["site_id"]) for row in log if row["outcome"] == "done"]
    assert done == [(str(edge), world.sites[0])]
    plane = ControlPlane(world.server.url, edge, Credential(world.join(world.token(), edge).json()["key"]))
    plane.hello(HELLO)
    plane.close()
    assert world.server.get(path, headers=world.admin).json()["galleries"] == []


def test_a_removed_edge_does_not_introduce_itself_again_by_a_key_that_has_just_ended(racecourse: World) -> None:
    edge, key = racecourse.joined()
    with racecourse.server.database.write() as connection:
        joins.remove(connection, str(edge), utcnow())
        found = next(k for k in keys.listing(connection) if k.id == keys.id_of(key))
        with pytest.raises(Conflict):
            # What the gate let in before it heard of the end.
            hold(connection, Caller(found), str(edge))


def test_an_edge_told_to_takes_another_credential_and_the_old_one_ends(
    world: World, tmp_path: Path, wait_for: Any
) -> None:
    edge, old = world.joined()
    path = tmp_path / credential.MEMBERSHIP
    credential.save(path, world.server.url, old)
    _, held = credential.read(path) or ("", Credential())
    replica = Replica(tmp_path / "galleries.db", "sface")
    plane = ControlPlane(world.server.url, edge, held)
    syncer = Syncer(plane, replica, HELLO, lambda: None, credential=held)
    syncer.step()
    assert held.key == old
    assert world.server.post(f"/v1/edges/{edge}/credential", headers=world.admin).status_code == 204
    told = headers(edge, old)
    with world.server.socket("/v1/edge/link", wire.LINK_PROTOCOL, headers=told) as link:
        again = Syncer(plane, replica, HELLO, lambda: None, credential=held)
        again.step()
        assert held.key not in (None, old)
        assert ended(link) == 4401
    wait_for(lambda: world.server.get("/v1/edge/galleries", headers=told).status_code == 401)
    kept = credential.read(path)
    assert kept is not None
    assert kept[1].key == held.key
    again.step()
    plane.close()
    replica.close()


def test_renewals_of_one_credential_at_once_leave_one_that_counts(racecourse: World, wait_for: Any) -> None:
    world = racecourse
    edge, old = world.joined()
    found: list[str] = []

    def renew() -> None:
        plane = ControlPlane(world.server.url, edge, Credential(old))
        found.append(plane.renewed().key)
        plane.close()

    threads = [threading.Thread(target=renew) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    def good() -> list[str]:
        ask = [k for k in found if world.server.get("/v1/edge/galleries", headers=headers(edge, k)).status_code == 200]
        return ask if len(ask) <= 1 else []

    assert len(found) == 5
    assert len(wait_for(good)) == 1
