"""The edge's TOML file as it is written: settings, cameras, and where each of them stands."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from faces.errors import SettingError


class Entry(NamedTuple):
    """A key, its value as the text that a setting would have, and its place for people."""

    key: str
    text: str
    place: str


class CameraTable(NamedTuple):
    """A `[[camera]]`, and its place for people."""

    entries: tuple[Entry, ...]
    place: str


class ConfigFile(NamedTuple):
    """What stands at the top of the file, and its cameras."""

    entries: tuple[Entry, ...] = ()
    cameras: tuple[CameraTable, ...] = ()

    @classmethod
    def read(cls, path: Path, *, must: bool) -> ConfigFile:
        """Read the file; raises SettingError. With `must` it has to be there."""
        if not must and not path.exists():
            return cls()
        try:
            written = path.read_text(encoding="utf-8")
            tables = tomllib.loads(written)
        except OSError as error:
            remedy = "Put it there, or name another by EDGE_CONFIG."
            raise SettingError(f"{path} cannot be read: {error.strerror}", remedy=remedy) from error
        except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise SettingError(f"{path}: {error}", remedy="It is to be TOML (https://toml.io) in UTF-8.") from error
        cameras = tables.pop("camera", [])
        if not isinstance(cameras, list) or not all(isinstance(camera, dict) for camera in cameras):
            remedy = 'Write [[camera]], and below it name = "..." and source = "...".'
            raise SettingError(f"{path}, {_line(written, 0, 'camera')}: camera is no table of its own", remedy=remedy)
        return cls(
            tuple(_entries(path, written, 0, tables)),
            tuple(_camera(path, written, number, table) for number, table in enumerate(cameras, start=1)),
        )


def _camera(path: Path, written: str, number: int, table: Mapping[str, Any]) -> CameraTable:
    return CameraTable(tuple(_entries(path, written, number, table)), f"{path}, {_line(written, number)}")


def _entries(path: Path, written: str, camera: int, table: Mapping[str, Any]) -> Iterator[Entry]:
    for key, value in table.items():
        place = f"{path}, {_line(written, camera, key)}"
        if not isinstance(value, str | int | float):
            raise SettingError(f"{place}: {key} is no text, number, true or false", remedy="Write it as one of them.")
        yield Entry(key, str(value).lower() if isinstance(value, bool) else str(value), place)


def _line(written: str, camera: int, key: str | None = None) -> str:
    """Where a key stands, for people, as tomllib does not tell: in the table of that camera, from 1 on, or above all
    (0). Without a key: where that table begins."""
    at = 0
    for number, line in enumerate(written.splitlines(), start=1):
        at += bool(re.match(r"\s*\[\[\s*camera\s*\]\]", line))
        if at == camera and (key is None or re.match(rf"""\s*["'\[]*\s*{re.escape(key)}\b""", line)):
            return f"line {number}"
    return f"camera {camera}" if camera else "above the cameras"
