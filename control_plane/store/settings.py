"""The settings of every process that uses the database."""

from __future__ import annotations

from faces.logs import LOG_FORMAT
from faces.settings import Setting, text, whole

DATABASE = (
    Setting("DATABASE_URL", "", "database; empty: SQLite in DATA_DIR", text),
    Setting(
        "DATABASE_POOL",
        "20",
        "connections to Postgres that this process has at most, and 5 more to the vault's",
        whole(1, 1000),
    ),
    Setting("DATABASE_TIMEOUT_S", "60", "seconds after which Postgres gives up a statement; 0: never", whole(0, 86400)),
)

OBSERVED = (
    LOG_FORMAT,
    Setting("METRICS_PORT", "0", "port of `/metrics`, for Prometheus; 0: none", whole(0, 65535)),
    Setting("METRICS_HOST", "127.0.0.1", "its address; whoever reaches another one sees the figures", text),
)
