from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from control_plane.dispatch import dead_letters
from control_plane.store import audit, deliveries, enrollments, events, failures, galleries, imports, webhooks
from control_plane.store.db import Database, utcnow
from control_plane.store.deliveries import RETRY_AFTER_S
from control_plane.store.tables import deliveries as delivery_rows
from faces.events import Event, Status, uuid7
from rollcall.cli import cli
from rollcall.jobs_commands import KINDS
from tests import services
from tests.jobs.test_webhooks import Receiver, receiver

__all__ = ["receiver"]

ROOT = Path(__file__).resolve().parents[2]
WITHIN_S = 60.0


class Shell:
    """The command line on a database."""

    def __init__(self, database: Database, folder: Path, broker: str = "") -> None:
        self.database, self.folder = database, folder
        self.settings = {"DATABASE_URL": str(database.url), "DATA_DIR": str(folder), "BROKER_URL": broker}

    def run(self, *words: str) -> Result:
        return CliRunner(env=self.settings).invoke(cli, ["jobs", *words])

    def failed(self) -> dict[str, Any]:
        done = self.run("failed", "--json")
        assert done.exit_code == 0, done.output
        return dict(json.loads(done.stdout))

    def delivery(self, url: str, *, state: str = "pending") -> str:
        """A delivery to a webhook of its own that is at the end of its schedule."""
        now = utcnow()
        event = Event(id=uuid7(now, os.urandom(10)), camera="door", captured_at=now, status=Status.PASS)
        with self.database.write() as connection:
            hook = webhooks.create(connection, url, [Status.PASS], now).id
            events.append(connection, [event], site_id="default", edge_id="e", now=now)
            (made,) = deliveries.listing(connection, hook)
            this = delivery_rows.update().where(delivery_rows.c.id == made.id)
            connection.execute(this.values(state=state, step=len(RETRY_AFTER_S)))
        return made.id

    def failed_import(self) -> str:
        with self.database.write() as connection:
            made = imports.submit(connection, utcnow(), gallery_id=galleries.DEFAULT_GALLERY, blob="archives/x")
            imports.fail(connection, made, utcnow(), {"code": "unreadable_archive", "message": "no [ZIP]"})
        return made

    def audited(self) -> list[tuple[str, str | None]]:
        with self.database.read() as connection:
            rows = audit.listing(connection)
        assert all(row.actor.startswith("cli:") for row in rows)
        return [(row.action, row.resource_id) for row in rows]


@pytest.fixture
def shell(database: Database, tmp_path: Path) -> Shell:
    return Shell(database, tmp_path)


