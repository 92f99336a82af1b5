"""The edge's settings: one table, read once by the root into a frozen value."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from edge import managed
from edge.config_file import CameraTable, ConfigFile, Entry
from edge.seal import Seal, open_seal
from faces import masterkey
from faces.errors import SettingError
from faces.logs import LOG_FORMAT, LogFormat
from faces.masterkey import Source
from faces.sealing import Secret
from faces.settings import Setting, flag, number, one_of, read, read_dotenv, text, url, whole
from faces.signing import key_of


class Pace(StrEnum):
    """How a file is played: as a camera would show it, or every frame as fast as it is taken."""

    REALTIME = "realtime"
    EVERY_FRAME = "every_frame"


class Loop(StrEnum):
    """What follows a file's last frame."""

    ONCE = "once"
    LOOP = "loop"


DEFAULT_FILE = Path("rollcall-edge.toml")
"""Read if it is there, where EDGE_CONFIG names no other."""

USUAL_URL = "http://127.0.0.1:5000"

LONGEST_NAME = 64
"""Of a camera, in characters."""

CAMERA_SCHEMES = ("rtsp", "rtsps", "http", "https")


def _source(value: str) -> int | str:
    """A camera's number, a camera's URL, or the path of a file."""
    if re.fullmatch(r"[0-9]{1,3}", value):
        return int(value)
    scheme, found, _ = text(value).partition("://")
    if found and scheme.lower() not in CAMERA_SCHEMES:
        raise ValueError(f"is no camera's number, path or URL ({', '.join(CAMERA_SCHEMES)})")
    return value


def _name(value: str) -> str:
    if len(value) > LONGEST_NAME:
        raise ValueError(f"is longer than {LONGEST_NAME} characters")
    return text(value)


SETTINGS = (
    Setting("EDGE_CONFIG", "", "TOML file of cameras and settings; empty: `rollcall-edge.toml` if there is one", Path),
    Setting("VIDEO_SOURCE", "0", "camera number, file path, or rtsp:// or http:// URL", _source),
    Setting("VIDEO_PACE", "realtime", "a file is played in `realtime`, or `every_frame` is looked at", one_of(Pace)),
    Setting("VIDEO_LOOP", "once", "a file is played `once` or in a `loop`", one_of(Loop)),
    Setting("EXIT_AT_END", "false", "end when the file has ended and its events are delivered", flag),
    Setting("SCALE", "0.5", "faces are searched on the picture reduced by this factor", number(0.05, 1)),
    Setting("MAX_FPS", "30", "frames a second of each camera that are looked at, at most", number(1, 1000)),
    Setting("CAMERAS_AT_ONCE", "", "cameras that are looked at at once; empty: one for each core", whole(1, 256)),
    Setting("COOLDOWN", "5", "seconds before a person who stays in the picture passes again", number(0, 86400)),
    Setting("TH_ACCEPT", "", "distance up to which a person passes; empty: the engine's own (0.45)", number(0, 2)),
    Setting("THRESHOLD", "0.6", "distance below which a rejected face is given the nearest name", number(0, 2)),
    Setting("SHOW_WINDOW", "false", "show the annotated picture on a local page", flag),
    Setting("PREVIEW_PORT", "5050", "port of that page", whole(1, 65535)),
    Setting("PREVIEW_HOST", "127.0.0.1", "its address; whoever reaches another one sees the pictures", text),
    LOG_FORMAT,
    Setting("METRICS_PORT", "0", "port of `/metrics`, for Prometheus; 0: none", whole(0, 65535)),
    Setting("METRICS_HOST", "127.0.0.1", "its address; whoever reaches another one sees the figures", text),
    Setting("WEBHOOK_URL", "", "posted to by the edge itself when somebody passes", url("http", "https")),
    Setting("WEBHOOK_SECRET", "", "`whsec_...`: what is posted there is signed with it", key_of),
    Setting("WEBHOOK_MAX_AGE", "10", "seconds after which a decision is not posted there any more", number(0.1, 3600)),
    Setting("WS_ENABLE", "true", "send live frames at all", flag),
    Setting("WS_URL", "", "a stream server that the edge also pushes every frame to", url("ws", "wss")),
    Setting("WS_JPEG_QUALITY", "70", "JPEG quality of live frames, 1 to 100", whole(1, 100)),
    Setting(
        "CONTROL_PLANE_URL",
        "",
        f"where the control plane is; empty: where the edge has joined, else `{USUAL_URL}`",
        url("http", "https"),
    ),
    Setting("EDGE_KEY", "", "key of the role edge; empty: the credential of the edge that has joined", text),
    Setting("EDGE_NAME", "", "name of this edge; empty: the machine's", text),
    Setting("SITE", "", "site that this edge stands at; empty: the default site", text),
    Setting("CAMERA", "camera", "name of the camera", _name),
    Setting("REMOTE_CAMERAS", "true", "let the control plane add, change, remove and look at cameras", flag),
    Setting("DATA_DIR", "./edge-data", "folder of the edge's gallery and of events not yet delivered", Path),
    *masterkey.SETTINGS,
    Setting("SPOOL_MAX_MB", "512", "most that events not yet delivered take of the disk", whole(4, 1 << 20)),
    Setting("SPOOL_MAX_EVENTS", "1000000", "most events that are kept until delivered", whole(100, 10**9)),
    Setting("SPOOL_MAX_DAYS", "30", "days of running after which an event is given up", number(0.01, 3650)),
    Setting("ENGINE", "sface", "engine that finds and encodes faces, until galleries go by another", text),
    Setting("DETECTOR", "yunet", "what finds faces: `yunet`, or `hog` with a face_recognition engine", text),
    Setting("LEASE_DAYS", "7", "days without a sync in which people are let pass; 0: for ever", number(0, 3650)),
    Setting("MODELS", "", "folder of weight files to use instead of the installed ones", Path),
    Setting("THREADS", "1", "threads of the engine", whole(1, 256)),
)


