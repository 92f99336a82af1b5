"""One event, and the request that brought it, in the logs of the three processes that had to do with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from rollcall.supervisor import Supervisor
from rollcall.up import Place, free_port, start_centre, start_edge
from tests import services
from tests.production.own import OwnRedis, running
from tests.test_river import until


def records(path: Path) -> list[dict[str, Any]]:
    """A process's log; its last line may not be whole yet."""
    return [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]


@pytest.fixture
def place(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """Control plane, worker and edge, as in production on a Postgres and a Redis; nothing answers at the webhook."""
    place = Place(data=tmp_path, port=free_port(), stream_port=free_port())
    with services.migrated_postgres() as url, running(OwnRedis) as redis, Supervisor(logs=tmp_path / "logs") as started:
        for name, value in {"DATABASE_URL": url, "BROKER_URL": redis.url, "LOG_FORMAT": "json"}.items():
            monkeypatch.setenv(name, value)
        start_centre(started, place)
        hook = {"url": "http://127.0.0.1:1/", "statuses": ["REJECT"]}
        assert requests.post(f"{place.url}/v1/webhooks", json=hook, timeout=10).status_code == 201
        film = str(data / "video" / "signer-1.mkv")
        start_edge(started, place, {"VIDEO_SOURCE": film, "VIDEO_LOOP": "loop", "VIDEO_PACE": "every_frame"})
        yield place


def test_an_event_and_the_request_that_brought_it_are_followed_from_the_camera_to_the_webhook(place: Place) -> None:
    logs = {name: place.data / "logs" / f"{name}.log" for name in ("edge", "control_plane", "worker")}

    def failed() -> dict[str, Any] | None:
        # Now and then the sweeper sees the row before the message about it comes: that job is nobody's request's.
        return next((r for r in records(logs["worker"]) if "event_id" in r and "request_id" in r), None)

    posted = until(failed, within_s=60, what="the webhook's failure on behalf of a request")
    event, request = posted["event_id"], posted["request_id"]
    assert posted["job"] == "deliver"
    (hook,) = requests.get(f"{place.url}/v1/webhooks", timeout=10).json()["items"]
    listed = requests.get(f"{place.url}/v1/webhooks/{hook['id']}/deliveries", timeout=10).json()["items"]
    assert posted["job_id"] in {delivery["id"] for delivery in listed}

    def logged() -> list[dict[str, Any]]:
        return [r for r in records(logs["control_plane"]) if r.get("request_id") == request]

    (stored,) = until(logged, what="the control plane's line about the request")
    assert event in stored["event_ids"]
    made = [r for r in records(logs["edge"]) if r.get("event_id") == event]
    assert [r["message"].split()[0] for r in made] == ["REJECT"]

    def acknowledged() -> dict[str, Any] | None:
        return next((r for r in records(logs["edge"]) if r.get("request_id") == request and "event_ids" in r), None)

    delivered = until(acknowledged, what="the edge's line about the batch")
    assert (delivered["process"], delivered["event_ids"]) == ("edge", stored["event_ids"])
