from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path

from control_plane.store import erasures, identities
from control_plane.store.blobs import BlobStore
from control_plane.store.db import Database
from jobs import scrub
from tests.conftest import NOW


def test_erasures_that_were_not_finished_are_finished_together(database: Database, tmp_path: Path) -> None:
    with database.write() as connection:
        people = [identities.create(connection, name, ["default"], NOW) for name in ("Ann", "Bob")]
        for person in people:
            identities.erase(connection, person, NOW)
    later = NOW + scrub.PATIENCE
    with database.read() as connection:
        assert scrub.due(connection, later - timedelta(seconds=1)) == []
        assert scrub.due(connection, later, limit=64) == [people[0]]
    scrub.Scrubbing(database, BlobStore(tmp_path), lambda: later).run(people[0])
    with database.read() as connection:
        assert scrub.due(connection, later) == []
        assert {erasures.get(connection, person).scrubbed_at for person in people} == {later}


def test_a_database_that_takes_long_to_write_anew_rests_before_the_next_time(sqlite: Database, tmp_path: Path) -> None:
    moments = iter([0.0, 2.0, 101.0, 103.0, 105.0])
    scrubbing = scrub.Scrubbing(sqlite, BlobStore(tmp_path), lambda: NOW + scrub.PATIENCE, lambda: next(moments))

    def erase(name: str) -> str:
        with sqlite.write() as connection:
            person = identities.create(connection, name, ["default"], NOW)
            identities.erase(connection, person, NOW)
        return person

    def done(person: str) -> bool:
        with sqlite.read() as connection:
            return erasures.get(connection, person).scrubbed_at is not None

    first = erase("Ann")
    scrubbing.run(first)
    second = erase("Bob")
    scrubbing.run(second)
    assert (done(first), done(second)) == (True, False)
    scrubbing.run(second)
    assert done(second)


def test_a_second_scrub_does_not_wait_for_the_first(sqlite: Database, tmp_path: Path) -> None:
    at_it, go_on = threading.Event(), threading.Event()

    def stopwatch() -> float:
        at_it.set()
        assert go_on.wait(30)
        return 0.0

    scrubbing = scrub.Scrubbing(sqlite, BlobStore(tmp_path), lambda: NOW + scrub.PATIENCE, stopwatch)
    first = threading.Thread(target=scrubbing.run, args=("",))
    first.start()
    assert at_it.wait(30)
    scrubbing.run("")
    assert first.is_alive()
    go_on.set()
    first.join()
