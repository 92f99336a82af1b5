"""The master key is exchanged by the command, beside processes that go on."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
import sqlalchemy as sa

from control_plane.store import galleries, tables
from control_plane.store.db import Database
from control_plane.store.rotation import AT_ONCE
from control_plane.store.vault import open_vault
from edge.seal import open_seal
from faces.errors import SettingError
from faces.masterkey import Source, as_text
from faces.sealing import named
from rollcall.access import database_of
from rollcall.supervisor import Supervisor
from rollcall.up import Place, free_port, start_centre
from tests import services
from tests.conftest import vault_in

KEY = Path("secrets") / "master.key"


def rotate(*words: object) -> str:
    command = [sys.executable, "-m", "rollcall", "secrets", "rotate", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def key_in(folder: Path) -> str:
    return (folder / KEY).read_text()


@pytest.fixture(params=services.DATABASES)
def database_url(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Where it is Postgres, the processes' setting."""
    if request.param == "sqlite":
        yield
        return
    with services.migrated_postgres() as url:
        monkeypatch.setenv("DATABASE_URL", url)
        yield


class Load:
    """People are enrolled without a break, and what is sealed of them is shown."""

    def __init__(self, url: str, photo: bytes) -> None:
        self._url, self._photo = url, photo
        self._over = threading.Event()
        self.served = 0

    def run(self, number: int) -> None:
        http, count = requests.Session(), 0
        while not self._over.is_set():
            name, count = f"person {number}-{count}", count + 1
            person = self._ask(http, "POST", "/v1/identities", 201, json={"name": name}).json()["id"]
            path, headers = f"/v1/identities/{person}/photos", {"Content-Type": "image/jpeg", "Prefer": "wait=30"}
            self._ask(http, "POST", f"{path}?force=true", 201, data=self._photo, headers=headers)
            (photo,) = self._ask(http, "GET", path, 200).json()["items"]
            assert self._ask(http, "GET", f"{path}/{photo['id']}", 200).content == self._photo

    def stop(self) -> None:
        self._over.set()

    def _ask(self, http: requests.Session, method: str, path: str, status: int, **options: object) -> requests.Response:
        answer = http.request(method, self._url + path, timeout=60, **options)  # type: ignore[arg-type]
        self.served += 1
        assert answer.status_code == status, answer.text
        return answer


@pytest.mark.usefixtures("database_url")
def test_the_key_is_exchanged_while_people_are_enrolled_and_no_request_fails(data: Path, tmp_path: Path) -> None:
    photo = (data / "portraits" / "obama.jpg").read_bytes()
    place = Place(data=tmp_path / "plane", port=free_port(), stream_port=0)
    with Supervisor(logs=tmp_path / "logs") as supervisor, ThreadPoolExecutor(2) as threads:
        start_centre(supervisor, place)
        vault = vault_in(place.data)
        # So many that it takes several transactions, between which others make keys.
        vault.of_owners(f"person/{n}" for n in range(3 * AT_ONCE))
        vault.close()
        load = Load(place.url, photo)
        enrolling = [threads.submit(load.run, number) for number in range(2)]
        used = [key_in(place.data)]
        try:
            for _ in range(2):
                before = load.served
                rotate("--data", place.data)
                used.append(key_in(place.data))
                # Four people of four requests each, beside those during the exchange itself.
                while load.served < before + 16 and not any(e.done() for e in enrolling):
                    threading.Event().wait(0.02)
        finally:
            load.stop()
        for each in enrolling:
            each.result()
    assert len({*used}) == 3
    with database_of(place.data) as database:
        assert len(templates(database)) > 6
    for old in used[:-1]:
        (tmp_path / "old.key").write_text(old)
        with pytest.raises(SettingError, match="is not there"):
            open_vault(f"sqlite:///{place.data / 'vault.db'}", Source(tmp_path / "old.key"))


def templates(database: Database) -> list[bytes]:
    """All encodings, unsealed."""
    with database.read() as connection:
        rows = connection.execute(sa.select(tables.encodings)).all()
        return [row.data for row in galleries.encoding_rows(connection, rows)]


def test_an_edges_key_is_exchanged_and_what_it_sealed_stays_readable(tmp_path: Path) -> None:
    source = Source(tmp_path / KEY)
    sealed = open_seal(tmp_path, source).seal(b"a row", b"what")
    shutil.copy(tmp_path / KEY, tmp_path / "old.key")
    rotate("--edge", "--data", tmp_path)
    assert open_seal(tmp_path, source).unseal(sealed, b"what") == b"a row"
    with pytest.raises(SettingError, match="is not there"):
        open_seal(tmp_path, Source(tmp_path / "old.key"))


def test_whoever_gives_the_key_by_hand_is_told_to_take_the_old_one_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = as_text(bytes(32)), as_text(bytes(range(32)))
    open_seal(tmp_path, Source(tmp_path / "none", (named(bytes(32)),)))
    monkeypatch.setenv("SECRET_KEY", f"{new} {old}")
    assert "The old one is in SECRET_KEY still" in rotate("--edge", "--data", tmp_path)
    monkeypatch.delenv("SECRET_KEY")
    (tmp_path / "key").write_text(new)
    monkeypatch.setenv("SECRET_KEY_FILE", str(tmp_path / "key"))
    assert "still" not in rotate("--edge", "--data", tmp_path)
