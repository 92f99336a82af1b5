from __future__ import annotations

from typing import Any

import pytest

from faces.events import EventKind, Status

URL = "http://gate.example/hook"


def test_a_webhook_is_added_listed_and_removed(either: Any) -> None:
    response = either.post("/v1/webhooks", json={"url": URL})
    made = response.json()
    assert (response.status_code, made["url"], made["statuses"], made["enabled"]) == (201, URL, ["PASS"], True)
    assert either.get(response.headers["Location"]).json() == made
    assert either.get("/v1/webhooks").json() == {"items": [made], "next": None}
    path = f"/v1/webhooks/{made['id']}"
    assert either.call("DELETE", path).status_code == 204
    for asked in (either.get(path), either.call("DELETE", path), either.get(f"{path}/deliveries")):
        assert asked.status_code == 404


def test_a_delivery_is_written_with_the_event_for_those_who_want_it(either: Any, event: Any) -> None:
    passes = either.post("/v1/webhooks", json={"url": URL}).json()["id"]
    both = either.post("/v1/webhooks", json={"url": URL, "statuses": ["REJECT", "PASS"]}).json()["id"]
    good, bad = event(), event(status=Status.REJECT)
    edge = either.edge()
    edge.send(good, bad, event(kind=EventKind.CAMERA_LOST, status=None))
    edge.send(good, bad)

    def told(webhook: str) -> list[str]:
        deliveries = either.get(f"/v1/webhooks/{webhook}/deliveries").json()["items"]
        assert {(d["state"], d["attempts"]) for d in deliveries} == {("pending", 0)}
        return sorted(d["event_id"] for d in deliveries)

    assert told(passes) == [str(good.id)]
    assert told(both) == sorted([str(good.id), str(bad.id)])


def test_deliveries_are_paged(server: Any, event: Any) -> None:
    webhook = server.post("/v1/webhooks", json={"url": URL}).json()["id"]
    server.edge().send(*(event() for _ in range(5)))
    path = f"/v1/webhooks/{webhook}/deliveries"
    first = server.get(path, params={"limit": 3}).json()
    second = server.get(path, params={"limit": 3, "after": first["next"]}).json()
    assert len({d["id"] for d in first["items"] + second["items"]}) == 5
    assert second["next"] is None


@pytest.mark.parametrize(
    "url",
    [
        "",
        "gate",
        "ftp://h/x",
        "http://",
        "http://h:0/",
        "http://h:x/",
        "http://h/a b",
        "http://h/\u0000",
        "javascript:alert(1)",
        "http://user:secret@h/",
        "http://h/" + "x" * 2000,
    ],
)
def test_a_url_that_cannot_be_posted_to_is_refused(server: Any, url: str) -> None:
    response = server.post("/v1/webhooks", json={"url": url})
    assert (response.status_code, response.json()["code"]) == (400, "invalid")
    assert "secret" not in response.text


@pytest.mark.parametrize("statuses", [[], ["NO_FACE"], ["MAYBE"], "PASS"])
def test_statuses_that_no_event_has_are_refused(server: Any, statuses: Any) -> None:
    assert server.post("/v1/webhooks", json={"url": URL, "statuses": statuses}).status_code == 400
