"""Workers killed at random moments of an import: its end is that of an undisturbed one, whatever carries the messages.

The short form runs with the other tests. `pytest -m soak tests/jobs/test_kills.py` kills 60 times on each broker.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from control_plane.store import discards, identities, import_items, imports, schema
from control_plane.store.db import Database, utcnow
from faces.engine import Engine
from tests import services
from tests.conftest import vault_in

ROOT = Path(__file__).resolve().parents[2]
STUCK_S = 60.0
"""An import that has not moved for so long, with nobody killed meanwhile, will never end."""

KILLED_WITHIN_S = 0.8


class Mortals:
    """Workers as processes of their own, one of which is killed now and then, and replaced."""

    def __init__(self, folder: Path, settings: dict[str, str], count: int, dice: random.Random) -> None:
        self._environment = {**os.environ, **settings, "DATA_DIR": str(folder), "WORKER_THREADS": "1"}
        self._folder, self._dice = folder, dice
        self._started = 0
        self._running = [self._start() for _ in range(count)]

    def kill_one(self) -> None:
        """Wait until one is at work, and a random while more; then SIGKILL it and start another."""
        index = self._dice.randrange(len(self._running))
        process, log = self._running[index]
        deadline = time.monotonic() + 60
        while "worker ready" not in log.read_text() and time.monotonic() < deadline:
            assert process.poll() is None, log.read_text()
            time.sleep(0.01)
        time.sleep(self._dice.uniform(0, KILLED_WITHIN_S))
        process.send_signal(signal.SIGKILL)
        process.wait()
        self._running[index] = self._start()

    def stop(self) -> None:
        for process, _ in self._running:
            process.kill()
            process.wait()

    def _start(self) -> tuple[subprocess.Popen[bytes], Path]:
        self._started += 1
        log = self._folder / f"worker-{self._started}.log"
        with log.open("wb") as file:
            command = [sys.executable, "-m", "tests.jobs.mortal_worker"]
            return subprocess.Popen(command, env=self._environment, stdout=file, stderr=file, cwd=ROOT), log


def photos(data: Path, count: int) -> dict[str, bytes]:
    """People with several photos, doubles, look-alikes under other names, and files that are no photo."""
    found: dict[str, bytes] = {}
    for person in sorted((data / "people").iterdir()):
        files = [p.read_bytes() for p in sorted(person.iterdir())]
        for number, photo in enumerate(files):
            found[f"{person.name}/{number}.jpg"] = photo
        found[f"{person.name}/again.jpg"] = files[0]
        found[f"not {person.name}.jpg"] = files[1]
        found[f"{person.name}/broken.jpg"] = b"\xff\xd8\xff no photo"
    return dict(list(found.items())[:count])


def end_of(office: Any, import_id: str) -> dict[str, Any]:
    """All that there is at the end of an import, without ids; and that nothing is there twice or without its owner."""
    office.checksum()
    with office.database.read() as connection:
        people = identities.listing(connection, limit=500)
        brought = import_items.brought(connection, import_id, 10_000)
        photos = {p.id: person.name for person in people for p in identities.photos_of(connection, person.id)}
        blobs = {
            p: identities.photo_blob(connection, person.id, p)
            for person in people
            for p in (q.id for q in identities.photos_of(connection, person.id))
        }
    assert sorted(item.photo_id for item in brought) == sorted(photos)
    acceptable = sum(str(i.reason) in import_items.ACCEPTABLE for i in office.items(import_id))
    assert len(office.files()) == len(blobs) + acceptable
    content = {p: sha256(office.blobs.get(blob)).hexdigest() for p, blob in blobs.items()}
    return {
        "outcomes": [
            (i.seq, i.entry, str(i.state), i.reason, (i.detail or {}).get("name"), (i.detail or {}).get("distance"))
            for i in office.items(import_id)
        ],
        "photos": sorted((name, content[p]) for p, name in photos.items()),
        "encodings": sorted(_templates(office)),
    }


def _templates(office: Any) -> Iterator[tuple[str, str]]:
    from control_plane.store import encodings

    with office.database.read() as connection:
        for person in identities.listing(connection, limit=500):
            for template in encodings.data_of(connection, person.id):
                yield person.name, sha256(template).hexdigest()


class Stuck(Exception):
    """The import will never end."""


def killed_to_the_end(
    office: Any, folder: Path, settings: dict[str, str], archive: dict[str, bytes], **how: Any
) -> int:
    """Import an archive while workers are killed; returns how many were. Raises Stuck."""
    import_id = office.hand_in(archive)
    mortals = Mortals(folder, settings, how.get("workers", 1), how["dice"])
    kills = 0
    try:
        last, moved_at = None, time.monotonic()
        while (shown := office.shown(import_id)).state in imports.ACTIVE:
            standing = (shown.state, shown.pending, shown.total, office_position(office))
            if standing != last:
                last, moved_at = standing, time.monotonic()
            if time.monotonic() - moved_at > STUCK_S:
                raise Stuck(standing)
            if kills < how["kills"] and time.monotonic() - moved_at < STUCK_S / 2:
                mortals.kill_one()
                kills += 1
            else:
                time.sleep(0.05)
        # What the killed ones noted to be deleted, and did not come to delete, others do.
        left_at = time.monotonic() + STUCK_S
        while noted := office_discards(office):
            if time.monotonic() > left_at:
                raise Stuck(noted)
            time.sleep(0.05)
    finally:
        mortals.stop()
    how["found"].append(import_id)
    return kills


def office_position(office: Any) -> int:
    from control_plane.store.tables import import_items as table

    with office.database.read() as connection:
        return int(sum(connection.execute(table.select().with_only_columns(table.c.attempts)).scalars()))


def office_discards(office: Any) -> list[str]:
    with office.database.read() as connection:
        return discards.until(connection, utcnow())


@pytest.fixture
def settings(broker: str) -> dict[str, str]:
    """What the workers are told for a broker."""
    url = {"embedded": str, "redis": services.redis_url, "rabbitmq": services.rabbitmq_url}[broker]()
    return {"BROKER_URL": url}


@pytest.fixture
def database_of(broker: str, tmp_path: Path) -> Iterator[Any]:
    """Makes an empty database: SQLite for the embedded broker, Postgres for the others."""
    with ExitStack() as stack:

        def make(number: int, folder: Path) -> Database:
            if broker != "embedded":
                return Database(stack.enter_context(services.migrated_postgres()), vault=vault_in(folder))
            database = Database(f"sqlite:///{tmp_path / f'{number}.db'}", vault=vault_in(folder))
            schema.migrate(database, services.NOW)
            return database

        yield make


class Run:
    """Rounds of one archive, each on an empty database, until so many workers were killed."""

    def __init__(self, make: Any, office_of: Any, folder: Path, settings: dict[str, str]) -> None:
        self.make, self.office_of, self.folder, self.settings = make, office_of, folder, settings

    def office(self, number: int) -> tuple[Any, dict[str, str], Path]:
        folder = self.folder / str(number)
        folder.mkdir()
        database = self.make(number, folder)
        url = database.url.render_as_string(hide_password=False).replace("postgresql+psycopg", "postgresql")
        return self.office_of(database, folder / "blobs"), {**self.settings, "DATABASE_URL": url}, folder

    def undisturbed(self, archive: dict[str, bytes]) -> dict[str, Any]:
        office, _, _ = self.office(0)
        with office.database:
            return end_of(office, office.take(archive).id)

    def kill(self, archive: dict[str, bytes], expected: dict[str, Any], kills: int, workers: int, seed: int) -> int:
        """Returns how many rounds it took."""
        dice, rounds = random.Random(seed), 0
        while kills > 0:
            rounds += 1
            office, settings, folder = self.office(rounds)
            found: list[str] = []
            with office.database:
                kills -= killed_to_the_end(
                    office, folder, settings, archive, kills=kills, workers=workers, dice=dice, found=found
                )
                assert end_of(office, found[0]) == expected
        return rounds


@pytest.fixture
def run(database_of: Any, engine: Engine, tmp_path: Path, settings: dict[str, str], office_type: Any) -> Run:
    return Run(database_of, lambda database, folder: office_type(database, folder, engine), tmp_path, settings)


@pytest.mark.parametrize("broker", [services.BROKER or "embedded"])
def test_killed_workers_lose_and_double_nothing(run: Run, data: Path) -> None:
    archive = photos(data, 48)
    run.kill(archive, run.undisturbed(archive), kills=4, workers=1, seed=1)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("broker", ["embedded", "redis", "rabbitmq"])
def test_sixty_killed_workers_lose_and_double_nothing(run: Run, data: Path, broker: str) -> None:
    archive = photos(data, 300)
    seed = int(os.environ.get("SEED", "1"))
    workers = 1 if broker == "embedded" else 3
    rounds = run.kill(archive, run.undisturbed(archive), kills=60, workers=workers, seed=seed)
    print(f"{broker}: 60 SIGKILLs in {rounds} imports of {len(archive)} photos")


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("broker", ["embedded"])
def test_the_harness_sees_work_that_is_acknowledged_before_it_is_committed(run: Run, data: Path) -> None:
    archive = photos(data, 300)
    expected = run.undisturbed(archive)
    run.settings = {**run.settings, "FAULT": "acknowledge_first"}
    with pytest.raises((Stuck, AssertionError)):
        run.kill(archive, expected, kills=20, workers=1, seed=2)
