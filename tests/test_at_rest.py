"""With the three processes at work on real faces, nothing that is biometric lies on a disk: no template, no picture."""

from __future__ import annotations

import io
import os
import sqlite3
import threading
import zipfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import requests
import sqlalchemy as sa

from control_plane.store import galleries, schema, tables
from control_plane.store.db import Database
from rollcall.supervisor import Process, Supervisor
from rollcall.up import HOST, Place, free_port, start_edge
from tests.conftest import NOW, vault_in
from tests.scan import blocks_of, found_in
from tests.test_river import PEOPLE, until

KINDS = {"rollcall.db", "blobs/photos", "galleries.db", "spool.db"}


class Site:
    """Control plane, worker and edge, with folders for their data and their temporary files."""

    def __init__(self, supervisor: Supervisor, folder: Path, database_url: str | None, *, encrypt: bool) -> None:
        self.folder, self.supervisor, self.database_url = folder, supervisor, database_url
        (folder / "tmp").mkdir()
        self.place = Place(data=folder / "data", port=free_port(), stream_port=0)
        self.settings = {
            "DATA_DIR": str(self.place.data),
            "TMPDIR": str(folder / "tmp"),
            "ENCRYPT": str(encrypt).lower(),
            "HOST": HOST,
            "PORT": str(self.place.port),
            "STREAM_PORT": "0",
        }
        self.settings |= {"DATABASE_URL": database_url} if database_url else {}
        supervisor.start(Process("control plane", "control_plane", self.settings))
        supervisor.wait_ready(f"{self.place.url}/readyz")
        supervisor.start(Process("worker", "jobs.worker", self.settings))
        self.known: list[bytes] = []

    def post(self, path: str, **what: Any) -> dict[str, Any]:
        answer = requests.post(f"{self.place.url}{path}", timeout=60, **what)
        assert answer.status_code < 300, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def get(self, path: str) -> Any:
        return requests.get(f"{self.place.url}{path}", timeout=60)

    def enrol(self, data: Path) -> None:
        """People by photo and by import (of which one is refused, and kept), a correction, and a question."""
        for name, photo in PEOPLE:
            files = {"image": ("p", self._photo(data / "portraits" / photo))}
            assert self.post("/register", data={"name": name}, files=files)["success"]
        archive = {
            f"{folder.name}/{path.name}": self._photo(path)
            for folder in sorted((data / "people").iterdir())[:3]
            for path in sorted(folder.iterdir())[:2]
        }
        archive["somebody else.jpg"] = next(iter(archive.values()))
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as made:
            for entry, photo_bytes in archive.items():
                made.writestr(entry, photo_bytes)
            # So large that a form's file would not stay in memory.
            made.writestr("padding.bin", os.urandom(2 << 20))
        files = {"zip": ("faces.zip", buffer.getvalue())}
        done = self.post("/v1/imports", files=files, headers={"Prefer": "wait=60"})
        assert (done["state"], done["accepted"], done["refused"]) == ("done", 6, 1)
        person = self.get("/v1/identities").json()["items"][0]["id"]
        stranger, other = (self._photo(path) for path in sorted((data / "strangers").iterdir())[:2])
        headers = {"Content-Type": "image/jpeg", "Prefer": "wait=60"}
        told = self.post(f"/v1/identities/{person}/corrections", data=stranger, headers=headers)
        assert told["state"] == "accepted"
        assert self.post("/v1/identify", data=other, headers=headers)["state"] == "done"

    def encode_anew(self) -> None:
        made_anew = self.post("/v1/reencodings", json={"engine": "face_recognition"})["id"]
        until(lambda: self.get(f"/v1/reencodings/{made_anew}").json()["state"] == "ready", within_s=60)

    def watch(self, data: Path) -> None:
        """A film passes the camera; then the line is down, and events wait."""
        film = {"VIDEO_SOURCE": str(data / "video" / "stage.mp4"), "VIDEO_LOOP": "loop", "COOLDOWN": "0"}
        shared = {name: self.settings[name] for name in ("TMPDIR", "ENCRYPT")}
        start_edge(self.supervisor, self.place, {**film, **shared, "VIDEO_PACE": "every_frame"})

        def pictured() -> list[str]:
            events = self.get("/v1/events?limit=200").json()["items"]
            return [e["id"] for e in events if e["thumbnail"] and e["name"]]

        seen = until(pictured, within_s=60)
        self.known += [self.get(f"/v1/events/{event}/thumbnail").content for event in seen]
        centre = self.supervisor._processes["control plane"].running
        assert centre
        centre.terminate()
        centre.wait(20)
        until(self._waiting, within_s=60)

    def _waiting(self) -> bool:
        with closing(sqlite3.connect(f"file:{self.place.data / 'edge' / 'spool.db'}?mode=ro", uri=True)) as spool:
            return bool(spool.execute("SELECT count(*) FROM events WHERE length(body) > 1000").fetchone()[0] > 2)

    def templates(self) -> list[bytes]:
        """All encodings, read by whoever has the keys."""
        url = self.database_url or f"sqlite:///{self.place.data / 'rollcall.db'}"
        with closing(Database(url, vault=vault_in(self.place.data))) as database, database.read() as connection:
            rows = connection.execute(sa.select(tables.encodings)).all()
            return [row.data for row in galleries.encoding_rows(connection, rows)]

    def dump(self) -> None:
        """What Postgres holds, as files beside the others."""
        if self.database_url:
            with psycopg.connect(self.database_url) as connection, connection.cursor() as cursor:
                for table in tables.metadata.sorted_tables:
                    with cursor.copy(f"COPY {table.name} TO STDOUT (FORMAT BINARY)") as rows:
                        (self.folder / f"{table.name}.dump").write_bytes(b"".join(bytes(row) for row in rows))

    def scan(self) -> set[str]:
        self.dump()
        templates = self.templates()
        assert len(templates) > 10
        return found_in(self.folder, blocks_of([*templates, *self.known]))

    def _photo(self, path: Path) -> bytes:
        self.known.append(path.read_bytes())
        return self.known[-1]


