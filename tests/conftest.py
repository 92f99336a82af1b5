"""What all tests share: the real faces beside the project, one real engine, and real databases."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from control_plane.store import schema
from control_plane.store.db import Database
from control_plane.store.vault import Vault, open_vault
from faces import engine as engines
from faces.masterkey import Source

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
POSTGRES = os.environ.get("TEST_POSTGRES_URL", "postgresql://postgres@127.0.0.1:5432/postgres")
SYSTEM_PYTHON = "/usr/bin/python3"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def absent(what: str) -> None:
    """Skip at home, fail in CI."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} is missing, and CI must not be without it")
    pytest.skip(f"{what} is not in reach")


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real photos and films; the test skips where it is absent."""
    if not DATA.is_dir():
        pytest.skip("the folder of test faces, ../shared/data, is absent")
    return DATA


@pytest.fixture(scope="session")
def engine() -> engines.Engine:
    return engines.load("sface")


@pytest.fixture(scope="session")
def gstreamer() -> str:
    """The system's Python, which has GStreamer's RTSP server."""
    asked = "import gi; gi.require_version('GstRtspServer', '1.0')"
    with suppress(OSError):
        if subprocess.run([SYSTEM_PYTHON, "-c", asked], capture_output=True, check=False).returncode == 0:
            return SYSTEM_PYTHON
    absent("GStreamer's RTSP server (apt: gir1.2-gst-rtsp-server-1.0 python3-gi)")
    return ""


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """An empty Postgres database of this run's own."""
    name = f"rollcall_test_{uuid4().hex[:12]}"
    try:
        admin = psycopg.connect(POSTGRES, autocommit=True, connect_timeout=2)
    except psycopg.OperationalError:
        absent("Postgres")
        return
    with admin:
        admin.execute(f'CREATE DATABASE "{name}"')
        yield POSTGRES.rpartition("/")[0] + f"/{name}"
        admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    admin.close()


def vault_in(folder: Path) -> Vault:
    """The vault of a data folder, as the processes on it open it."""
    return open_vault(f"sqlite:///{folder / 'vault.db'}", Source(folder / "secrets" / "master.key"))


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Database]:
    """A migrated SQLite database."""
    yield from _migrated(f"sqlite:///{tmp_path / 'rollcall.db'}", tmp_path)


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A migrated database: each test runs on SQLite and on Postgres."""
    if request.param == "sqlite":
        yield from _migrated(f"sqlite:///{tmp_path / 'rollcall.db'}", tmp_path)
        return
    url = request.getfixturevalue("postgres_url")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    yield from _migrated(url, tmp_path)


def _migrated(url: str, folder: Path) -> Iterator[Database]:
    database = Database(url, vault=vault_in(folder))
    schema.migrate(database, NOW)
    yield database
    database.close()
