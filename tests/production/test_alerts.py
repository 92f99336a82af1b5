"""The alert rules fire on a product in that state, and on none that is well: by Prometheus's own evaluation."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest
import requests
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from control_plane.metrics import Metrics
from control_plane.store import enrollments, erasures, events, schema, webhooks
from control_plane.store.db import Database, utcnow
from control_plane.store.galleries import DEFAULT_GALLERY
from edge import outlook
from edge.camera import Camera
from edge.metrics import CameraFigures, Figures
from edge.metrics import Metrics as EdgeMetrics
from edge.spool import Bounds, Spool
from faces import wire
from faces.addresses import Allowed
from faces.events import Status
from jobs.metrics import Metrics as WorkerMetrics
from jobs.outbound import Outbound
from jobs.together import Together
from jobs.webhooks import Delivering
from tests.conftest import absent, vault_in
from tests.control_plane.conftest import Server, event, running

RULES = Path(__file__).resolve().parents[2] / "deploy" / "alerts.yml"
PLANE, WORKER, EDGE = "rollcall_control_plane", "rollcall_worker", "rollcall_edge"
START = datetime.fromtimestamp(0, UTC)
"""When promtool's clock begins."""

TESTS = """
rule_files: [{rules}]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
{series}
    promql_expr_test:
      - expr: count by (alertname) (ALERTS{{alertstate="firing"}})
        eval_time: 20m
        exp_samples:
{expected}
"""


class Told(Protocol):
    """A process's metrics."""

    registry: CollectorRegistry


