"""The alert rules fire on a product in that state, and on none that is well: by Prometheus's own evaluation."""

from __future__ import annotations

import shutil
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from control_plane.metrics import Metrics
from control_plane.store import enrollments, schema
from control_plane.store.db import Database, utcnow
from control_plane.store.galleries import DEFAULT_GALLERY
from faces import wire
from tests.conftest import absent, vault_in
from tests.control_plane.conftest import Server, running

RULES = Path(__file__).resolve().parents[2] / "deploy" / "alerts.yml"
JOB = 'job="rollcall_control_plane"'
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


def fires(metrics: Metrics, *alerts: str, folder: Path, before: Metrics | str = "", up: int = 1) -> None:
    """Fail if Prometheus, after scraping just this for twenty minutes, does not fire just these alerts."""
    if shutil.which("promtool") is None:
        absent("promtool (apt: prometheus)")
    series = [f"      - {{series: 'up{{{JOB}}}', values: '{up}+0x30'}}", *_series(metrics, str(before))]
    expected = [f"          - {{labels: '{{alertname=\"{name}\"}}', value: 1}}" for name in alerts]
    path = folder / "tests.yml"
    path.write_text(TESTS.format(rules=RULES, series="\n".join(series), expected="\n".join(expected) or "          []"))
    done = subprocess.run(["promtool", "test", "rules", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _series(metrics: Metrics, before: str) -> Any:
    """Each sample as it stands, from minute to minute; a counter grows from minute to minute by what it did since."""
    earlier = _values(before)
    for (name, labels), value in _values(generate_latest(metrics.registry).decode()).items():
        if name.startswith("rollcall_") and "_bucket" not in name:
            grown = value - earlier.get((name, labels), value if before == "" else 0)
            told = ",".join((JOB, *(f'{label}="{text}"' for label, text in labels)))
            yield f"      - {{series: '{name}{{{told}}}', values: '{value:g}+{grown:g}x30'}}"


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
    before = generate_latest(server.metrics.registry).decode()
    with server.database.engine.connect().execution_options(rollcall_no_begin=True) as connection:
        connection.exec_driver_sql("ALTER TABLE sites RENAME TO lost")
        for _ in range(10):
            assert requests.get(f"{server.url}/v1/sites", timeout=9).status_code == 503
        found = generate_latest(server.metrics.registry).decode()
        connection.exec_driver_sql("ALTER TABLE lost RENAME TO sites")
    assert _values(found) != _values(before)
    fires(server.metrics, "RollcallFaults", folder=tmp_path, before=before)


def test_a_photo_that_nobody_looks_at_fires(server: Server, tmp_path: Path) -> None:
    with server.database.write() as connection:
        enrollments.submit(connection, utcnow(), gallery_id=DEFAULT_GALLERY, blob="photos/1", sha256="0", name="Ann")
    fires(later(server), "RollcallJobsWait", folder=tmp_path)


def test_an_edge_that_is_silent_and_lacks_a_change_fires_both(server: Server, tmp_path: Path) -> None:
    edge = server.edge()
    assert edge.call("PUT", f"/v1/edge/galleries/{DEFAULT_GALLERY}", wire.Report(position=wire.START)).ok
    server.person("Ann")
    fires(later(server), "RollcallEdgesSilent", "RollcallSyncLags", folder=tmp_path)
