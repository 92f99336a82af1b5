from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from control_plane.store import erasures, galleries
from faces.wire import Position, Report


def test_an_edge_ahead_of_the_gallery_starts_over_and_an_operator_is_told(either: Any) -> None:
    edge = either.edge()
    for _ in range(2):
        answered = edge.call("GET", "/v1/galleries/default/changes", params={"after": 999})
        assert (answered.status_code, answered.json()["code"]) == (410, "diverged")
    (alarm,) = either.get("/v1/alarms", params={"state": "open"}).json()["items"]
    assert (alarm["kind"], alarm["edge_id"], alarm["count"]) == ("edge_ahead", edge.id, 2)
    seen = either.post(f"/v1/alarms/{alarm['id']}/acknowledge", json={"by": "ann"})
    assert (seen.status_code, seen.json()["acknowledged_by"]) == (200, "ann")
    assert either.get("/v1/alarms", params={"state": "open"}).json()["items"] == []
    assert len(either.get("/v1/alarms", params={"state": "acknowledged"}).json()["items"]) == 1


def test_an_edge_that_could_not_apply_a_page_is_an_alarm(server: Any) -> None:
    edge = server.edge()
    told = Report(position=Position(1, 2), error="the checksum does not come out")
    assert edge.call("PUT", "/v1/edge/galleries/default", told).status_code == 204
    kinds = {a["kind"] for a in server.get("/v1/alarms").json()["items"] if a["edge_id"] == edge.id}
    assert kinds == {"edge_diverged"}


@pytest.mark.parametrize(("path", "status"), [("/v1/alarms/nonsense/acknowledge", 404)])
def test_an_alarm_that_is_not_there_cannot_be_acknowledged(server: Any, path: str, status: int) -> None:
    assert server.post(path, json={"by": "ann"}).status_code == status
    assert server.post(path, json={"by": ""}).status_code == 400


def test_is_this_person_gone_everywhere_has_an_answer(either: Any) -> None:
    edge, ann = either.edge(), either.person("Ann")
    assert either.get(f"/v1/identities/{ann}/erasure").status_code == 404
    either.call("DELETE", f"/v1/identities/{ann}")
    pending = either.get(f"/v1/identities/{ann}/erasure").json()
    assert (pending["complete"], [e["edge_id"] for e in pending["pending"]]) == (False, [edge.id])
    with either.database.read() as connection:
        told = Report(position=galleries.position(connection, "default"))
    edge.call("PUT", "/v1/edge/galleries/default", told)
    confirmed = either.get(f"/v1/identities/{ann}/erasure").json()
    assert (confirmed["complete"], [e["edge_id"] for e in confirmed["confirmed"]]) == (False, [edge.id])
    with either.database.write() as connection:
        erasures.scrubbed(connection, [ann], datetime.now(UTC))
    assert either.get(f"/v1/identities/{ann}/erasure").json()["complete"]
