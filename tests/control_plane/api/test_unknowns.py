from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from control_plane.store import tables
from control_plane.store.db import utcnow
from faces import wire
from faces.encoding import SFACE, Vector, to_bytes, unit
from faces.events import Status
from jobs.unknowns import Grouping

HELLO = wire.Hello(name="box", version="1", engine=SFACE, cameras=["door"])


def stranger(seed: int) -> Vector:
    return unit(np.random.default_rng(seed).standard_normal(128).astype(np.float32))


def look(who: Vector, noise: int) -> bytes:
    """The same face, a little otherwise."""
    return to_bytes(unit(who + 0.02 * np.random.default_rng(noise).standard_normal(128).astype(np.float32)))


class Scene:
    """A site that keeps strangers' encodings, and an edge there."""

    def __init__(self, server: Any, event: Any, **site: Any) -> None:
        self.server = server
        self._event = event
        self._now = utcnow()
        server.call("PATCH", "/v1/sites/default", json={"probe_days": 7, **site}).raise_for_status()
        self.edge = server.edge()

    def seen(self, who: Vector, times: int, **fields: Any) -> None:
        made = [
            self._event(status=Status.REJECT, identity_id=None, name=None, engine=SFACE, probe=look(who, n), **fields)
            for n in range(times)
        ]
        assert {v.outcome for v in self.edge.send(*made)} == {"stored"}

    def group(self) -> None:
        self._now += timedelta(minutes=1)
        Grouping(self.server.database, lambda: self._now).run("default")

    def listed(self, **asked: Any) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self.server.get("/v1/unknowns", params=asked).json()["items"]
        return items


@pytest.fixture
def scene(running: Any, fresh: Any, tmp_path: Any, event: Any) -> Iterator[Scene]:
    with running(fresh(tmp_path), tmp_path) as server:
        yield Scene(server, event)


@pytest.fixture
def decided(scene: Scene, decider_type: Any) -> Iterator[Scene]:
    decider = decider_type(scene.server)
    yield scene
    decider.stop()


def test_nothing_is_kept_unless_the_site_says_so(running: Any, fresh: Any, tmp_path: Any, event: Any) -> None:
    with running(fresh(tmp_path), tmp_path) as server:
        edge = server.edge()
        hello = edge.call("PUT", f"/v1/edges/{edge.id}", HELLO)
        assert wire.decode(hello.content, wire.Welcome).probes is False
        edge.send(event(status=Status.REJECT, identity_id=None, name=None, engine=SFACE, probe=look(stranger(1), 1)))
        with server.database.read() as connection:
            assert connection.execute(sa.select(tables.probes)).all() == []
        Scene(server, event)
        hello = edge.call("PUT", f"/v1/edges/{edge.id}", HELLO)
        assert wire.decode(hello.content, wire.Welcome).probes is True


def test_strangers_who_come_again_are_a_group_each(scene: Scene) -> None:
    ann, bob = stranger(1), stranger(2)
    scene.seen(ann, 3)
    scene.seen(bob, 2, camera="yard")
    scene.seen(stranger(3), 1)
    scene.group()
    first, second = scene.listed()
    assert (first["size"], second["size"]) == (3, 2)
    assert first["cameras"] == [{"edge_id": scene.edge.id, "camera": "door"}]
    assert second["cameras"] == [{"edge_id": scene.edge.id, "camera": "yard"}]
    assert len(scene.listed(least=1)) == 3
    scene.seen(bob, 4)
    scene.group()
    assert [(g["id"], g["size"]) for g in scene.listed()] == [(first["id"], 3), (second["id"], 6)]
    picture = scene.server.get(f"/v1/events/{first['event_id']}/thumbnail")
    assert picture.status_code == 200
    shown = scene.server.get(f"/v1/unknowns/{second['id']}").json()
    assert [e["position"] for e in shown["events"]] == [10, 9, 8, 7, 5, 4]


def test_groups_are_found_by_site_and_time_and_page_by_page(scene: Scene) -> None:
    for seed in range(3):
        scene.seen(stranger(seed), 2)
    scene.group()
    assert scene.listed(site="elsewhere") == []
    assert scene.listed(since="2026-01-01T00:00:01Z") == []
    assert len(scene.listed(since="2026-01-01T00:00:00Z", until="2026-01-01T00:00:01Z")) == 3
    page = scene.server.get("/v1/unknowns", params={"limit": 2}).json()
    rest = scene.server.get("/v1/unknowns", params={"limit": 2, "after": page["next"]}).json()
    assert [len(page["items"]), len(rest["items"]), rest["next"]] == [2, 1, None]


def test_who_is_dismissed_stays_so_however_often_they_come(scene: Scene) -> None:
    scene.seen(stranger(1), 2)
    scene.group()
    (group,) = scene.listed()
    assert scene.server.call("DELETE", f"/v1/unknowns/{group['id']}").status_code == 204
    scene.seen(stranger(1), 5)
    scene.group()
    assert scene.listed() == []
    assert [g["size"] for g in scene.listed(dismissed=True)] == [7]
    assert scene.server.call("DELETE", "/v1/unknowns/nobody").status_code == 404


def test_a_group_becomes_a_person_in_one_step(decided: Scene) -> None:
    decided.seen(stranger(1), 5)
    decided.group()
    (group,) = decided.listed()
    made = decided.server.post(f"/v1/unknowns/{group['id']}/enroll", json={"name": "Ann"})
    assert made.status_code == 201
    assert [e["state"] for e in made.json()["enrollments"]] == ["accepted"] * 3
    person = decided.server.get(f"/v1/identities/{made.json()['identity']['id']}").json()
    assert (person["name"], person["photos"]) == ("Ann", 3)
    assert decided.listed(least=1) == []
    with decided.server.database.read() as connection:
        assert connection.execute(sa.select(tables.probes)).all() == []


def test_where_every_picture_is_refused_there_is_no_person_and_the_group_stays(decided: Scene) -> None:
    decided.seen(stranger(1), 2, thumbnail=b"refuse:too_blurred")
    decided.group()
    (group,) = decided.listed()
    refused = decided.server.post(f"/v1/unknowns/{group['id']}/enroll", json={"name": "Ann"})
    assert (refused.status_code, refused.json()["reason"]) == (422, "too_blurred")
    assert decided.server.get("/v1/identities").json()["items"] == []
    assert [g["id"] for g in decided.listed()] == [group["id"]]


def test_without_pictures_a_group_cannot_be_enrolled(scene: Scene) -> None:
    scene.seen(stranger(1), 2, thumbnail=None)
    scene.group()
    (group,) = scene.listed()
    assert group["event_id"] is None
    refused = scene.server.post(f"/v1/unknowns/{group['id']}/enroll", json={"name": "Ann"})
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")


@pytest.mark.parametrize("probe", [b"", b"x", b"x" * 4096])
def test_what_is_no_encoding_is_not_kept_and_harms_no_event(scene: Scene, probe: bytes, event: Any) -> None:
    made = event(status=Status.REJECT, identity_id=None, name=None, engine=SFACE, probe=probe)
    assert [v.outcome for v in scene.edge.send(made, made)] == ["stored", "known"]
    scene.group()
    assert scene.listed(least=1) == []
