from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from control_plane import notes
from control_plane.config import Config
from control_plane.notes import Looks, Note
from control_plane.plane import Plane
from control_plane.store import audit
from control_plane.store.chain import Entry
from control_plane.store.db import Database, Unavailable

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ID = "01890000-0000-7000-8000-000000000000"


def entry(outcome: str = "done", actor: str = "key:k") -> Entry:
    return Entry(at=NOW, actor=actor, action="event.list", resource="event", outcome=outcome)


def test_an_address_is_no_longer_than_its_column() -> None:
    assert Note("key:k", "event.list", address="x" * 1000).entry(NOW).address == "x" * 64


@pytest.mark.parametrize(
    ("outcome", "made", "resource_id"),
    [
        ("done", None, "Ada"),
        ("not_found", None, None),
    ],
)
def test_what_was_not_found_may_be_a_name_and_is_left_out(outcome: str, made: object, resource_id: str | None) -> None:
    note = Note("key:k", "identity.erase", resource_id="Ada", other_id=ID)
    found = note.entry(NOW, outcome, made)
    assert (found.resource_id, found.other_id) == (resource_id, ID)


@pytest.mark.parametrize(("made", "resource_id"), [(ID, ID), ("rcj_secret", None), (None, None), (["x"], None)])
def test_what_a_transaction_made_is_named_by_its_id_alone(made: object, resource_id: str | None) -> None:
    assert Note("key:k", "site.create").entry(NOW, made=made).resource_id == resource_id


def test_a_request_is_said_once_however_often_it_writes_and_only_when_it_committed(
    fresh: Callable[[Path], Database], tmp_path: Path
) -> None:
    config = Config.read({"DATA_DIR": str(tmp_path)}, Path("/nonexistent"))
    database = fresh(tmp_path)
    plane = Plane(config, database, lambda: NOW).auditing(Note("key:k", "site.create"))
    with pytest.raises(ZeroDivisionError):
        plane.write_here(lambda connection: 1 / 0)
    plane.write_here(lambda connection: None, noted=False)
    with database.read() as connection:
        assert audit.listing(connection) == []
    for _ in range(3):
        plane.write_here(lambda connection: None)
    with database.read() as connection:
        assert [row.action for row in audit.listing(connection)] == ["site.create"]
    database.close()


def test_looks_wait_while_the_database_does_not_answer_and_too_many_are_not_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(notes, "SOON_S", 0.0)
    monkeypatch.setattr(notes, "RETRY_S", 0.0)
    monkeypatch.setattr(notes, "MOST_WAITING", 5)
    written: list[Entry] = []
    monkeypatch.setattr(audit, "append", lambda _connection, entries: written.extend(entries))

    async def story() -> None:
        up = asyncio.Event()

        async def write(work: Callable[[Any], Any]) -> None:
            if not up.is_set():
                raise Unavailable("away")
            work(None)

        looks = Looks(write)
        for number in range(5):
            looks.add(entry(str(number)))
        await asyncio.sleep(0)
        with pytest.raises(Unavailable):
            looks.check()
        up.set()
        await looks.close()
        looks.check()

    asyncio.run(story())
    assert [one.outcome for one in written] == list("01234")


def test_looks_that_are_being_written_at_the_end_are_written_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notes, "SOON_S", 0.0)
    written: list[Entry] = []
    monkeypatch.setattr(audit, "append", lambda _connection, entries: written.extend(entries))

    async def story() -> None:
        begun, on = asyncio.Event(), asyncio.Event()

        async def write(work: Callable[[Any], Any]) -> None:
            begun.set()
            await on.wait()
            work(None)

        looks = Looks(write)
        looks.add(entry())
        await begun.wait()
        closing = asyncio.create_task(looks.close())
        await asyncio.sleep(0)
        on.set()
        await closing

    asyncio.run(story())
    assert len(written) == 1


@pytest.mark.parametrize("closing", [False, True])
def test_a_look_that_no_database_takes_is_left_out_and_holds_up_no_other(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, closing: bool
) -> None:
    monkeypatch.setattr(notes, "SOON_S", 60.0 if closing else 0.0)

    async def story() -> None:
        async def write(work: Callable[[Any], Any]) -> Any:
            return await asyncio.to_thread(database.committed, work)

        looks = Looks(write)
        for actor in ("key:a", "key:\ud800", "key:b"):
            looks.add(entry(actor=actor))
        if not closing:
            assert looks._writing is not None
            await looks._writing
        looks.add(entry(actor="key:c"))
        await looks.close()

    asyncio.run(story())
    with database.read() as connection:
        assert [row.actor for row in audit.listing(connection)] == ["key:a", "key:b", "key:c"]
        assert audit.verify(connection) is None
    assert "left out of the audit log" in caplog.text
