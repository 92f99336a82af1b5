from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests

from control_plane.__main__ import SILENT_CLIENT_MS, check_access, listen, main
from control_plane.config import Config
from control_plane.store import keys, schema, version
from control_plane.store.db import Database, utcnow
from control_plane.store.keys import Role
from faces import logs
from faces.errors import SettingError
from tests.control_plane.conftest import reserved_port

ROOT = Path(__file__).resolve().parents[2]


def config(tmp_path: Path, **settings: str) -> Config:
    return Config.read({"DATA_DIR": str(tmp_path), "PORT": "0", "STREAM_PORT": "0", **settings}, tmp_path / "none")


@contextmanager
def started(tmp_path: Path, **settings: str) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "DATA_DIR": str(tmp_path), "PORT": "0", "STREAM_PORT": "0", **settings}
    process = subprocess.Popen(
        [sys.executable, "-m", "control_plane"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def said(process: subprocess.Popen[str]) -> str:
    """The first line that names an address."""
    assert process.stdout is not None
    for line in process.stdout:
        if "listening on" in line:
            return line
    raise AssertionError("it ended without listening")


def test_it_starts_with_nothing_but_a_folder_serves_and_ends_on_sigterm(tmp_path: Path) -> None:
    with started(tmp_path) as process:
        url = said(process).split("listening on ")[1].strip()
        assert requests.get(f"{url}/readyz", timeout=10).json() == {"status": "ok", "encrypted": True}
        assert (tmp_path / "rollcall.db").exists()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) in (0, -signal.SIGTERM)


def test_it_loads_no_model_and_no_job(tmp_path: Path) -> None:
    code = (
        "import sys, control_plane.__main__\n"
        "print([m for m in sys.modules if m.partition('.')[0] in ('cv2', 'onnx', 'onnxruntime', 'jobs', 'edge')])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_while_it_serves_the_garbage_collector_leaves_alone_what_is_there_for_good(tmp_path: Path) -> None:
    code = (
        "import gc, control_plane.__main__ as root\n"
        "root.Server.run = lambda *_, **__: print(gc.get_freeze_count())\n"
        "root.main()"
    )
    environment = {**os.environ, "DATA_DIR": str(tmp_path), "PORT": "0", "STREAM_PORT": "0"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    assert int(done.stdout) > 50_000


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HOST", "0.0.0.0"),
        ("PORT", "none"),
        ("DATABASE_URL", "mysql://h/x"),
        ("BROKER_URL", "kafka://h"),
        ("MAX_PHOTO_BYTES", "0"),
    ],
)
def test_a_wrong_setting_stops_the_start_and_names_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str, value: str
) -> None:
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    monkeypatch.setenv(name, value)
    # It would be set up for all tests after this one.
    monkeypatch.setattr(logs, "set_up", lambda *_: None)
    assert main() == 2
    assert name in caplog.text


def test_a_process_that_was_told_something_wrong_ends_with_status_2_and_words(tmp_path: Path) -> None:
    with started(tmp_path, HOST="0.0.0.0") as process:
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 2
        assert "HOST" in output
        assert "Traceback" not in output


def test_a_port_in_use_names_its_setting(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with pytest.raises(SettingError, match=r"^PORT: "):
            listen(config(tmp_path, PORT=port))
        with pytest.raises(SettingError, match=r"^STREAM_PORT: "):
            listen(config(tmp_path, STREAM_PORT=port))


def test_a_silent_client_is_dropped_by_the_system(tmp_path: Path) -> None:
    (bound,) = listen(config(tmp_path))
    with bound:
        assert bound.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == SILENT_CLIENT_MS
        with socket.create_connection(bound.getsockname()), bound.accept()[0] as accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == SILENT_CLIENT_MS


def test_one_port_for_both_is_bound_once(tmp_path: Path) -> None:
    with reserved_port() as port:
        bound = listen(config(tmp_path, PORT=str(port), STREAM_PORT=str(port)))
    assert len(bound) == 1
    bound[0].close()


def test_it_listens_on_ipv6_where_it_is_told_to(tmp_path: Path) -> None:
    (bound,) = listen(config(tmp_path, HOST="::1"))
    with bound:
        assert bound.getsockname()[0] == "::1"


def test_the_schema_is_made_where_nobody_else_uses_the_database(tmp_path: Path) -> None:
    database = Database(config(tmp_path).database_url)
    schema.prepare(database, utcnow())
    schema.prepare(database, utcnow())
    with database.read() as connection:
        assert version.current(connection) == version.newest()
    database.close()


def test_a_shared_database_of_another_schema_is_refused_with_the_remedy(postgres_url: str, tmp_path: Path) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    shared = config(tmp_path, DATABASE_URL=postgres_url, BROKER_URL="redis://127.0.0.1:6379")
    database = Database(shared.database_url)
    with pytest.raises(SettingError, match="DATABASE_URL") as error:
        schema.prepare(database, utcnow())
    assert error.value.remedy
    database.close()


def test_two_that_start_at_once_on_one_folder_both_serve(tmp_path: Path) -> None:
    with started(tmp_path) as one, started(tmp_path) as other:
        urls = [said(process).split("listening on ")[1].strip() for process in (one, other)]
        answers: list[Any] = [requests.get(f"{url}/readyz", timeout=10).status_code for url in urls]
        assert answers == [200, 200]


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "rollcall.example"])
def test_it_serves_others_only_when_somebody_has_a_key_and_says_how(tmp_path: Path, host: str) -> None:
    told = config(tmp_path, HOST=host)
    database = Database(told.database_url)
    schema.prepare(database, utcnow())
    with database.write() as connection:
        keys.create(connection, Role.EDGE, utcnow(), sites=["default"])
        revoked = keys.id_of(keys.create(connection, Role.ADMIN, utcnow())) or ""
        keys.revoke(connection, revoked, utcnow())
    with pytest.raises(SettingError, match="HOST") as error:
        check_access(database, told)
    assert "rollcall keys create" in error.value.remedy
    with database.write() as connection:
        keys.create(connection, Role.ADMIN, utcnow())
    check_access(database, told)
    database.close()


def test_behind_a_proxy_it_starts_only_when_somebody_has_a_key(tmp_path: Path) -> None:
    told = config(tmp_path, TRUSTED_PROXIES="127.0.0.1")
    with Database(told.database_url) as database:
        schema.prepare(database, utcnow())
        with pytest.raises(SettingError, match="TRUSTED_PROXIES") as error:
            check_access(database, told)
        assert "rollcall users create" in error.value.remedy
        with database.write() as connection:
            keys.create(connection, Role.ADMIN, utcnow())
        check_access(database, told)


def test_on_this_machine_alone_it_starts_without_keys(tmp_path: Path) -> None:
    for host in ("127.0.0.1", "127.3.2.1", "::1", "localhost"):
        told = config(tmp_path, HOST=host)
        database = Database(told.database_url)
        schema.prepare(database, utcnow())
        check_access(database, told)
        database.close()
