"""The control plane's settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from faces.addresses import Allowed, allowed
from faces.errors import SettingError
from faces.settings import Setting, read, read_dotenv, text, whole

MIB = 1 << 20


def _loopback(value: str) -> str:
    """An address of this machine alone: while there are no access keys, nobody else may reach us."""
    try:
        allowed = value == "localhost" or ip_address(value).is_loopback
    except ValueError:
        allowed = False
    if not allowed:
        raise SettingError(
            "HOST is not an address of this machine alone, and there are no access keys yet",
            remedy="Leave HOST at 127.0.0.1, and reach it from elsewhere through an SSH tunnel.",
        )
    return value


def _broker(value: str) -> str:
    if not value.startswith(("redis://", "rediss://", "amqp://", "amqps://")):
        raise ValueError("is not a redis:// or amqp:// URL")
    return value


SETTINGS = (
    Setting("HOST", "127.0.0.1", "address to listen on; this machine's own only, while there are no keys", _loopback),
    Setting("PORT", "5000", "port of the API, the stream and the dashboard", whole(0, 65535)),
    Setting(
        "STREAM_PORT",
        "3001",
        "a second port with the same, for clients of the original stream; 0: none",
        whole(0, 65535),
    ),
    Setting("DATABASE_URL", "", "database; empty: SQLite in DATA_DIR", text),
    Setting("DATA_DIR", "./rollcall-data", "folder of the database, photos and archives", Path),
    Setting("BROKER_URL", "", "redis:// or amqp:// of the job broker; empty: none is needed", _broker),
    Setting("MAX_PHOTO_BYTES", str(20 * MIB), "largest photo that is taken", whole(1, 1 << 30)),
    Setting("MAX_ARCHIVE_BYTES", str(4096 * MIB), "largest ZIP archive that is taken", whole(1, 1 << 40)),
    Setting(
        "WEBHOOK_ALLOW", "", "hosts (`host` or `host:port`, by comma) that webhooks may reach though private", allowed
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What the control plane was told; each field is the setting of the same name in capitals."""

    host: str
    port: int
    stream_port: int
    database_url: str
    data_dir: Path
    broker_url: str | None
    max_photo_bytes: int
    max_archive_bytes: int
    webhook_allow: Allowed

    @classmethod
    def read(cls, environment: Mapping[str, str], dotenv: Path = Path(".env")) -> Config:
        """Read the environment, and below it the `.env` file; raises SettingError."""
        values = read(SETTINGS, environment, read_dotenv(dotenv))
        values["database_url"] = values["database_url"] or f"sqlite:///{values['data_dir'] / 'rollcall.db'}"
        values["webhook_allow"] = values["webhook_allow"] or Allowed()
        return cls(**values)
