from __future__ import annotations

import json
from typing import Any

import pytest

from control_plane.store import galleries
from faces import wire
from faces.wire import START, Followed, Hello, Position, Report, Welcome


def test_an_edge_is_welcomed_to_its_site_as_often_as_it_likes(either: Any) -> None:
    either.post("/v1/sites", json={"name": "Annex"})
    edge = either.edge("e1")
    response = edge.hello(cameras=("door", "yard"), site="Annex")
    welcome = wire.decode(response.content, Welcome)
    assert (welcome.edge_id, welcome.edge, welcome.site) == ("e1", "box", "Annex")
    (shown,) = either.get("/v1/edges").json()["items"]
    assert (shown["site"], [c["name"] for c in shown["cameras"]], shown["wire"]) == (
        "Annex",
        ["door", "yard"],
        wire.WIRE,
    )
    assert either.get("/v1/edges/e1").json() == shown


def test_an_edge_of_a_site_nobody_made_is_told_the_remedy(server: Any) -> None:
    edge = server.edge()
    response = edge.hello(site="nowhere")
    assert (response.status_code, response.json()["code"]) == (404, "not_found")
    assert "POST /v1/sites" in response.json()["remedy"]


def hello(**changed: Any) -> dict[str, Any]:
    return {"name": "box", "version": "1", "engine": "sface", "cameras": ["door"], **changed}


@pytest.mark.parametrize(
    "changed",
    [
        {"name": ""},
        {"name": "a\0"},
        {"cameras": ["door", "door"]},
        {"cameras": [""]},
        {"cameras": [str(n) for n in range(257)]},
        {"cameras": "door"},
        {"engine": "x" * 65},
        {"version": "1\0"},
        {"site": "\0"},
    ],
)
def test_an_introduction_that_cannot_be_kept_is_refused(server: Any, changed: dict[str, Any]) -> None:
    edge = server.edge()
    response = edge.call("PUT", f"/v1/edges/{edge.id}", hello(**changed))
    assert (response.status_code, response.json()["code"]) == (400, "invalid")


def test_an_edge_introduces_only_itself(server: Any) -> None:
    edge = server.edge()
    assert edge.call("PUT", "/v1/edges/somebody-else", hello()).status_code == 400
    assert edge.call("PUT", f"/v1/edges/{edge.id}", b"x", headers={"Content-Type": "text/plain"}).status_code == 415


def test_an_edge_learns_what_its_site_follows(server: Any) -> None:
    edge = server.edge()
    server.person("Ann")
    (followed,) = wire.decode(edge.call("GET", "/v1/edge/galleries").content, list[Followed])
    shown = server.get("/v1/galleries/default").json()
    assert (followed.id, followed.position.revision) == ("default", shown["revision"])
    assert f"{followed.position.checksum & (1 << 64) - 1:016x}" == shown["checksum"]
    as_json = edge.call("GET", "/v1/edge/galleries", headers={"Accept": "application/json"})
    assert json.loads(as_json.content)[0]["id"] == "default"


def test_an_edges_report_shows_how_far_it_lags(either: Any) -> None:
    def stands() -> Position:
        with either.database.read() as connection:
            return galleries.position(connection, "default")

    edge = either.edge("e1")
    before = stands()
    either.person("Ann")
    assert edge.call("PUT", "/v1/edge/galleries/default", Report(position=before)).status_code == 204
    (held,) = either.get("/v1/edges/e1").json()["galleries"]
    shown = f"{before.checksum & (1 << 64) - 1:016x}"
    assert (held["revision"], held["checksum"], held["lag"], held["error"]) == (1, shown, 2, None)
    edge.call("PUT", "/v1/edge/galleries/default", Report(position=stands(), error="disk full"))
    (held,) = either.get("/v1/edges/e1").json()["galleries"]
    assert (held["lag"], held["error"]) == (0, "disk full")


def test_an_edge_that_reports_itself_ahead_sounds_an_alarm(server: Any) -> None:
    edge = server.edge()
    edge.call("PUT", "/v1/edge/galleries/default", Report(position=Position(10**6, 5), error="ahead"))
    alarms = [alarm for alarm in server.get("/v1/alarms?limit=500").json()["items"] if alarm["edge_id"] == edge.id]
    assert [alarm["kind"] for alarm in alarms] == ["edge_ahead"]


@pytest.mark.parametrize("position", [Position(2**63, 0), Position(0, 2**63)])
def test_a_position_that_no_copy_can_have_is_refused(either: Any, position: Position) -> None:
    refused = either.edge().call("PUT", "/v1/edge/galleries/default", Report(position=position))
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid")


def test_a_gallery_its_site_does_not_follow_is_not_there_for_an_edge(server: Any) -> None:
    site = server.post("/v1/sites", json={"name": "apart", "galleries": []}).json()["name"]
    edge = server.edge(site=site)
    assert wire.decode(edge.call("GET", "/v1/edge/galleries").content, list[Followed]) == []
    for method, path in (
        ("PUT", "/v1/edge/galleries/default"),
        ("GET", "/v1/galleries/default/changes"),
        ("GET", "/v1/galleries/default/snapshot"),
    ):
        response = edge.call(method, path, Report(position=Position(1, 1)) if method == "PUT" else None)
        assert (response.status_code, response.json()["code"]) == (404, "not_found")
    failed = edge.call("PUT", "/v1/edge/galleries/default", Report(position=START, error="no room"))
    assert (failed.status_code, failed.json()["code"]) == (404, "not_found")


def test_that_it_holds_nothing_an_edge_may_say_of_any_gallery(server: Any) -> None:
    site = server.post("/v1/sites", json={"name": "bare", "galleries": []}).json()["name"]
    edge = server.edge(site=site)
    for gallery in ("default", "no-such-gallery"):
        assert edge.call("PUT", f"/v1/edge/galleries/{gallery}", Report(position=START)).status_code == 204
    assert server.get(f"/v1/edges/{edge.id}").json()["galleries"] == []


def test_edges_are_listed_by_site_page_by_page(server: Any) -> None:
    site = server.post("/v1/sites", json={"name": "fleet"}).json()
    for n in range(3):
        server.edge(f"fleet-{n}", site="fleet")
    first = server.get("/v1/edges", params={"site": site["id"], "limit": 2}).json()
    second = server.get("/v1/edges", params={"site": site["id"], "limit": 2, "after": first["next"]}).json()
    assert [e["id"] for e in first["items"] + second["items"]] == ["fleet-0", "fleet-1", "fleet-2"]
    assert second["next"] is None
    assert server.get("/v1/edges/nobody").status_code == 404


def test_an_edge_nobody_knows_is_told_to_introduce_itself(server: Any) -> None:
    edge = server.edge()
    edge.id = "unknown-edge"
    response = edge.call("GET", "/v1/edge/galleries")
    assert response.status_code == 404
    assert "PUT /v1/edges" in response.json()["remedy"]


def test_hello_is_the_wires_own_type(server: Any) -> None:
    edge = server.edge()
    value = Hello(name="x", version="1", engine="sface", cameras=[])
    assert edge.call("PUT", f"/v1/edges/{edge.id}", value).status_code == 200
