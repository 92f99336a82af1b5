"""The control plane's settings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from control_plane.store.settings import DATABASE
from faces import masterkey
from faces.addresses import Allowed, allowed
from faces.masterkey import Source
from faces.sealing import Secret
from faces.settings import Setting, read, read_dotenv, text, whole

MIB = 1 << 20


ORIGIN = re.compile(r"https?://[a-z0-9.\-\[\]:]+")


def _origins(value: str) -> frozenset[str]:
    found = frozenset(origin.strip().lower() for origin in value.split(","))
    if not all(ORIGIN.fullmatch(origin) for origin in found):
        raise ValueError("is no list of origins such as https://rollcall.example")
    return found


def _bus(value: str) -> str:
    if not value.startswith(("redis://", "rediss://")):
        raise ValueError("is not a redis:// URL")
    return value


def _broker(value: str) -> str:
    if not value.startswith(("redis://", "rediss://", "amqp://", "amqps://")):
        raise ValueError("is not a redis:// or amqp:// URL")
    return value


SETTINGS = (
    Setting("HOST", "127.0.0.1", "address to listen on; this machine's own only, while there are no keys", text),
    Setting("PORT", "5000", "port of the API, the stream and the dashboard", whole(0, 65535)),
    Setting(
        "STREAM_PORT",
        "3001",
        "a second port with the same, for clients of the original stream; 0: none",
        whole(0, 65535),
    ),
    Setting("ORIGINS", "", "origins (`https://host`, by comma) whose pages may call, beside our own", _origins),
    *DATABASE,
    Setting("DATA_DIR", "./rollcall-data", "folder of the database, photos and archives", Path),
    *masterkey.SETTINGS,
    Setting("VAULT_URL", "", "database of the keys that the master key wraps; empty: SQLite in DATA_DIR", text),
    Setting("BROKER_URL", "", "redis:// or amqp:// of the job broker; empty: none is needed", _broker),
    Setting("BUS_URL", "", "redis:// of the bus that several control planes of one database share", _bus),
    Setting("BUS_NAME", "rollcall", "what its channels begin with: another for each installation on one Redis", text),
    Setting("MAX_PHOTO_BYTES", str(20 * MIB), "largest photo that is taken", whole(1, 1 << 30)),
    Setting("MAX_ARCHIVE_BYTES", str(4096 * MIB), "largest ZIP archive that is taken", whole(1, 1 << 40)),
    Setting("EDGE_KEY_DAYS", "90", "days after which a joined edge takes another credential; 0: never", whole(0, 3650)),
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
    origins: frozenset[str]
    database_url: str
    database_pool: int
    database_timeout_s: int
    data_dir: Path
    encrypt: bool
    secret_key_file: Path | None
    secret_key: tuple[Secret, ...] | None = field(repr=False)
    secret_key_command: str | None
    vault_url: str
    broker_url: str | None
    bus_url: str | None
    bus_name: str
    max_photo_bytes: int
    max_archive_bytes: int
    edge_key_days: int
    webhook_allow: Allowed

    @property
    def loopback(self) -> bool:
        """Whether nobody but this machine can reach us."""
        try:
            return self.host == "localhost" or ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def master_key(self) -> Source:
        return Source.of(self)

    @classmethod
    def read(cls, environment: Mapping[str, str], dotenv: Path = Path(".env")) -> Config:
        """Read the environment, and below it the `.env` file; raises SettingError."""
        values = read(SETTINGS, environment, read_dotenv(dotenv))
        values["database_url"] = values["database_url"] or f"sqlite:///{values['data_dir'] / 'rollcall.db'}"
        values["vault_url"] = values["vault_url"] or f"sqlite:///{values['data_dir'] / 'vault.db'}"
        values["origins"] = values["origins"] or frozenset()
        values["webhook_allow"] = values["webhook_allow"] or Allowed()
        return cls(**values)
