from __future__ import annotations

import json
import logging
import threading
from datetime import timedelta
from typing import Any

import pytest
import requests
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from control_plane.metrics import Metrics
from control_plane.store import discards, enrollments, erasures, identifications, imports, reencodings
from control_plane.store.db import Database, utcnow
from control_plane.store.galleries import DEFAULT_GALLERY
from faces import wire
from faces.encoding import FACE_RECOGNITION, SFACE
from faces.errors import SettingError
from faces.logs import IDS, REQUEST_ID, JsonLines
from tests.control_plane.conftest import reserved_port


def samples(metrics: Metrics) -> dict[tuple[str, tuple[str, ...]], float]:
    """By name and the values of its labels."""
    text = generate_latest(metrics.registry).decode()
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_requests_are_counted_by_the_template_of_their_path_which_names_nobody(server: Any, wait_for: Any) -> None:
    person = server.person("Ann Unforgettable")
    server.get(f"/v1/identities/{person}")
    server.get("/v1/identities/nobody-there")
    requests.get(f"{server.url}/nothing/here", timeout=9)
    counted = {
        ("rollcall_requests_total", ("GET", "/v1/identities/{id}", "200")): 1,
        ("rollcall_requests_total", ("GET", "/v1/identities/{id}", "404")): 1,
        ("rollcall_requests_total", ("GET", "none", "404")): 1,
        ("rollcall_request_seconds_count", ("/v1/identities/{id}",)): 2,
    }

    def all_counted() -> bool:
        found = samples(server.metrics)
        return all(found.get(name, 0) >= least for name, least in counted.items())

    # Each is counted when its answer has been sent.
    wait_for(all_counted)
    text = generate_latest(server.metrics.registry).decode()
    assert not any(word in text for word in (person, "Unforgettable", "nobody-there", "nothing"))


def test_every_answer_bears_the_requests_id_and_a_plain_one_is_kept(server: Any) -> None:
    made = server.get("/v1/sites").headers["X-Request-Id"]
    assert len(made) == 32
    assert server.get("/v1/sites", headers={"X-Request-Id": "gate-7.a"}).headers["X-Request-Id"] == "gate-7.a"
    assert server.get("/v1/sites", headers={"X-Request-Id": "a b\tc"}).headers["X-Request-Id"] != "a b\tc"


def test_open_sockets_are_counted(server: Any, wait_for: Any) -> None:
    key = ("rollcall_sockets", ("/ws/face-stream",))
    socket = server.socket("/ws/face-stream", wire.WATCH_PROTOCOL)
    wait_for(lambda: samples(server.metrics).get(key) == 1)
    socket.close()
    wait_for(lambda: samples(server.metrics)[key] == 0)


def test_what_waits_and_who_lags_is_told_from_the_database(either: Any) -> None:
    edge = either.edge()
    with either.database.write() as connection:
        enrollments.submit(connection, utcnow(), gallery_id=DEFAULT_GALLERY, blob="photos/1", sha256="0", name="Ann")
    metrics = Metrics(either.database, lambda: utcnow() + timedelta(hours=1))
    found = samples(metrics)
    assert found["rollcall_database_up", ()] == 1
    assert found["rollcall_jobs_waiting", ("enroll",)] == 1
    assert 3599 < found["rollcall_jobs_oldest_seconds", ("enroll",)] < 3700
    assert (found["rollcall_edges", ()], found["rollcall_edges_silent", ()]) == (1, 1)
    assert edge.id not in generate_latest(metrics.registry).decode()


def test_an_edge_that_was_removed_is_neither_silent_nor_behind(either: Any) -> None:
    edge, later = either.edge(), Metrics(either.database, lambda: utcnow() + timedelta(hours=1))
    assert edge.call("PUT", "/v1/edge/galleries/default", wire.Report(position=wire.START)).status_code == 204
    names = ("rollcall_edges", "rollcall_edges_silent", "rollcall_sync_lag_revisions", "rollcall_sync_lag_seconds")

    def told() -> list[float]:
        found = samples(later)
        return [found[name, ()] for name in names]

    assert min(told()) > 0
    assert either.call("DELETE", f"/v1/edges/{edge.id}").status_code == 204
    assert told() == [0] * len(names)


