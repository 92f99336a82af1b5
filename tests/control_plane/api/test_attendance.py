from __future__ import annotations

from datetime import UTC, datetime
from typing import Any


def test_attendance_is_told_by_the_clock_at_the_site(either: Any, event: Any) -> None:
    either.call("PATCH", "/v1/sites/default", json={"time_zone": "Europe/Berlin"})
    edge = either.edge("e1", cameras=("gate", "exit"))
    marked = either.call("PATCH", "/v1/edges/e1", json={"cameras": {"gate": "in", "exit": "out"}}).json()
    assert {c["name"]: c["direction"] for c in marked["cameras"]} == {"gate": "in", "exit": "out"}
    ann = either.person("=Ann", external_id="E-1")
    for camera, hour in (("gate", 7), ("exit", 12), ("gate", 16)):
        edge.send(event(camera=camera, identity_id=ann, captured_at=datetime(2026, 3, 2, hour, tzinfo=UTC)))
    found = either.get("/v1/attendance", params={"day": "2026-03-02"}).json()
    assert found == {
        "day": "2026-03-02",
        "site_id": "default",
        "site": "default",
        "time_zone": "Europe/Berlin",
        "people": [
            {
                "identity_id": ann,
                "external_id": "E-1",
                "name": "=Ann",
                "first_in": "2026-03-02T08:00:00+01:00",
                "last_out": "2026-03-02T13:00:00+01:00",
                "duration_s": 5 * 3600,
                "passes": 3,
            }
        ],
    }
    table = either.get("/v1/attendance", params={"day": "2026-03-02", "format": "csv"})
    assert table.content.decode("utf-8-sig").splitlines()[1] == (
        f'"2026-03-02","default","{ann}","E-1","\'=Ann","2026-03-02 08:00:00","2026-03-02 13:00:00","5:00:00","3"'
    )


def test_a_camera_keeps_its_direction_when_its_edge_introduces_itself_again(server: Any) -> None:
    edge = server.edge("e2", cameras=("a", "b"))
    server.call("PATCH", "/v1/edges/e2", json={"cameras": {"a": "in", "b": "out"}})
    edge.hello(cameras=("a", "b", "c"))
    server.call("PATCH", "/v1/edges/e2", json={"cameras": {"b": None}})
    found = server.get("/v1/edges/e2").json()["cameras"]
    assert {c["name"]: c["direction"] for c in found} == {"a": "in", "b": None, "c": None}


def test_what_cannot_be_is_refused(server: Any) -> None:
    server.edge("e3", cameras=("a",))
    for body, code in (({"cameras": {"a": "up"}}, "invalid"), ({"cameras": {"x": "in"}}, "not_found"), ({}, "invalid")):
        assert server.call("PATCH", "/v1/edges/e3", json=body).json()["code"] == code
    for query in ("", "day=today", "day=2026-02-30", "day=9999-12-31", "day=0001-01-01", "day=2026-01-01&format=pdf"):
        assert server.get(f"/v1/attendance?{query}").json()["code"] == "invalid"
    assert server.get("/v1/attendance?day=2026-01-01&site=nowhere").status_code == 404