@contextmanager
def a_worker(shell: Shell) -> Iterator[None]:
    settings = {**os.environ, **shell.settings, "WEBHOOK_ALLOW": "127.0.0.1", "WORKER_THREADS": "1"}
    with (shell.folder / "worker.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "jobs.worker"], env=settings, stderr=log, cwd=ROOT)
    try:
        yield
        assert process.poll() is None
    finally:
        process.terminate()
        process.wait()


def eventually(fact: Callable[[], bool], shell: Shell) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not fact():
        assert time.monotonic() < deadline, (shell.folder / "worker.log").read_text()
        time.sleep(0.05)


def test_where_nothing_has_failed_that_is_said(shell: Shell) -> None:
    assert shell.failed() == {"counts": {}, "failures": [], "dead_letters": None}
    assert shell.run("failed").output == "Nothing has failed.\n"
    assert shell.run("retry", "--all").output == "0 will be done over.\n"


def test_what_failed_is_shown_with_its_reason_and_whether_it_can_be_retried(shell: Shell) -> None:
    delivery, archive = shell.delivery("http://h/", state="failed"), shell.failed_import()
    shown = shell.run("failed").output
    lines = {line.split()[1]: line for line in shown.splitlines() if "│" in line}
    assert "yes" in lines["delivery"]
    assert delivery in lines["delivery"]
    assert "unreadable_archive: no [ZIP]" in lines["import"]
    assert archive in lines["import"]
    assert "delivery: 1, import: 1" in shown
    found = shell.failed()
    assert found["counts"] == {"delivery": 1, "import": 1}
    assert [(f["kind"], f["id"], f["obstacle"]) for f in found["failures"]] == [
        ("delivery", delivery, None),
        ("import", archive, failures.DELETED),
    ]


def test_a_retry_says_what_it_could_not_do_and_is_audited_once(shell: Shell) -> None:
    delivery, archive = shell.delivery("http://h/", state="failed"), shell.failed_import()
    done = shell.run("retry", delivery, archive)
    assert (done.exit_code, done.stdout) == (1, "1 will be done over.\n")
    assert done.stderr == f"{archive}: {failures.DELETED}\n"
    again = shell.run("retry", delivery)
    assert (again.exit_code, again.stdout) == (1, "0 will be done over.\n")
    assert "has not failed (any more)" in again.stderr
    assert shell.audited() == [("delivery.retry", delivery)]


def test_all_are_retried_or_those_of_a_kind(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures.page, "__defaults__", (2,))
    made = {shell.delivery("http://h/", state="failed") for _ in range(3)}
    shell.failed_import()
    assert shell.run("retry", "--all", "--kind", "import").output == "0 will be done over.\n"
    assert shell.run("retry", "--all", "--kind", "delivery").output == "3 will be done over.\n"
    assert shell.run("retry", "--all").output == "0 will be done over.\n"
    assert set(shell.audited()) == {("delivery.retry", i) for i in made}
    assert shell.failed()["counts"] == {"import": 1}


def test_all_are_retried_once_also_where_they_fail_anew_at_once(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures.page, "__defaults__", (1,))
    made = {shell.delivery("http://h/", state="failed") for _ in range(2)}
    asked: list[str] = []

    def fail_anew(_: object, found: list[failures.Failure], __: object) -> list[failures.Failure]:
        asked.extend(failure.id for failure in found)
        assert len(asked) <= len(made)
        return found

    monkeypatch.setattr(failures, "retry", fail_anew)
    assert shell.run("retry", "--all").output == "2 will be done over.\n"
    assert set(asked) == made


def test_the_kinds_on_the_command_line_are_all_that_there_are() -> None:
    assert set(KINDS) == set(failures.Kind)


@pytest.mark.parametrize("words", [(), ("x", "--all"), ("x", "--kind", "import"), ("--kind", "import")])
def test_a_retry_of_no_clear_extent_is_none(shell: Shell, words: tuple[str, ...]) -> None:
    assert shell.run("retry", *words).exit_code == 2


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1", "amqp://127.0.0.1:1", "amqp://nowhere.invalid"])
def test_a_broker_out_of_reach_is_told_and_the_rows_are_shown(store: Database, tmp_path: Path, url: str) -> None:
    shell = Shell(store, tmp_path, url)
    archive = shell.failed_import()
    done = shell.run("failed", "--json")
    assert "broker does not answer" in done.stderr
    assert [f["id"] for f in json.loads(done.stdout)["failures"]] == [archive]


@pytest.fixture(params=[services.BROKER] if services.BROKER else ["redis", "rabbitmq"])
def broker(request: pytest.FixtureRequest) -> str:
    return services.redis_url() if request.param == "redis" else services.rabbitmq_url()


def test_what_workers_fail_at_is_seen_and_a_delivery_arrives_by_a_retry(
    store: Database, tmp_path: Path, broker: str, receiver: Receiver
) -> None:
    shell = Shell(store, tmp_path, broker)
    dead = dead_letters(broker)["encode"]
    receiver.status = 500
    delivery = shell.delivery(receiver.url)
    with store.write() as connection:
        # There is no such photo: the job dies of it.
        lost = {"gallery_id": galleries.DEFAULT_GALLERY, "blob": "photos/lost", "sha256": "", "name": "Ann"}
        enrollments.submit(connection, utcnow() - timedelta(minutes=1), **lost)
    with a_worker(shell):
        eventually(lambda: shell.failed()["counts"] == {"delivery": 1}, shell)
        (found,) = shell.failed()["failures"]
        assert (found["id"], found["attempts"]) == (delivery, 1)
        assert found["message"].endswith("the receiver answered 500")
        eventually(lambda: shell.failed()["dead_letters"]["encode"] > dead, shell)
        assert "encode " in shell.run("failed").output.splitlines()[-1]
        receiver.status = 204
        assert shell.run("retry", delivery).exit_code == 0
        eventually(lambda: len(receiver.got) == 2, shell)
    assert shell.failed()["counts"] == {}
    messages = {headers["webhook-id"] for headers, _ in receiver.got}
    assert len(messages) == 1