def fires(metrics: Told, *alerts: str, folder: Path, before: str = "", up: int = 1, job: str = PLANE) -> None:
    """Fail if Prometheus, after scraping just this for twenty minutes, does not fire just these alerts."""
    if shutil.which("promtool") is None:
        absent("promtool (apt: prometheus)")
    series = [f"      - {{series: 'up{{job=\"{job}\"}}', values: '{up}+0x30'}}", *_series(metrics, before, job)]
    expected = [f"          - {{labels: '{{alertname=\"{name}\"}}', value: 1}}" for name in alerts]
    path = folder / "tests.yml"
    path.write_text(TESTS.format(rules=RULES, series="\n".join(series), expected="\n".join(expected) or "          []"))
    done = subprocess.run(["promtool", "test", "rules", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _series(metrics: Told, before: str, job: str) -> Any:
    """Each sample as it stands, from minute to minute; what has changed since `before` grows by as much each minute. A
    label that Prometheus has a use for itself is renamed as it does."""
    earlier = _values(before)
    for (name, labels), value in _values(told(metrics)).items():
        if name.startswith("rollcall_") and "_bucket" not in name:
            grown = value - earlier.get((name, labels), value if before == "" else 0)
            own = (f'{"exported_job" if label == "job" else label}="{text}"' for label, text in labels)
            named = ",".join((f'job="{job}"', *own))
            yield f"      - {{series: '{name}{{{named}}}', values: '{value:g}+{grown:g}x30'}}"


def told(metrics: Told) -> str:
    return generate_latest(metrics.registry).decode()


def _values(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def server(tmp_path: Path) -> Any:
    database = Database(f"sqlite:///{tmp_path / 'rollcall.db'}", vault=vault_in(tmp_path))
    schema.migrate(database, utcnow())
    with running(database, tmp_path) as made:
        yield made


def later(server: Server) -> Metrics:
    """What would be told in an hour, if nothing happened until then."""
    return Metrics(server.database, lambda: utcnow() + timedelta(hours=1))


def test_a_product_that_is_well_fires_nothing(server: Server, tmp_path: Path) -> None:
    server.edge()
    server.get("/v1/sites")
    fires(server.metrics, folder=tmp_path)


def test_a_database_that_is_away_fires(tmp_path: Path) -> None:
    fires(Metrics(Database("postgresql://postgres@127.0.0.1:1/none"), utcnow), "RollcallDatabaseAway", folder=tmp_path)


def test_a_process_that_is_gone_fires(server: Server, tmp_path: Path) -> None:
    fires(server.metrics, "RollcallProcessAway", folder=tmp_path, up=0)


def test_faults_fire(server: Server, tmp_path: Path) -> None:
    before = told(server.metrics)
    with server.database.engine.connect().execution_options(rollcall_no_begin=True) as connection:
        connection.exec_driver_sql("ALTER TABLE sites RENAME TO lost")
        for _ in range(10):
            assert requests.get(f"{server.url}/v1/sites", timeout=9).status_code == 503
        found = told(server.metrics)
        connection.exec_driver_sql("ALTER TABLE lost RENAME TO sites")
    assert _values(found) != _values(before)
    fires(server.metrics, "RollcallFaults", folder=tmp_path, before=before)


def test_a_photo_that_nobody_looks_at_fires(server: Server, tmp_path: Path) -> None:
    with server.database.write() as connection:
        enrollments.submit(connection, utcnow(), gallery_id=DEFAULT_GALLERY, blob="photos/1", sha256="0", name="Ann")
    fires(later(server), "RollcallJobsWait", folder=tmp_path)


def test_an_erasure_that_waits_for_hours_fires(server: Server, tmp_path: Path) -> None:
    now = utcnow()
    with server.database.write() as connection:
        erasures.note(connection, "somebody", {}, now)
    fires(Metrics(server.database, lambda: now + timedelta(hours=5)), folder=tmp_path)
    fires(Metrics(server.database, lambda: now + timedelta(hours=7)), "RollcallErasuresWait", folder=tmp_path)


def test_an_edge_that_is_silent_and_lacks_a_change_fires_both(server: Server, tmp_path: Path) -> None:
    edge = server.edge()
    assert edge.call("PUT", f"/v1/edge/galleries/{DEFAULT_GALLERY}", wire.Report(position=wire.START)).ok
    server.person("Ann")
    fires(later(server), "RollcallEdgesSilent", "RollcallSyncLags", folder=tmp_path)


def test_a_receiver_that_only_fails_fires(server: Server, tmp_path: Path) -> None:
    now = utcnow()
    with server.database.write() as connection:
        webhooks.create(connection, "http://127.0.0.1:1/", [Status.PASS], now)
        events.append(connection, [event()], site_id="default", edge_id="e", now=now)
        (delivery,) = webhooks.pending_of(connection, [events.listing(connection)[0].id])
    outbound = Outbound(Allowed([("127.0.0.1", None)]))
    Delivering(server.database, Together(server.database), outbound, lambda: now).run(delivery)
    fires(Metrics(server.database, lambda: now + timedelta(minutes=9)), "RollcallJobsWait", folder=tmp_path)
    failing = Metrics(server.database, lambda: now + timedelta(minutes=11))
    fires(failing, "RollcallJobsWait", "RollcallWebhooksFail", folder=tmp_path)


@pytest.fixture
def worker() -> WorkerMetrics:
    """Of a worker that has just looked for what is due, and has had a job that fails if it is told to."""
    metrics = WorkerMetrics()
    metrics.swept(START)
    return metrics


def test_a_worker_that_works_fires_nothing(worker: WorkerMetrics, tmp_path: Path) -> None:
    job = worker.timed("enroll", lambda row_id: None)
    before = told(worker)
    job("row-1")
    worker.swept(START + timedelta(minutes=1))
    fires(worker, folder=tmp_path, before=before, job=WORKER)


def test_jobs_that_end_in_errors_fire(worker: WorkerMetrics, tmp_path: Path) -> None:
    def fail(row_id: str) -> None:
        raise ValueError(row_id)

    job = worker.timed("enroll", fail)
    before = told(worker)
    with pytest.raises(ValueError, match="row-1"):
        job("row-1")
    worker.swept(START + timedelta(minutes=1))
    fires(worker, "RollcallJobsFail", folder=tmp_path, before=before, job=WORKER)


def test_a_sweeper_that_hangs_fires(worker: WorkerMetrics, tmp_path: Path) -> None:
    fires(worker, "RollcallSweeperHangs", folder=tmp_path, job=WORKER)


class Gate:
    """An edge's camera and its spool, with the metrics on them."""

    def __init__(self, folder: Path) -> None:
        self.camera = Camera("door", "rtsp://127.0.0.1:1/")
        self.camera.up = True
        self.spool = Spool(folder / "spool.db", Bounds(events=3))
        self.unconfirmed_s, self.hangs = 1.0, 0
        self.metrics = EdgeMetrics(self._figures)

    def _figures(self) -> Figures:
        camera = self.camera
        status = wire.CameraStatus(name=camera.name, up=camera.up, fps=9.0)
        return Figures(
            cameras=[CameraFigures(status, camera.captured, 9, camera.losses, camera.decoding_s, camera.view)],
            spooled=len(self.spool),
            events=self.spool.outcomes,
            unconfirmed_s=self.unconfirmed_s,
            failing={},
            hangs=self.hangs,
        )


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    gate = Gate(tmp_path)
    yield gate
    gate.spool.close()


def test_an_edge_that_is_well_fires_nothing(gate: Gate, tmp_path: Path) -> None:
    before = told(gate.metrics)
    gate.spool.append(event())
    gate.spool.acknowledge([sent.id for sent in gate.spool.batch(9)])
    fires(gate.metrics, folder=tmp_path, before=before, job=EDGE)


def test_a_lost_camera_fires(gate: Gate, tmp_path: Path) -> None:
    gate.camera._lose("no such host")
    fires(gate.metrics, "RollcallCameraLost", folder=tmp_path, job=EDGE)


@pytest.mark.parametrize("seconds", [outlook.DARK_S, outlook.FROZEN_S])
def test_a_picture_that_is_dark_or_frozen_fires(gate: Gate, tmp_path: Path, seconds: float) -> None:
    picture = np.full((64, 64, 3), 0 if seconds == outlook.DARK_S else 200, np.uint8)
    for moment in (0.0, seconds):
        gate.camera._attempt.outlook.changed(picture, moment)
    fires(gate.metrics, "RollcallCameraBlind", folder=tmp_path, job=EDGE)


def test_an_edge_that_has_no_room_for_events_fires(gate: Gate, tmp_path: Path) -> None:
    before = told(gate.metrics)
    for _ in range(4):
        gate.spool.append(event())
    fires(gate.metrics, "RollcallEdgeLosesEvents", folder=tmp_path, before=before, job=EDGE)


def test_an_edge_whose_events_are_refused_fires(gate: Gate, tmp_path: Path) -> None:
    before = told(gate.metrics)
    refused = event()
    gate.spool.append(refused)
    gate.spool.quarantine(refused.id, "bad")
    fires(gate.metrics, "RollcallEdgeLosesEvents", folder=tmp_path, before=before, job=EDGE)


def test_an_edge_that_does_not_sync_fires(gate: Gate, tmp_path: Path) -> None:
    gate.unconfirmed_s = 301.0
    fires(gate.metrics, "RollcallEdgeUnconfirmed", folder=tmp_path, job=EDGE)


def test_an_edge_that_hangs_fires(gate: Gate, tmp_path: Path) -> None:
    before = told(gate.metrics)
    gate.hangs = 1
    fires(gate.metrics, "RollcallEdgeHangs", folder=tmp_path, before=before, job=EDGE)


def test_the_scrape_example_is_prometheus_s_and_names_the_jobs_as_the_rules_do(tmp_path: Path) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", (RULES.parents[1] / "docs" / "operations.md").read_text(), re.S)
    assert set(re.findall(r"job_name: (\w+)", example)) == {PLANE, WORKER, EDGE}
    if shutil.which("promtool") is None:
        absent("promtool (apt: prometheus)")
    (tmp_path / "prometheus.yml").write_text(example)
    shutil.copy(RULES, tmp_path / "alerts.yml")
    command = ["promtool", "check", "config", tmp_path / "prometheus.yml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_rule_is_seen_to_fire_here() -> None:
    named = re.findall(r"alert: (\w+)", RULES.read_text())
    here = Path(__file__).read_text()
    assert [name for name in named if f'"{name}"' not in here] == []