OF_A_CAMERA = {
    "name": "CAMERA",
    "source": "VIDEO_SOURCE",
    "pace": "VIDEO_PACE",
    "loop": "VIDEO_LOOP",
    "scale": "SCALE",
    "max_fps": "MAX_FPS",
    "cooldown": "COOLDOWN",
    "th_accept": "TH_ACCEPT",
    "threshold": "THRESHOLD",
}
"""The keys of a `[[camera]]` in the file, and the settings that they stand for."""

NEEDED = ("name", "source")
"""Those that each of them has."""

NOT_IN_FILE = ("EDGE_CONFIG", "CAMERA", "VIDEO_SOURCE")

_BY_NAME = {setting.name: setting for setting in SETTINGS}


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraConfig:
    """One camera, and how it is looked at; each field is a key of `[[camera]]`."""

    name: str
    source: int | str = field(repr=False)
    pace: Pace
    loop: Loop
    scale: float
    max_fps: float
    cooldown: float
    th_accept: float | None
    threshold: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What the edge was told; each field is the setting of the same name in capitals, and `cameras` are those of the
    file, or the one that the settings name, and those that the control plane has given."""

    cameras: tuple[CameraConfig, ...]
    edge_config: Path | None
    video_source: int | str = field(repr=False)
    video_pace: Pace
    video_loop: Loop
    exit_at_end: bool
    scale: float
    max_fps: float
    cameras_at_once: int | None
    cooldown: float
    th_accept: float | None
    threshold: float
    show_window: bool
    preview_port: int
    preview_host: str
    log_format: LogFormat
    metrics_port: int
    metrics_host: str
    webhook_url: str | None
    webhook_secret: bytes | None = field(repr=False)
    webhook_max_age: float
    ws_enable: bool
    ws_url: str | None
    ws_jpeg_quality: int
    control_plane_url: str | None
    edge_key: str | None = field(repr=False)
    edge_name: str | None
    site: str | None
    camera: str
    remote_cameras: bool
    data_dir: Path
    encrypt: bool
    secret_key_file: Path | None
    secret_key: tuple[Secret, ...] | None = field(repr=False)
    secret_key_command: str | None
    spool_max_mb: int
    spool_max_events: int
    spool_max_days: float
    engine: str
    lease_days: float
    detector: str
    models: Path | None
    threads: int

    @property
    def file(self) -> Path:
        """Where the file of cameras is, if there is one."""
        return self.edge_config or DEFAULT_FILE

    @classmethod
    def read(cls, environ: Mapping[str, str], dotenv: Path | None = None) -> Config:
        """Read the environment, below it the `.env` file, and below that the TOML file, as far as there are any; raises
        SettingError."""
        given = read_dotenv(dotenv) if dotenv else {}
        named = environ.get("EDGE_CONFIG", given.get("EDGE_CONFIG", "")).strip()
        file = ConfigFile.read(Path(named) if named else DEFAULT_FILE, must=bool(named))
        values = read(SETTINGS, environ, {**_texts(file), **given})
        told = "VIDEO_SOURCE" in {**environ, **given}
        config = cls(**values, cameras=())
        cameras = _cameras(file, values, managed.load(config.data_dir, config.opener), told=told)
        return replace(config, cameras=cameras)

    def opener(self) -> Seal:
        """What opens the sealed files of the edge's folder, and seals none; raises SettingError."""
        return open_seal(self.data_dir, Source.of(self), sealing=False)


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _texts(file: ConfigFile) -> dict[str, str]:
    """The settings at the top of the file, as texts by name; each is checked here, where its place is known."""
    allowed = {name.lower(): name for name in _BY_NAME if name not in NOT_IN_FILE}
    for entry in file.entries:
        _value(entry, allowed)
    return {allowed[entry.key]: entry.text for entry in file.entries}


