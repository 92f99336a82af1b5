"""The settings of every process that uses the database."""

from __future__ import annotations

from faces.settings import Setting, text, whole

DATABASE = (
    Setting("DATABASE_URL", "", "database; empty: SQLite in DATA_DIR", text),
    Setting("DATABASE_POOL", "20", "connections to Postgres that this process has at most", whole(1, 1000)),
    Setting("DATABASE_TIMEOUT_S", "60", "seconds after which Postgres gives up a statement; 0: never", whole(0, 86400)),
)
