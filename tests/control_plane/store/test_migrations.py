"""Migrations that move data, on databases that hold some."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from control_plane.store import deliveries, schema, webhooks
from control_plane.store.db import Database, UtcDateTime
from tests.conftest import NOW

HOOK = (
    "INSERT INTO webhooks (id, url, statuses, enabled, created_at) VALUES ('w', 'http://h/', '[\"PASS\"]', true, :now)"
)
DELIVERY = (
    "INSERT INTO deliveries (id, webhook_id, event_id, state, due_at, created_at, attempts)"
    " VALUES ('d', 'w', 'e', 'pending', :now, :now, 3)"
)


@pytest.fixture
def empty(database: Database, tmp_path: Path) -> Iterator[Database]:
    """A database without tables."""
    if database.is_sqlite:
        made = Database(f"sqlite:///{tmp_path / 'empty.db'}")
        yield made
        made.close()
        return
    with database.write() as connection:
        connection.exec_driver_sql("DROP SCHEMA public CASCADE")
        connection.exec_driver_sql("CREATE SCHEMA public")
    yield database


def test_a_webhook_of_before_the_secrets_keeps_its_deliveries_and_signs(empty: Database) -> None:
    schema.upgrade(empty, "0011")
    with empty.write() as connection:
        for row in (HOOK, DELIVERY):
            connection.execute(sa.text(row).bindparams(sa.bindparam("now", NOW, UtcDateTime())))
    schema.upgrade(empty)
    with empty.read() as connection:
        assert (webhooks.get(connection, "w").sites, webhooks.get(connection, "w").alarms) == ([], False)
        (secret,) = webhooks.secrets(connection, "w", NOW)
        assert secret.startswith("whsec_")
        (kept,) = deliveries.listing(connection, "w")
        assert (kept.event_id, kept.attempts, deliveries.due(connection, NOW)) == ("e", 3, ["d"])