class Lookout:
    """Looks at all files again and again while they come and go."""

    def __init__(self, folder: Path, blocks: set[bytes]) -> None:
        self.found: set[str] = set()
        self.rounds = 0
        self._stop = threading.Event()

        def look() -> None:
            while not self._stop.wait(0.05):
                self.found |= found_in(folder, blocks)
                self.rounds += 1

        self._thread = threading.Thread(target=look)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


@contextmanager
def at_work(
    data: Path, folder: Path, database_url: str | None, *, encrypt: bool, quick: bool = False
) -> Iterator[tuple[Site, Lookout]]:
    """The site after all of it, everything still open; and what was seen on the way."""
    portraits = [(data / "portraits" / photo).read_bytes()[1024:1536] for _, photo in PEOPLE]
    with Supervisor(logs=folder / "logs") as supervisor:
        site = Site(supervisor, folder, database_url, encrypt=encrypt)
        lookout = Lookout(folder, blocks_of(portraits))
        try:
            site.enrol(data)
            if not quick:
                site.encode_anew()
            site.watch(data)
        finally:
            lookout.stop()
        yield site, lookout


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.soak)])
def database_url(request: pytest.FixtureRequest) -> Iterator[str | None]:
    if request.param == "sqlite":
        yield None
        return
    base = request.getfixturevalue("postgres_url").rpartition("/")[0]
    name = f"rollcall_test_{uuid4().hex[:12]}"
    with psycopg.connect(f"{base}/postgres", autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}"')
        with closing(Database(f"{base}/{name}")) as database:
            schema.migrate(database, NOW)
        yield f"{base}/{name}"
        admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.mark.timeout(400)
def test_no_file_holds_a_template_or_a_picture(data: Path, tmp_path: Path, database_url: str | None) -> None:
    with at_work(data, tmp_path, database_url, encrypt=True, quick=database_url is None) as (site, lookout):
        assert site.scan() == set()
        assert lookout.found == set()
        assert lookout.rounds > 5


@pytest.mark.soak
@pytest.mark.timeout(400)
def test_the_scan_finds_what_is_not_sealed(data: Path, tmp_path: Path) -> None:
    with at_work(data, tmp_path, None, encrypt=False) as (site, lookout):
        found = {kind for kind in KINDS for path in site.scan() if kind in path}
        assert found == KINDS
        assert any("archives" in path or "partial" in path for path in lookout.found)
