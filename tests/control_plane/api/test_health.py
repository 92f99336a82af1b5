from __future__ import annotations

from typing import Any

import sqlalchemy as sa


def test_a_plane_that_works_says_so(either: Any) -> None:
    for path, more in (("/healthz", {}), ("/readyz", {"encrypted": False})):
        response = either.get(path)
        assert (response.status_code, response.json()) == (200, {"status": "ok", **more})


def test_without_its_database_it_lives_but_is_not_ready(running: Any, sqlite: Any, tmp_path: Any) -> None:
    with running(sqlite, tmp_path) as server:
        with server.database.write() as connection:
            connection.execute(sa.text("ALTER TABLE events RENAME TO lost"))
            connection.execute(sa.text("DROP TABLE alembic_version"))
        response = server.get("/readyz")
        assert (response.status_code, response.json()["code"]) == (503, "database_unavailable")
        assert response.headers["Retry-After"]
        assert server.get("/v1/events").status_code == 503
        assert server.get("/healthz").status_code == 200
        with server.database.write() as connection:
            connection.execute(sa.text("ALTER TABLE lost RENAME TO events"))
        assert server.get("/v1/events").status_code == 200


def test_a_schema_that_the_next_release_has_migrated_already_is_no_fault(either: Any) -> None:
    with either.database.write() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    assert either.get("/readyz").status_code == 200
    with either.database.write() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '0001'"))
    response = either.get("/readyz")
    assert response.status_code == 503
    assert "rollcall migrate" in response.json()["remedy"]
