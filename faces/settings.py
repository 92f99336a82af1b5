"""Settings: one table a process, read once by its root from the environment and a `.env` file."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from faces.errors import SettingError

E = TypeVar("E", bound=StrEnum)


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


def read(settings: Iterable[Setting], environment: Mapping[str, str], dotenv: Mapping[str, str]) -> dict[str, Any]:
    """Every setting's value under its name in lower case; the environment wins over the `.env` file.

    What is secret may stand in a file that `NAME_FILE` names; raises SettingError if that cannot be read.
    """
    table = tuple(settings)
    names = {s.name for s in table}
    given = {**dotenv, **environment}
    for name in names:
        if (path := environment.get(f"{name}_FILE")) and name not in environment and f"{name}_FILE" not in names:
            given[name] = _held(f"{name}_FILE", Path(path))
    return {s.name.lower(): s.read(given.get(s.name)) for s in table}


def _held(name: str, path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"{name} cannot be read: {type(error).__name__}", remedy="Name a file of text.") from error


def read_dotenv(path: Path) -> dict[str, str]:
    """The `NAME=value` lines of a `.env` file; empty if there is none. Quotes around a value are taken off. Raises
    SettingError for a file that cannot be read, or is no text."""
    if not path.is_file():
        return {}
    values = {}
    try:
        written = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"{path} cannot be read: {error}", remedy="It is to be text in UTF-8.") from error
    for line in written.splitlines():
        if found := re.fullmatch(r"\s*(?:export\s+)?(\w+)\s*=\s*(.*?)\s*", line):
            values[found[1]] = _unquoted(found[2])
    return values


def _unquoted(value: str) -> str:
    if quoted := re.fullmatch(r"(['\"])(.*)\1", value):
        return quoted[2]
    return re.sub(r"\s+#.*$", "", value)


def text(value: str) -> str:
    if not value.isprintable():
        raise ValueError("holds characters that cannot be printed")
    return value


def flag(value: str) -> bool:
    flags = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
    if value.lower() not in flags:
        raise ValueError("is neither true nor false")
    return flags[value.lower()]


def whole(low: int, high: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        if not re.fullmatch(r"[0-9]{1,18}", value) or not low <= int(value) <= high:
            raise ValueError(f"is not a whole number from {low} to {high}")
        return int(value)

    return parse


def number(low: float, high: float) -> Callable[[str], float]:
    def parse(value: str) -> float:
        wrong = ValueError(f"is not a number from {low:g} to {high:g}")
        try:
            found = float(value)
        except ValueError:
            raise wrong from None
        if not math.isfinite(found) or not low <= found <= high:
            raise wrong
        return found

    return parse


def one_of(kind: type[E]) -> Callable[[str], E]:
    def parse(value: str) -> E:
        if value not in list(kind):
            raise ValueError(f"is none of: {', '.join(kind)}")
        return kind(value)

    return parse


def url(*schemes: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        try:
            parts = urlsplit(text(value))
            usable = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if not usable:
            raise ValueError(f"is not a URL that begins with {' or '.join(f'{s}://' for s in schemes)}")
        return value.rstrip("/")

    return parse
