from __future__ import annotations

from typing import Any

import pytest

from faces import wire


def test_the_default_site_follows_the_default_gallery(server: Any) -> None:
    found = server.get("/v1/sites/default").json()
    assert (found["name"], found["galleries"]) == ("default", ["default"])
    assert found in server.get("/v1/sites").json()["items"]


def test_a_site_is_added_once(either: Any) -> None:
    response = either.post("/v1/sites", json={"name": " Annex "})
    made = response.json()
    assert (response.status_code, made["name"], made["galleries"]) == (201, "Annex", ["default"])
    assert either.get(response.headers["Location"]).json() == made
    again = either.post("/v1/sites", json={"name": "Annex"})
    assert (again.status_code, again.json()["code"]) == (409, "conflict")


def test_a_site_may_follow_nothing_and_nothing_unheard_of(server: Any) -> None:
    assert server.post("/v1/sites", json={"name": "quiet", "galleries": []}).json()["galleries"] == []
    assert server.post("/v1/sites", json={"name": "odd", "galleries": ["nowhere"]}).status_code == 404
    assert server.post("/v1/sites", json={"name": ""}).status_code == 400
    assert server.get("/v1/sites/nowhere").status_code == 404


@pytest.mark.parametrize("limit", [1, 2])
def test_sites_are_paged(server: Any, limit: int) -> None:
    for name in ("a", "b", "c"):
        server.post("/v1/sites", json={"name": f"{name}{limit}"})
    seen: list[str] = []
    after = ""
    while after is not None:
        page = server.get("/v1/sites", params={"limit": limit, "after": after}).json()
        seen += [s["id"] for s in page["items"]]
        after = page["next"]
    assert len(seen) == len(set(seen))
    assert seen == sorted(seen)
    assert len(seen) >= 4


def test_a_sites_edges_follow_the_galleries_it_is_told_to(either: Any) -> None:
    site = either.post("/v1/sites", json={"name": "Gate"}).json()
    staff = either.post("/v1/galleries", json={"name": "staff"}).json()
    changed = either.call("PATCH", f"/v1/sites/{site['id']}", json={"name": "North gate", "galleries": [staff["id"]]})
    assert (changed.json()["name"], changed.json()["galleries"]) == ("North gate", [staff["id"]])
    assert either.call("PATCH", f"/v1/sites/{site['id']}", json={"galleries": ["nowhere"]}).status_code == 404
    assert either.get(f"/v1/sites/{site['id']}").json() == changed.json()
    assert either.call("PATCH", f"/v1/sites/{site['id']}", json={"name": "default"}).status_code == 409
    assert either.call("PATCH", "/v1/sites/nowhere", json={"name": "x"}).status_code == 404


def test_a_site_has_a_time_zone_and_keeps_things_as_long_as_it_is_told(either: Any) -> None:
    made = either.post("/v1/sites", json={"name": "Berlin", "time_zone": "Europe/Berlin", "event_days": 90}).json()
    assert (made["time_zone"], made["event_days"], made["thumbnail_days"]) == ("Europe/Berlin", 90, None)
    path = f"/v1/sites/{made['id']}"
    changed = either.call("PATCH", path, json={"event_days": None, "thumbnail_days": 0}).json()
    assert (changed["time_zone"], changed["event_days"], changed["thumbnail_days"]) == ("Europe/Berlin", None, 0)
    for wrong in ({"time_zone": "Berlin"}, {"event_days": -1}, {"thumbnail_days": 40_000}):
        assert either.call("PATCH", path, json=wrong).json()["code"] == "invalid"
    assert either.get(path).json() == changed
    assert either.get("/v1/sites/default").json()["time_zone"] == "UTC"


def test_an_edge_is_told_its_sites_lease_when_it_introduces_itself(either: Any) -> None:
    made = either.post("/v1/sites", json={"name": "Gate", "lease_days": 0.5}).json()
    edge = either.edge(site="Gate")
    assert wire.decode(edge.hello(site="Gate").content, wire.Welcome).lease_days == 0.5
    path = f"/v1/sites/{made['id']}"
    assert either.call("PATCH", path, json={"lease_days": None}).json()["lease_days"] is None
    assert wire.decode(edge.hello(site="Gate").content, wire.Welcome).lease_days is None
    assert either.call("PATCH", path, json={"lease_days": -1}).json()["code"] == "invalid"
