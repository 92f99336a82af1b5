from __future__ import annotations

from typing import Any

import pytest

from faces.events import EventKind, Status

URL = "http://gate.example/hook"


def test_a_webhook_is_added_listed_and_removed(either: Any) -> None:
    response = either.post("/v1/webhooks", json={"url": URL})
    made = response.json()
    assert (response.status_code, made["url"], made["statuses"], made["enabled"]) == (201, URL, ["PASS"], True)
    assert made.pop("secret").startswith("whsec_")
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


def test_a_secret_is_shown_when_it_is_made_and_never_again(server: Any, caplog: pytest.LogCaptureFixture) -> None:
    made = server.post("/v1/webhooks", json={"url": URL}).json()
    path = f"/v1/webhooks/{made['id']}"
    rotated = server.post(f"{path}/rotate", json={"keep_old_s": 60}).json()
    assert rotated["secret"].startswith("whsec_")
    assert rotated["secret"] != made["secret"]
    shown = [
        server.get(path),
        server.get("/v1/webhooks"),
        server.call("PATCH", path, json={"enabled": False}),
        server.call("PATCH", path, json={"secret": made["secret"]}),
        server.get(f"{path}/deliveries"),
    ]
    for secret in (made["secret"], rotated["secret"]):
        assert all(secret not in answer.text for answer in shown)
        assert secret not in caplog.text
    assert server.post(f"{path}/rotate", json={"keep_old_s": -1}).status_code == 400
    assert server.post("/v1/webhooks/nonsense/rotate", json={}).status_code == 404


def test_a_webhook_is_changed(either: Any) -> None:
    site = either.get("/v1/sites").json()["items"][0]["id"]
    made = either.post("/v1/webhooks", json={"url": URL, "sites": [site]}).json()
    path = f"/v1/webhooks/{made['id']}"
    changed = {
        "url": URL + "2",
        "cameras": ["door"],
        "sites": [],
        "statuses": ["REJECT"],
        "alarms": True,
        "enabled": False,
    }
    found = either.call("PATCH", path, json=changed).json()
    assert {k: found[k] for k in changed} == changed
    assert either.get(path).json() == found
    for wrong in (
        {"url": "ftp://h/"},
        {"sites": ["nowhere"]},
        {"galleries": ["none"]},
        {"statuses": [], "alarms": False},
    ):
        assert either.call("PATCH", path, json=wrong).status_code == 400
    assert either.call("PATCH", path, json={"cameras": ["\u0000"]}).status_code == 400
    assert either.get(path).json() == found


def test_filters_decide_who_is_told(either: Any, event: Any) -> None:
    wanted = {"door": {"cameras": ["door"]}, "elsewhere": {"cameras": ["gate"]}, "gallery": {"galleries": ["default"]}}
    hooks = {k: either.post("/v1/webhooks", json={"url": URL, **v}).json()["id"] for k, v in wanted.items()}
    either.edge().send(event(), event(gallery_id="default"))

    def told(webhook: str) -> int:
        return len(either.get(f"/v1/webhooks/{hooks[webhook]}/deliveries").json()["items"])

    assert {k: told(k) for k in hooks} == {"door": 2, "elsewhere": 0, "gallery": 1}


def test_deliveries_are_done_over_by_id_and_by_range(either: Any, event: Any) -> None:
    early = event()
    edge = either.edge()
    edge.send(early)
    hook = either.post("/v1/webhooks", json={"url": URL}).json()["id"]
    edge.send(event())
    path = f"/v1/webhooks/{hook}"

    def told() -> list[str]:
        return [d["event_id"] for d in either.get(f"{path}/deliveries", params={"state": "pending"}).json()["items"]]

    assert len(told()) == 1
    response = either.post(f"{path}/replay", json={"ids": [str(early.id)]})
    assert (response.status_code, response.json()) == (202, {"queued": 1, "next_since": None})
    assert str(early.id) in told()
    assert either.post(f"{path}/replay", json={"since": "2025-12-31T00:00:00Z"}).json()["queued"] == 2
    assert (
        either.post(f"{path}/replay", json={"since": "2025-12-30T00:00:00Z", "until": "2025-12-31T00:00:00Z"}).json()[
            "queued"
        ]
        == 0
    )
    delivery = either.get(f"{path}/deliveries").json()["items"][0]["id"]
    assert either.get(f"{path}/deliveries/{delivery}/attempts").json() == {"items": [], "next": None}
    for wrong in (
        {},
        {"until": "2026-01-01T00:00:00Z"},
        {"ids": ["a"], "since": "2026-01-01T00:00:00Z"},
        {"ids": ["\u0000"]},
    ):
        assert either.post(f"{path}/replay", json=wrong).status_code == 400
    assert either.post(f"{path}/replay", json={"ids": ["nonsense"]}).status_code == 404
    assert either.get(f"{path}/deliveries/nonsense/attempts").status_code == 404


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "10.0.0.8", "169.254.169.254",
     "[::1]", "[::ffff:169.254.169.254]", "[64:ff9b::a9fe:a9fe]", "[fe80::1]", "0.0.0.0"],
)  # fmt: skip
def test_a_private_address_is_refused_with_a_remedy(server: Any, host: str) -> None:
    response = server.post("/v1/webhooks", json={"url": f"http://{host}/hook"})
    assert (response.status_code, response.json()["code"]) == (400, "forbidden_address")
    assert "WEBHOOK_ALLOW" in response.json()["remedy"]


def test_a_private_host_is_allowed_by_name(fresh: Any, running: Any, tmp_path: Any) -> None:
    with running(fresh(tmp_path), tmp_path, WEBHOOK_ALLOW="127.0.0.1:8080,localhost") as server:
        for url, status in (
            ("http://127.0.0.1:8080/", 201),
            ("http://localhost:1/", 201),
            ("http://127.0.0.1/", 400),
            ("http://127.1:8080/", 400),
        ):
            assert server.post("/v1/webhooks", json={"url": url}).status_code == status


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
        "http://h\\@i/",
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
