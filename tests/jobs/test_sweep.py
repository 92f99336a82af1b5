from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from control_plane.store import enrollments, galleries
from control_plane.store.db import Database, Unavailable
from jobs import sweep
from jobs.sweep import CALM_EVERY, NUDGE_AGAIN, Sweeper

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Clock:
    now = NOW

    def __call__(self) -> datetime:
        return self.now


def submit(database: Database) -> str:
    with database.write() as connection:
        return enrollments.submit(
            connection, NOW, gallery_id=galleries.DEFAULT_GALLERY, blob="photos/01", sha256="0", name="Ann"
        )


def test_a_due_row_is_nudged_once_and_again_when_its_message_was_lost(store: Database) -> None:
    clock, sent = Clock(), []
    sweeper = Sweeper(store, {enrollments.due: sent.append}, clock)
    row = submit(store)
    assert [sweeper.sweep(), sweeper.sweep()] == [1, 0]
    clock.now += NUDGE_AGAIN - timedelta(seconds=1)
    assert sweeper.sweep() == 0
    clock.now += timedelta(seconds=1)
    assert sweeper.sweep() == 1
    assert sent == [row, row]


def test_a_row_that_somebody_holds_is_left_alone_until_the_lease_runs_out(store: Database) -> None:
    clock, sent = Clock(), []
    sweeper = Sweeper(store, {enrollments.due: sent.append}, clock)
    row = submit(store)
    with store.write() as connection:
        enrollments.claim(connection, row, "one", NOW)
    assert sweeper.sweep() == 0
    clock.now += enrollments.LEASE
    assert sweeper.sweep() == 1


def test_what_nobody_waits_for_is_asked_every_so_often(store: Database) -> None:
    clock, sent = Clock(), []
    sweeper = Sweeper(store, {enrollments.due: sent.append}, clock, calm={enrollments.due})
    assert sweeper.sweep() == 0
    submit(store)
    assert sweeper.sweep() == 0
    clock.now += CALM_EVERY
    assert sweeper.sweep() == 1


def test_while_the_broker_or_the_database_is_away_the_sweeper_waits_and_then_sends(
    store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "RETRY_S", 0.01)
    stop, sent = threading.Event(), threading.Event()
    refusals = iter([ConnectionError(), Unavailable("away"), ConnectionError()])

    def send(_row: str) -> None:
        if refusal := next(refusals, None):
            raise refusal
        sent.set()

    submit(store)
    sweeper = Sweeper(store, {enrollments.due: send}, Clock(), failures=(ConnectionError,))
    thread = threading.Thread(target=sweeper.run, args=(stop,))
    thread.start()
    assert sent.wait(10)
    stop.set()
    thread.join(10)


def test_a_commit_is_noticed_while_it_runs(store: Database) -> None:
    stop, sent = threading.Event(), threading.Event()
    sweeper = Sweeper(store, {enrollments.due: lambda _row: sent.set()}, Clock())
    thread = threading.Thread(target=sweeper.run, args=(stop,))
    thread.start()
    try:
        submit(store)
        assert sent.wait(30)
    finally:
        stop.set()
        thread.join(30)
    assert not thread.is_alive()


def test_what_has_just_become_due_is_sent_at_once_and_nothing_else_is_asked(store: Database) -> None:
    def unasked(*_: object, **__: object) -> list[str]:
        raise AssertionError

    sent: list[str] = []
    sweeper = Sweeper(store, {enrollments.due: sent.append, unasked: sent.append}, Clock())
    row = submit(store)
    sweeper.look_at(enrollments.due)
    sweeper.look_at(enrollments.due)
    assert sent == [row]


def test_a_broker_that_is_away_when_something_becomes_due_leaves_it_to_the_next_sweep(store: Database) -> None:
    refusals, sent = iter([ConnectionError()]), []

    def send(row: str) -> None:
        for refusal in refusals:
            raise refusal
        sent.append(row)

    sweeper = Sweeper(store, {enrollments.due: send}, Clock(), failures=(ConnectionError,))
    row = submit(store)
    sweeper.look_at(enrollments.due)
    assert sweeper.sweep() == 1
    assert sent == [row]
