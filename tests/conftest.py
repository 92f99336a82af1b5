"""What all tests share: the real faces beside the project, one real engine, and real databases."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from hypothesis import settings

from control_plane.store import schema
from control_plane.store.db import Database
from control_plane.store.vault import Vault, open_vault
from faces import engine as engines
from faces.masterkey import Source
from tests import services
from tests.services import NOW as NOW
from tests.services import absent as absent

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
SYSTEM_PYTHON = "/usr/bin/python3"

# How long an example takes is the machine's business.
settings.register_profile("rollcall", deadline=None)
settings.load_profile("rollcall")


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
    with services.postgres_database() as url:
        yield url


def vault_in(folder: Path) -> Vault:
    """The vault of a data folder, as the processes on it open it."""
    return open_vault(f"sqlite:///{folder / 'vault.db'}", Source(folder / "secrets" / "master.key"))


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Database]:
    """A migrated SQLite database, for what is about SQLite."""
    yield from _open("sqlite", tmp_path)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Database]:
    """A migrated database of the run's kind."""
    yield from _open(services.DATABASES[0], tmp_path)


@pytest.fixture(params=services.DATABASES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A migrated database: each test runs on SQLite and on Postgres."""
    yield from _open(request.param, tmp_path)


def _open(kind: str, folder: Path) -> Iterator[Database]:
    with ExitStack() as stack:
        if kind == "sqlite":
            database = Database(f"sqlite:///{folder / 'rollcall.db'}", vault=vault_in(folder))
            schema.migrate(database, NOW)
        else:
            database = Database(stack.enter_context(services.migrated_postgres()), vault=vault_in(folder))
        yield database
        database.close()
