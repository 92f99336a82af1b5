"""The worker's settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from control_plane.store.settings import DATABASE, OBSERVED
from faces import masterkey
from faces.addresses import Allowed, allowed
from faces.logs import LogFormat
from faces.masterkey import Source
from faces.sealing import Secret
from faces.settings import Setting, flag, read, read_dotenv, text, whole

SETTINGS = (
    *DATABASE,
    Setting("DATA_DIR", "./rollcall-data", "folder of the database, photos and archives", Path),
    *masterkey.SETTINGS,
    Setting("VAULT_URL", "", "database of the keys that the master key wraps; empty: SQLite in DATA_DIR", text),
    Setting("BROKER_URL", "", "redis:// or amqp:// of the job broker; empty: none is needed", text),
    Setting("ENGINE", "sface", "engine that finds and encodes faces, until galleries go by another", text),
    Setting("DETECTOR", "yunet", "what finds faces: `yunet`, or `hog` with a face_recognition engine", text),
    Setting("MODELS", "", "folder of weight files to use instead of the installed ones", Path),
    Setting("THREADS", "1", "threads of the engine", whole(1, 256)),
    Setting("WORKER_THREADS", "2", "photos that are encoded at once", whole(1, 256)),
    Setting("KEEP_ANSWERS_S", "600", "seconds that an answer of /v1/identify can be asked for", whole(1, 86400)),
    Setting("MAX_PIXELS", "40000000", "largest picture that is decoded, in pixels", whole(1, 1 << 30)),
    Setting("MAX_ENTRIES", "100000", "most files that a ZIP may hold", whole(1, 1 << 24)),
    Setting("MAX_DIRECTORY_BYTES", str(32 << 20), "largest directory of a ZIP that is read", whole(1, 1 << 30)),
    Setting("EVENT_DAYS", "365", "days that events are kept where the site says nothing; 0: all", whole(0, 36_500)),
    Setting("THUMBNAIL_DAYS", "30", "days that thumbnails are kept, likewise", whole(0, 36_500)),
    Setting("REQUIRE_CONSENT", "false", "enrol nobody whose consent is not on record and in force", flag),
    Setting("CONSENT_NOTICE_DAYS", "14", "days before consent ends that an alarm tells of it; 0: none", whole(0, 3650)),
    Setting("IDENTITY_DAYS", "0", "days after `valid_until` that a person is erased; 0: never", whole(0, 36_500)),
    Setting("CHANGE_DAYS", "30", "days that a gallery's changes are kept one by one; 0: all", whole(0, 36_500)),
    Setting("MAX_ENTRY_BYTES", str(20 << 20), "largest photo in a ZIP that is taken", whole(1, 1 << 30)),
    Setting(
        "WEBHOOK_ALLOW", "", "hosts (`host` or `host:port`, by comma) that webhooks may reach though private", allowed
    ),
    *OBSERVED,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What the worker was told; each field is the setting of the same name in capitals."""

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
    engine: str
    detector: str
    models: Path | None
    threads: int
    worker_threads: int
    keep_answers_s: int
    max_pixels: int
    max_entries: int
    max_directory_bytes: int
    max_entry_bytes: int
    event_days: int
    thumbnail_days: int
    require_consent: bool
    consent_notice_days: int
    identity_days: int
    change_days: int
    webhook_allow: Allowed
    log_format: LogFormat
    metrics_port: int
    metrics_host: str

    @property
    def master_key(self) -> Source:
        return Source.of(self)

    @classmethod
    def read(cls, environment: Mapping[str, str], dotenv: Path = Path(".env")) -> Config:
        """Read the environment, and below it the `.env` file; raises SettingError."""
        values = read(SETTINGS, environment, read_dotenv(dotenv))
        values["database_url"] = values["database_url"] or f"sqlite:///{values['data_dir'] / 'rollcall.db'}"
        values["vault_url"] = values["vault_url"] or f"sqlite:///{values['data_dir'] / 'vault.db'}"
        values["webhook_allow"] = values["webhook_allow"] or Allowed()
        return cls(**values)
