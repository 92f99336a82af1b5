"""The control plane's settings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path

from control_plane.limits import Cost, Rate, rate
from control_plane.store.settings import DATABASE, OBSERVED
from control_plane.store.sign_ins import Lasting
from faces import masterkey
from faces.addresses import Allowed, allowed
from faces.errors import SettingError
from faces.logs import LogFormat
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


def _networks(value: str) -> tuple[str, ...]:
    found = tuple(part.strip() for part in value.split(","))
    try:
        return tuple(str(ip_network(part)) for part in found)
    except ValueError:
        raise ValueError("is no list of addresses or networks such as 10.0.0.0/8") from None


SETTINGS = (
    Setting("HOST", "127.0.0.1", "address to listen on; this machine's own only, while nobody has a key or user", text),
    Setting("PORT", "5000", "port of the API, the stream and the dashboard", whole(0, 65535)),
    Setting(
        "STREAM_PORT",
        "3001",
        "a second port with the same, for clients of the original stream; 0: none",
        whole(0, 65535),
    ),
    Setting("ORIGINS", "", "origins (`https://host`, by comma) whose pages may call, beside our own", _origins),
    Setting("TLS_CERT", "", "PEM file of the certificate and its chain; what is sent is then encrypted", Path),
    Setting("TLS_KEY", "", "PEM file of its private key", Path),
    Setting(
        "TRUSTED_PROXIES", "", "addresses or networks (by comma) whose `X-Forwarded-For` and `-Proto` count", _networks
    ),
    Setting("SIGN_IN_IDLE_HOURS", "12", "hours after which a sign-in that is not used ends", whole(1, 8760)),
    Setting("SIGN_IN_DAYS", "7", "days after which a sign-in ends in any case", whole(1, 365)),
    Setting("LIMIT_SIGN_IN", "30/minute", "sign-ins from one address; `off`: as many as they like", rate),
    Setting("LIMIT_ENROLL", "600/minute", "photos that one key or user may enrol", rate),
    Setting("LIMIT_IDENTIFY", "300/minute", "photos that one key or user may have identified", rate),
    Setting("LIMIT_UPLOAD", "30/minute", "archives that one key or user may send", rate),
    Setting("LIMIT_JOIN", "30/minute", "edges that may join from one address", rate),
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
    Setting("DRAIN_S", "0", "seconds between the signal to end and the end, in which `/readyz` says no", whole(0, 600)),
    *OBSERVED,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What the control plane was told; each field is the setting of the same name in capitals."""

    host: str
    port: int
    stream_port: int
    origins: frozenset[str]
    tls_cert: Path | None
    tls_key: Path | None
    trusted_proxies: tuple[str, ...]
    sign_in_idle_hours: int
    sign_in_days: int
    limit_sign_in: Rate | None
    limit_enroll: Rate | None
    limit_identify: Rate | None
    limit_upload: Rate | None
    limit_join: Rate | None
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
    drain_s: int
    log_format: LogFormat
    metrics_port: int
    metrics_host: str

    @property
    def alone(self) -> bool:
        """Whether nobody but this machine can reach us: others come by a proxy, where one is named."""
        if self.trusted_proxies:
            return False
        try:
            return self.host == "localhost" or ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def master_key(self) -> Source:
        return Source.of(self)

    @property
    def lasting(self) -> Lasting:
        """How long a sign-in lasts."""
        return Lasting(timedelta(hours=self.sign_in_idle_hours), timedelta(days=self.sign_in_days))

    @property
    def rates(self) -> Mapping[Cost, Rate | None]:
        return {cost: getattr(self, f"limit_{cost}") for cost in Cost}

    @classmethod
    def read(cls, environment: Mapping[str, str], dotenv: Path = Path(".env")) -> Config:
        """Read the environment, and below it the `.env` file; raises SettingError."""
        values = read(SETTINGS, environment, read_dotenv(dotenv))
        values["database_url"] = values["database_url"] or f"sqlite:///{values['data_dir'] / 'rollcall.db'}"
        values["vault_url"] = values["vault_url"] or f"sqlite:///{values['data_dir'] / 'vault.db'}"
        values["origins"] = values["origins"] or frozenset()
        values["trusted_proxies"] = values["trusted_proxies"] or ()
        if (values["tls_cert"] is None) != (values["tls_key"] is None):
            raise SettingError("TLS_CERT and TLS_KEY go together", remedy="Set both, or neither.")
        values["webhook_allow"] = values["webhook_allow"] or Allowed()
        return cls(**values)