def test_each_kind_of_job_that_waits_is_told_with_its_age(either: Any) -> None:
    now = utcnow()
    old = now - timedelta(hours=1)
    with either.database.write() as connection:
        identifications.submit(connection, old, galleries=[DEFAULT_GALLERY], blob="photos/1")
        imports.submit(connection, old, gallery_id=DEFAULT_GALLERY, blob="archives/1")
        discards.note(connection, ["photos/2"], old)
        erasures.note(connection, "somebody", {}, old)
    found = samples(Metrics(either.database, lambda: now))
    for kind in ("identify", "read_archive", "discard", "scrub"):
        assert found["rollcall_jobs_waiting", (kind,)] == 1, kind
        assert found["rollcall_jobs_oldest_seconds", (kind,)] == 3600, kind
    assert found["rollcall_jobs_waiting", ("reencode",)] == found["rollcall_jobs_oldest_seconds", ("reencode",)] == 0


def test_photos_that_wait_for_another_engine_are_told(either: Any) -> None:
    now = utcnow()
    either.person("Ann")
    with either.database.write() as connection:
        change = reencodings.begin(connection, FACE_RECOGNITION, now - timedelta(hours=1))
        reencodings.plan(connection, change, SFACE)
    found = samples(Metrics(either.database, lambda: now))
    assert found["rollcall_jobs_waiting", ("reencode",)] == 1
    assert found["rollcall_jobs_oldest_seconds", ("reencode",)] == 3600


def test_a_database_that_does_not_answer_is_a_figure_too() -> None:
    database = Database("postgresql://postgres@127.0.0.1:1/none")
    assert samples(Metrics(database, utcnow))["rollcall_database_up", ()] == 0


def test_the_metrics_have_a_port_of_their_own_that_names_its_setting_when_taken(sqlite: Database) -> None:
    metrics = Metrics(sqlite, utcnow)
    with reserved_port() as port:
        server, thread = metrics.serve("127.0.0.1", port)
        assert "rollcall_database_up 1.0" in requests.get(f"http://127.0.0.1:{port}/metrics", timeout=9).text
        with pytest.raises(SettingError, match="METRICS_PORT"):
            metrics.serve("127.0.0.1", port)
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_log_line_is_one_object_with_the_ids_that_run_through() -> None:
    record = logging.LogRecord("jobs.webhooks", logging.WARNING, "", 1, "failed\nfor %s", ("x",), None)
    record.event_id, record.request_id = "e1", "r1"
    told = json.loads(JsonLines("worker").format(record))
    assert told.pop("at")
    assert told == {
        "level": "warning",
        "process": "worker",
        "logger": "jobs.webhooks",
        "message": "failed\nfor x",
        "event_id": "e1",
        "request_id": "r1",
    }
    assert set(told) & set(IDS) == {"event_id", "request_id"}
    assert "\n" not in JsonLines("worker").format(record)


def test_each_request_has_an_id_of_its_own_in_the_logs(
    server: Any, monkeypatch: pytest.MonkeyPatch, wait_for: Any
) -> None:
    monkeypatch.setattr("control_plane.observed.SLOW_S", -1.0)
    seen: list[str] = []
    collecting = threading.Lock()

    def note(record: logging.LogRecord) -> bool:
        with collecting:
            seen.append(REQUEST_ID.get())
        return True

    logger = logging.getLogger("control_plane.observed")
    logger.addFilter(note)
    try:
        ids = [server.get("/v1/sites").headers["X-Request-Id"] for _ in range(3)]
        # A line is written when its answer has been sent.
        wait_for(lambda: len(seen) >= len(ids))
    finally:
        logger.removeFilter(note)
    assert seen == ids
