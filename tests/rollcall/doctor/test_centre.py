from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

import pytest
from rich.console import Console

from control_plane.store import joins, sites, version
from control_plane.store.db import Database, utcnow
from faces import wire
from jobs.config import Config as WorkerConfig
from rollcall.doctor import centre
from rollcall.doctor.finding import Verdict
from rollcall.doctor.run import examine
from tests import services
from tests.certificates import issue
from tests.conftest import vault_in

REDIS, AMQP = services.REDIS.rpartition("/")[0].rpartition("/")[2], services.AMQP.rpartition("@")[2]


def found(folder: Path, monkeypatch: pytest.MonkeyPatch, **settings: str) -> dict[str, Verdict]:
    for name, value in {"DATA_DIR": str(folder), **settings}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(centre, "SLOW_S", 60.0)
    monkeypatch.setattr("rollcall.doctor.disk.SLOW_S", 60.0)
    monkeypatch.setattr("rollcall.doctor.disk.TOO_SLOW_S", 60.0)
    return {finding.name: finding.verdict for finding in examine("centre", Console(quiet=True)).findings}


def test_a_centre_that_is_well_has_nothing_but_good_findings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o700)
    vault_in(tmp_path).close()
    with services.migrated_postgres() as url:
        told = found(tmp_path, monkeypatch, DATABASE_URL=url, BROKER_URL=services.redis_url())
    assert {"database", "schema", "clock", "edges", "keys", "broker", "bus", "model", "disk: room"} <= set(told)
    assert set(told.values()) == {Verdict.GOOD}


def test_a_database_that_is_away_or_empty_and_a_broker_that_is_away_are_faults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = found(
        tmp_path, monkeypatch, DATABASE_URL="postgresql://postgres@127.0.0.1:1/x", BROKER_URL="redis://127.0.0.1:1"
    )
    assert (told["database"], told["broker"]) == (Verdict.FAULT, Verdict.FAULT)
    with services.postgres_database() as url:
        told = found(tmp_path, monkeypatch, DATABASE_URL=url)
    assert (told["database"], told["schema"], told["edges"]) == (Verdict.GOOD, Verdict.FAULT, Verdict.UNKNOWN)


def test_a_broker_that_answers_and_does_not_let_us_in_is_a_fault_that_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = {
        f"redis://nobody:hidden-word@{REDIS}/0": "invalid username-password pair",
        f"redis://{REDIS}/9999": "out of range",
        f"amqp://guest:hidden-word@{AMQP}/": "ACCESS_REFUSED",
        f"amqp://guest:guest@{AMQP}/no-such-host": "vhost no-such-host not found",
        # What answers there is no RabbitMQ.
        f"amqp://guest:hidden-word@{REDIS}/": "does not let us in",
    }
    for url, told in wrong.items():
        (finding,) = centre.broker("broker", url)
        assert finding.verdict is Verdict.FAULT
        assert told in finding.told
        assert "hidden-word" not in f"{finding.told} {finding.remedy}"
    (finding,) = centre.broker("broker", services.rabbitmq_url())
    assert finding.verdict is Verdict.GOOD


def test_where_no_engine_is_installed_the_models_are_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    (finding,) = centre.models(WorkerConfig.read({}))
    assert finding.verdict is Verdict.UNKNOWN


def test_an_edge_that_is_silent_is_named_until_it_is_removed(sqlite: Database) -> None:
    hello = wire.Hello(name="box at the door", version="1", engine="sface", cameras=[])
    long_ago = utcnow() - timedelta(hours=1)
    with sqlite.write() as connection:
        sites.welcome(connection, "e1", hello, 1, long_ago)
        (finding,) = centre.edges(sites.edge_listing(connection, utcnow()))
        assert finding.verdict is Verdict.WARNING
        assert "box at the door" in finding.told
        joins.remove(connection, "e1", utcnow())
        (finding,) = centre.edges(sites.edge_listing(connection, utcnow()))
        assert finding.verdict is Verdict.GOOD


@pytest.mark.parametrize(
    ("number", "verdict"), [("", Verdict.FAULT), ("9999", Verdict.FAULT), (version.newest(), Verdict.GOOD)]
)
def test_a_schema_of_another_version_is_a_fault(number: str, verdict: Verdict) -> None:
    assert centre.schema(number).verdict is verdict


@pytest.mark.parametrize(("ahead_s", "verdict"), [(-3.0, Verdict.WARNING), (0.5, Verdict.GOOD), (9.0, Verdict.WARNING)])
def test_clocks_that_differ_are_a_warning(ahead_s: float, verdict: Verdict) -> None:
    assert centre.clock(ahead_s).verdict is verdict


@pytest.mark.parametrize(("days", "verdict"), [(-1, Verdict.FAULT), (3, Verdict.WARNING), (90, Verdict.GOOD)])
def test_the_certificate_that_is_shown_is_told_of_before_it_expires(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: float, verdict: Verdict
) -> None:
    cert, key, _ = issue(tmp_path, days)
    assert found(tmp_path, monkeypatch, TLS_CERT=str(cert), TLS_KEY=str(key))["certificate"] is verdict


def test_a_certificate_without_its_key_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cert, _, _ = issue(tmp_path)
    (tmp_path / "key").write_text("no key")
    assert (
        found(tmp_path, monkeypatch, TLS_CERT=str(cert), TLS_KEY=str(tmp_path / "key"))["certificate"] is Verdict.FAULT
    )
