"""Cancelling and undoing: what an import brought goes, and nothing else, however often it is begun."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from control_plane.store import galleries, identities, import_chunks, imports
from control_plane.store.imports import State
from faces.errors import Conflict

G = galleries.DEFAULT_GALLERY


def test_a_cancelled_import_keeps_what_it_enrolled_and_no_file_of_the_rest(
    office: Any, people: dict[str, list[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_chunks, "SIZE", 4)
    row = office.hand_in({f"{name}.jpg": photos[0] for name, photos in people.items()})
    office.planning.run(row)
    office.looking.run(f"{row}:0")
    office.admitting.run(row)
    office.looking.run(f"{row}:1")
    office.ask(imports.cancel, row)
    office.admitting.run(row)
    office.looking.run(f"{row}:2")
    done = office.work(row)
    assert (done.state, done.accepted, done.cancelled, done.pending) == (State.CANCELLED, 4, len(people) - 4, 0)
    assert len(office.files()) == len(office.people()) == 4
    office.undo(row)
    assert (office.people(), office.files()) == ({}, set())


def test_an_import_is_cancelled_before_it_is_planned(office: Any) -> None:
    row = office.hand_in({"a.jpg": b"x"})
    office.ask(imports.cancel, row)
    assert office.work(row).state is State.CANCELLED
    assert office.files() == set()


def test_undo_returns_gallery_photos_and_disk_to_the_state_before(
    office: Any, portraits: dict[str, bytes], people: dict[str, list[bytes]]
) -> None:
    office.take({"obama.jpg": portraits["obama"]})
    before = office.checksum(), office.people(), office.files()
    archive = {f"{name}/{n}.jpg": photo for name, photos in people.items() for n, photo in enumerate(photos)}
    done = office.take({"obama/2.jpg": portraits["obama2"], "like.jpg": portraits["obama"], **archive})
    assert office.people()["obama"] == 2
    assert (office.checksum(), office.people(), office.files()) != before
    for _ in range(2):
        undone = office.undo(done.id)
        assert (undone.state, undone.accepted) == (State.UNDONE, 0)
        assert (office.checksum(), office.people(), office.files()) == before


def test_undo_leaves_what_others_touched(office: Any, portraits: dict[str, bytes]) -> None:
    now = datetime.now(UTC)
    first = office.take(
        {
            "renamed.jpg": portraits["biden"],
            "given.jpg": portraits["obama"],
            "only.jpg": portraits["lin-manuel-miranda"],
        }
    )
    office.take({"given/more.jpg": portraits["obama2"]})
    with office.database.write() as connection:
        renamed = identities.by_name(connection, "renamed", G)
        assert renamed is not None
        identities.update(connection, renamed, now, name="Joe")
    office.undo(first.id)
    assert office.people() == {"Joe": 0, "given": 1}
    assert len(office.files()) == 1
    office.checksum()


def test_a_photo_that_two_imports_brought_goes_with_the_last_of_them(office: Any, portraits: dict[str, bytes]) -> None:
    archive = {"biden.jpg": portraits["biden"]}
    first, second = office.take(archive), office.take(archive)
    office.undo(first.id)
    assert office.people() == {"biden": 1}
    assert len(office.files()) == 1
    office.undo(second.id)
    assert (office.people(), office.files()) == ({}, set())


@pytest.mark.parametrize("crash_at", range(1, 9))
def test_an_undo_that_crashes_anywhere_is_finished_by_the_next(
    office: Any, people: dict[str, list[bytes]], monkeypatch: pytest.MonkeyPatch, crash_at: int
) -> None:
    monkeypatch.setattr("jobs.ending.UNDONE_AT_ONCE", 3)
    before = office.checksum(), office.people(), office.files()
    done = office.take({f"{name}.jpg": photos[0] for name, photos in people.items()})
    steps = iter(range(1, 100))

    class Crash(BaseException):
        pass

    def crashing(real: Any) -> Any:
        def call(*arguments: Any) -> Any:
            if next(steps) == crash_at:
                raise Crash
            result = real(*arguments)
            if next(steps) == crash_at:
                raise Crash
            return result

        return call

    office.ask(imports.undo, done.id)
    with monkeypatch.context() as patched:
        patched.setattr(office.ending, "_step", crashing(office.ending._step))
        patched.setattr(office.blobs, "delete", crashing(office.blobs.delete))
        with pytest.raises(Crash):
            office.ending.run(done.id)
    assert office.shown(done.id).state is State.UNDOING
    with office.database.write() as connection:
        from control_plane.store.tables import imports as table

        connection.execute(table.update().values(lease_until=None))
    assert office.work(done.id).state is State.UNDONE
    office.tidy()
    assert (office.checksum(), office.people(), office.files()) == before


def test_a_photo_handed_over_and_then_taken_back_leaves_no_file_at_a_crash(
    office: Any, portraits: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = {"biden.jpg": portraits["biden"]}
    first, second = office.take(archive), office.take(archive)
    office.undo(first.id)
    office.ask(imports.undo, second.id)

    def crash(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(office.blobs, "delete", crash)
        with pytest.raises(KeyboardInterrupt):
            office.ending.run(second.id)
    office.tidy()
    assert (office.people(), office.files()) == ({}, set())


def test_an_import_that_runs_cannot_be_undone_and_one_that_failed_neither(office: Any) -> None:
    running = office.hand_in({"a.jpg": b"x"})
    failed = office.hand_in(b"no archive")
    office.planning.run(running)
    office.planning.run(failed)
    for row in (running, failed):
        with pytest.raises(Conflict), office.database.write() as connection:
            imports.undo(connection, row)
    with pytest.raises(Conflict), office.database.write() as connection:
        imports.cancel(connection, failed)