def _cameras(
    file: ConfigFile, settings: Mapping[str, Any], given: Mapping[str, managed.Settings], *, told: bool
) -> tuple[CameraConfig, ...]:
    """The file's cameras, each with the settings for all where it says nothing of its own; where there are none, the
    settings' one, if they were `told` of it. Then those that the control plane has given."""
    usual = {key: settings[name.lower()] for key, name in OF_A_CAMERA.items()}
    cameras: dict[str, CameraConfig] = {}
    if not file.cameras and (told or not given):
        cameras[usual["name"]] = CameraConfig(**usual)
    for table in (*file.cameras, *(_given(*camera) for camera in given.items())):
        own = {entry.key: _value(entry, OF_A_CAMERA) for entry in table.entries}
        said = {entry.key for entry in table.entries if entry.text.strip()}
        if missing := [key for key in NEEDED if key not in said]:
            raise SettingError(f"{table.place}: the camera has no {missing[0]}", remedy="Each [[camera]] has both.")
        camera = CameraConfig(**{**usual, **own})
        if camera.name in cameras:
            raise SettingError(f"{table.place}: there is a camera {camera.name} already", remedy="Name it otherwise.")
        cameras[camera.name] = camera
    return tuple(cameras.values())


def _given(name: str, settings: managed.Settings) -> CameraTable:
    place = f"camera {name} of the control plane"
    return CameraTable(tuple(Entry(key, text, place) for key, text in {"name": name, **settings}.items()), place)


def _value(entry: Entry, allowed: Mapping[str, str]) -> Any:
    if entry.key not in allowed:
        raise SettingError(f"{entry.place}: there is no {entry.key} here", remedy=f"Known: {', '.join(allowed)}.")
    try:
        return _BY_NAME[allowed[entry.key]].read(entry.text)
    except SettingError as error:
        raise SettingError(f"{entry.place}: {error.message}", remedy=error.remedy) from None
