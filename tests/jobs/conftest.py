"""Imports run by hand: the real jobs on a real database, one after the other, each step when a test says so."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from control_plane.store import discards, galleries, identities, import_chunks, import_items, imports
from control_plane.store.blobs import BlobStore
from control_plane.store.db import Database, new_id
from control_plane.store.import_items import Item
from control_plane.store.imports import Import, State
from faces.engine import Engine
from jobs.admission import Admission
from jobs.admitting import Admitting
from jobs.copies import Copies
from jobs.directory import Limits
from jobs.ending import Ending
from jobs.looking import Looking
from jobs.planning import Planning
from tests.conftest import NOW

G = galleries.DEFAULT_GALLERY


def clock() -> datetime:
    return datetime.now(UTC)


def zipped(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        for name, data in files.items():
            made.writestr(name, data)
    return buffer.getvalue()


class Office:
    """All that happens to an import, without processes and brokers."""

    def __init__(
        self,
        database: Database,
        folder: Path,
        engine: Engine,
        limits: Limits | None = None,
        *,
        require_consent: bool = False,
    ) -> None:
        self.database, self.folder, self.engine = database, folder, engine
        self.blobs = BlobStore(folder, database.vault)
        admission = Admission(Copies(engine.model), engine.model, engine.th_accept, require_consent=require_consent)
        self.planning = Planning(database, self.blobs, clock, limits)
        self.looking = Looking(database, self.blobs, engine, clock, limits=limits)
        self.admitting = Admitting(database, self.blobs, admission, clock, limits)
        self.ending = Ending(database, self.blobs, clock)

    def tidy(self) -> None:
        """Delete the files that a crash left, as the worker does a moment later."""
        with self.database.read() as connection:
            left = discards.due(connection, clock() + timedelta(minutes=1))
        discards.carry_out(self.database, self.blobs, left)

    def hand_in(self, archive: bytes | Mapping[str, bytes], **asked: Any) -> str:
        data = archive if isinstance(archive, bytes) else zipped(archive)
        blob = f"archives/{new_id(NOW)}"
        self.blobs.put(blob, data)
        with self.database.write() as connection:
            return imports.submit(connection, NOW, gallery_id=G, blob=blob, **asked)

    def due(self, query: Callable[..., list[str]]) -> list[str]:
        with self.database.read() as connection:
            return query(connection, clock(), limit=100)

    def step(self) -> bool:
        """Do what is due; False if nothing is."""
        jobs = (
            (imports.due, self.planning.run),
            (import_chunks.due, self.looking.run),
            (imports.admissible, self.admitting.run),
            (imports.ending, self.ending.run),
        )
        found = [(run, key) for query, run in jobs for key in self.due(query)]
        for run, key in found:
            run(key)
        return bool(found)

    def work(self, import_id: str) -> Import:
        """Work until nothing is due, and say how the import stands."""
        while self.step():
            pass
        return self.shown(import_id)

    def take(self, archive: bytes | Mapping[str, bytes], **asked: Any) -> Import:
        return self.work(self.hand_in(archive, **asked))

    def ask(self, what: Callable[..., object], *arguments: Any) -> None:
        with self.database.write() as connection:
            what(connection, *arguments)

    def undo(self, import_id: str) -> Import:
        self.ask(imports.undo, import_id)
        return self.work(import_id)

    def shown(self, import_id: str) -> Import:
        with self.database.read() as connection:
            return imports.get(connection, import_id)

    def items(self, import_id: str) -> list[Item]:
        with self.database.read() as connection:
            return import_items.listing(connection, import_id, limit=500)

    def outcomes(self, import_id: str) -> dict[str, str]:
        """By entry: the state, or the reason of a refusal."""
        return {i.entry: str(i.reason or i.state) for i in self.items(import_id)}

    def people(self) -> dict[str, int]:
        """Names, with how many photos each has."""
        with self.database.read() as connection:
            return {i.name: i.photos for i in identities.listing(connection, limit=500)}

    def files(self) -> set[str]:
        return {str(p.relative_to(self.folder)) for p in self.folder.rglob("*") if p.is_file()}

    def checksum(self) -> int:
        with self.database.read() as connection:
            assert galleries.position(connection, G).checksum == galleries.recomputed_checksum(connection, G)
            return galleries.position(connection, G).checksum


__all__ = ["Office", "State", "zipped"]


@pytest.fixture
def office(store: Database, tmp_path: Path, engine: Engine) -> Office:
    return Office(store, tmp_path / "blobs", engine)


@pytest.fixture(name="zipped")
def zipped_fixture() -> Callable[[Mapping[str, bytes]], bytes]:
    return zipped


@pytest.fixture
def portraits(data: Path) -> dict[str, bytes]:
    """Portraits by their files' stems."""
    return {p.stem: p.read_bytes() for p in (data / "portraits").iterdir()}


@pytest.fixture
def people(data: Path) -> dict[str, list[bytes]]:
    """Photos of real people by name."""
    return {p.name: [f.read_bytes() for f in sorted(p.iterdir())] for p in sorted((data / "people").iterdir())[:12]}


@pytest.fixture
def office_type() -> type[Office]:
    return Office
