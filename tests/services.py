"""Which database and broker a run of the tests is on, and databases of its own for whoever asks.

`TEST_DATABASE` is `sqlite` or `postgres`; unset, tests that concern the database run on both and all others on SQLite.
`TEST_BROKER` is `redis` or `rabbitmq`; unset, the embedded one. A service that is not in reach skips at home and fails
in CI.
"""

from __future__ import annotations

import atexit
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from uuid import uuid4

import psycopg
import pytest
import redis

from control_plane.store import schema
from control_plane.store.db import Database

NOW = datetime(2026, 1, 1, tzinfo=UTC)
POSTGRES = os.environ.get("TEST_POSTGRES_URL", "postgresql://postgres@127.0.0.1:5432/postgres")
RUNNER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
"""Which of the run's processes this is: each has what it does not share."""

REDIS = os.environ.get("TEST_REDIS_URL", f"redis://127.0.0.1:6379/{11 + RUNNER % 5}")
AMQP = os.environ.get("TEST_AMQP_URL", "amqp://guest:guest@127.0.0.1:5672")

DATABASE = os.environ.get("TEST_DATABASE", "")
DATABASES = [DATABASE] if DATABASE else ["sqlite", "postgres"]
BROKER = os.environ.get("TEST_BROKER", "")


def absent(what: str) -> None:
    """Skip at home, fail in CI."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} is missing, and CI must not be without it")
    pytest.skip(f"{what} is not in reach")


@contextmanager
def postgres_database(template: str = "template1") -> Iterator[str]:
    """The URL of a Postgres database that is there for as long as the block runs."""
    name = f"rollcall_test_{uuid4().hex[:12]}"
    _admin().execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    try:
        yield POSTGRES.rpartition("/")[0] + f"/{name}"
    finally:
        _admin().execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@contextmanager
def migrated_postgres() -> Iterator[str]:
    """The same, with all tables."""
    with postgres_database(_template()) as url:
        yield url


@contextmanager
def environment() -> Iterator[None]:
    """While the block runs, processes that are started without further words are on the run's database and broker."""
    with pytest.MonkeyPatch.context() as patch:
        if broker := broker_url():
            patch.setenv("BROKER_URL", broker)
        if DATABASE != "postgres":
            yield
            return
        with migrated_postgres() as url:
            patch.setenv("DATABASE_URL", url)
            yield


def broker_url() -> str:
    """The run's broker; empty: the embedded one."""
    return {"": str, "redis": redis_url, "rabbitmq": rabbitmq_url}[BROKER]()


@cache
def redis_url() -> str:
    try:
        redis.Redis.from_url(REDIS).ping()
    except redis.RedisError:
        absent("Redis")
    return REDIS


@cache
def rabbitmq_url() -> str:
    """A virtual host of this run's own: queues of other runs are not in it."""
    name = f"rollcall_test_{uuid4().hex[:8]}"
    try:
        subprocess.run(["rabbitmqctl", "add_vhost", name], check=True, capture_output=True)
        permit = ["rabbitmqctl", "set_permissions", "-p", name, "guest", ".*", ".*", ".*"]
        subprocess.run(permit, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        absent("RabbitMQ")
    atexit.register(subprocess.run, ["rabbitmqctl", "delete_vhost", name], capture_output=True)
    return f"{AMQP}/{name}"


@cache
def _admin() -> psycopg.Connection:
    try:
        admin = psycopg.connect(POSTGRES, autocommit=True, connect_timeout=2)
    except psycopg.OperationalError:
        absent("Postgres")
        raise
    atexit.register(admin.close)
    return admin


@cache
def _template() -> str:
    """The name of a migrated database to copy: that takes a tenth of migrating."""
    made = postgres_database()
    url = made.__enter__()
    atexit.register(made.__exit__, None, None, None)
    database = Database(url)
    schema.migrate(database, NOW)
    database.close()
    return url.rpartition("/")[2]
