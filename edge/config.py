"""The edge's settings: one table, read once by the root into a frozen value."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from faces.errors import SettingError

E = TypeVar("E", bound=StrEnum)


class Pace(StrEnum):
    """How a file is played: as a camera would show it, or every frame as fast as it is taken."""

    REALTIME = "realtime"
    EVERY_FRAME = "every_frame"


class Loop(StrEnum):
    """What follows a file's last frame."""

    ONCE = "once"
    LOOP = "loop"


def _text(value: str) -> str:
    if not value.isprintable():
        raise ValueError("holds characters that cannot be printed")
    return value


def _flag(value: str) -> bool:
    flags = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
    if value.lower() not in flags:
        raise ValueError("is neither true nor false")
    return flags[value.lower()]


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", value) or not low <= int(value) <= high:
            raise ValueError(f"is not a whole number from {low} to {high}")
        return int(value)

    return parse


def _number(low: float, high: float) -> Callable[[str], float]:
    def parse(value: str) -> float:
        wrong = ValueError(f"is not a number from {low:g} to {high:g}")
        try:
            number = float(value)
        except ValueError:
            raise wrong from None
        if not math.isfinite(number) or not low <= number <= high:
            raise wrong
        return number

    return parse


def _one_of(kind: type[E]) -> Callable[[str], E]:
    def parse(value: str) -> E:
        if value not in list(kind):
            raise ValueError(f"is none of: {', '.join(kind)}")
        return kind(value)

    return parse


def _url(*schemes: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        try:
            parts = urlsplit(_text(value))
            usable = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if not usable:
            raise ValueError(f"is not a URL that begins with {' or '.join(f'{s}://' for s in schemes)}")
        return value.rstrip("/")

    return parse


CAMERA_SCHEMES = ("rtsp", "rtsps", "http", "https")


def _source(value: str) -> int | str:
    """A camera's number, a camera's URL, or the path of a file."""
    if re.fullmatch(r"[0-9]{1,3}", value):
        return int(value)
    scheme, found, _ = _text(value).partition("://")
    if found and scheme.lower() not in CAMERA_SCHEMES:
        raise ValueError(f"is no camera's number, path or URL ({', '.join(CAMERA_SCHEMES)})")
    return value


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: its name in the environment, its default as text (empty: not set), its meaning, its reader."""

    name: str
    default: str
    meaning: str
    parse: Callable[[str], Any]

    def read(self, text: str | None) -> Any:
        """The setting's value, None where it is empty; raises SettingError, which never repeats what was written:
        it may hold a password."""
        value = (text or "").strip() or self.default
        if not value:
            return None
        try:
            return self.parse(value)
        except ValueError as error:
            raise SettingError(f"{self.name} {error}", remedy=f"{self.name}: {self.meaning}.") from None


SETTINGS = (
    Setting("VIDEO_SOURCE", "0", "camera number, file path, or rtsp:// or http:// URL", _source),
    Setting("VIDEO_PACE", "realtime", "a file is played in `realtime`, or `every_frame` is looked at", _one_of(Pace)),
    Setting("VIDEO_LOOP", "once", "a file is played `once` or in a `loop`", _one_of(Loop)),
    Setting("EXIT_AT_END", "false", "end when the file has ended and its events are delivered", _flag),
    Setting("SCALE", "0.5", "faces are searched on the picture reduced by this factor", _number(0.05, 1)),
    Setting("COOLDOWN", "5", "seconds before a person who stays in the picture passes again", _number(0, 86400)),
    Setting("TH_ACCEPT", "", "distance up to which a person passes; empty: the engine's own (0.45)", _number(0, 2)),
    Setting("THRESHOLD", "0.6", "distance below which a rejected face is given the nearest name", _number(0, 2)),
    Setting("SHOW_WINDOW", "false", "show the annotated picture on a local page", _flag),
    Setting("PREVIEW_PORT", "5050", "port of that page on 127.0.0.1", _whole(1, 65535)),
    Setting("WEBHOOK_URL", "", "posted to by the edge itself when somebody passes", _url("http", "https")),
    Setting("WS_ENABLE", "true", "send live frames at all", _flag),
    Setting("WS_URL", "", "a stream server that the edge also pushes every frame to", _url("ws", "wss")),
    Setting("WS_JPEG_QUALITY", "70", "JPEG quality of live frames, 1 to 100", _whole(1, 100)),
    Setting("CONTROL_PLANE_URL", "http://127.0.0.1:5000", "where the control plane is", _url("http", "https")),
    Setting("EDGE_NAME", "", "name of this edge; empty: the machine's", _text),
    Setting("SITE", "", "site that this edge stands at; empty: the default site", _text),
    Setting("CAMERA", "camera", "name of the camera", _text),
    Setting("DATA_DIR", "./edge-data", "folder of the edge's gallery and of events not yet delivered", Path),
    Setting("ENGINE", "sface", "engine that finds and encodes faces", _text),
    Setting("MODELS", "", "folder of weight files to use instead of the installed ones", Path),
    Setting("THREADS", "1", "threads of the engine", _whole(1, 256)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What the edge was told; each field is the setting of the same name in capitals."""

    video_source: int | str
    video_pace: Pace
    video_loop: Loop
    exit_at_end: bool
    scale: float
    cooldown: float
    th_accept: float | None
    threshold: float
    show_window: bool
    preview_port: int
    webhook_url: str | None
    ws_enable: bool
    ws_url: str | None
    ws_jpeg_quality: int
    control_plane_url: str
    edge_name: str | None
    site: str | None
    camera: str
    data_dir: Path
    engine: str
    models: Path | None
    threads: int

    @classmethod
    def read(cls, environ: Mapping[str, str], dotenv: Path | None = None) -> Config:
        """Read the environment, and below it the `.env` file if there is one; raises SettingError."""
        given = {**_read_dotenv(dotenv), **environ}
        return cls(**{setting.name.lower(): setting.read(given.get(setting.name)) for setting in SETTINGS})


def _read_dotenv(path: Path | None) -> dict[str, str]:
    if path is None or not path.is_file():
        return {}
    try:
        return parse_dotenv(path.read_text("utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"{path} cannot be read: {error}") from error


_LINE = re.compile(r"""\s*(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(?:"([^"]*)"|'([^']*)'|(.*?))\s*(?:(?<!\S)\#.*)?""")


def parse_dotenv(text: str) -> dict[str, str]:
    """The settings of a `.env` file: NAME=value lines, values bare or quoted, comments after ` #`."""
    settings: dict[str, str] = {}
    for line in text.splitlines():
        match = _LINE.fullmatch(line)
        if match:
            name, *values = match.groups()
            settings[name] = next((value for value in values if value is not None), "")
    return settings
