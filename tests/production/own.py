"""A Postgres, a Redis and a RabbitMQ of a test's own, to be killed and started again."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Protocol

import pika
import psycopg
import redis

from rollcall.up import free_port
from tests.services import absent

POSTGRES_PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
ORDINARY = "postgres" if os.geteuid() == 0 else None
"""Postgres refuses to run as root."""


class Own(Protocol):
    """A service of one's own."""

    url: str

    def start(self) -> None:
        """Returns when it answers."""

    def kill(self) -> None:
        """End it without giving it time for anything."""


@contextmanager
def running(make: Callable[[Path], Own]) -> Iterator[Own]:
    folder = Path(mkdtemp(prefix="rollcall-own-"))
    folder.chmod(0o755)
    service = make(folder)
    try:
        service.start()
        yield service
    finally:
        service.kill()
        shutil.rmtree(folder, ignore_errors=True)


class OwnPostgres:
    def __init__(self, folder: Path) -> None:
        if not POSTGRES_PROGRAMS:
            absent("Postgres's initdb")
        self._programs, self._data, port = POSTGRES_PROGRAMS[-1], folder / "data", free_port()
        self._data.mkdir()
        if ORDINARY:
            shutil.chown(self._data, ORDINARY)
        self._run("initdb", "-D", self._data, "-U", "postgres", "-A", "trust", "-E", "UTF8")
        settings = f"port={port}\nlisten_addresses='127.0.0.1'\nunix_socket_directories=''\nmax_connections=100\n"
        with (self._data / "postgresql.conf").open("a") as file:
            file.write(settings)
        self.url = f"postgresql://postgres@127.0.0.1:{port}/postgres"

    def start(self) -> None:
        self._run("pg_ctl", "-D", self._data, "-l", self._data / "log", "-w", "start")
        with psycopg.connect(self.url, connect_timeout=5) as connection:
            connection.execute("SELECT 1")

    def kill(self) -> None:
        self._run("pg_ctl", "-D", self._data, "-m", "immediate", "-W", "stop", check=False)
        deadline = time.monotonic() + 10
        while (self._data / "postmaster.pid").exists() and time.monotonic() < deadline:
            time.sleep(0.05)

    def _run(self, program: str, *words: object, check: bool = True) -> None:
        command = [str(self._programs / program), *map(str, words)]
        quiet = subprocess.DEVNULL
        subprocess.run(command, user=ORDINARY, check=check, stdout=quiet, stderr=quiet, cwd=self._data)


class _Daemon:
    """A program in the foreground, in a session of its own."""

    _command: list[str]
    _settings: dict[str, str]

    def start(self) -> None:
        quiet = subprocess.DEVNULL
        environment = {**os.environ, **self._settings}
        self._process = subprocess.Popen(
            self._command, env=environment, stdout=quiet, stderr=quiet, start_new_session=True
        )
        deadline = time.monotonic() + 60
        while not self._answers():
            assert self._process.poll() is None, "it has ended"
            assert time.monotonic() < deadline, "it does not start"
            time.sleep(0.05)

    def kill(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _answers(self) -> bool:
        raise NotImplementedError


class OwnRedis(_Daemon):
    def __init__(self, folder: Path) -> None:
        port = free_port()
        self._command, self._settings = ["redis-server", "--port", str(port), "--save", "", "--dir", str(folder)], {}
        if shutil.which(self._command[0]) is None:
            absent("redis-server")
        self.url = f"redis://127.0.0.1:{port}/0"

    def _answers(self) -> bool:
        try:
            with redis.Redis.from_url(self.url) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False


class OwnRabbit(_Daemon):
    def __init__(self, folder: Path) -> None:
        port, name = free_port(), f"rollcall{os.getpid()}@localhost"
        self._command = ["/usr/lib/rabbitmq/bin/rabbitmq-server"]
        if not Path(self._command[0]).exists():
            absent("rabbitmq-server")
        (folder / "plugins").write_text("[].")
        self._settings = {
            "HOME": str(folder),
            "RABBITMQ_NODENAME": name,
            "RABBITMQ_NODE_PORT": str(port),
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_CONFIG_FILE": str(folder / "none"),
        }
        self.url = f"amqp://guest:guest@127.0.0.1:{port}"

    def _answers(self) -> bool:
        try:
            pika.BlockingConnection(pika.URLParameters(self.url)).close()
        except (pika.exceptions.AMQPError, OSError):
            return False
        return True
