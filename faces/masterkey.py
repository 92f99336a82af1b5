"""The master key: read from a file, the environment or a command. It seals no data, only the keys that do."""

from __future__ import annotations

import base64
import binascii
import os
import shlex
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkstemp
from typing import Protocol, Self

from faces.errors import SettingError
from faces.sealing import KEY_BYTES, Secret, named
from faces.settings import Setting, flag, text

PREFIX = "rcm_"
COMMAND_WITHIN_S = 30.0


def _keys(value: str) -> tuple[Secret, ...]:
    """Keys by space or comma, the newest first; raises ValueError, which never repeats what was written."""
    found = tuple(named(_bytes(word)) for word in value.replace(",", " ").split())
    if not found:
        raise ValueError("holds no key")
    return found


def _bytes(word: str) -> bytes:
    wrong = ValueError(f"holds what is no key: each is {KEY_BYTES} bytes in base64")
    plain = word.removeprefix(PREFIX).replace("-", "+").replace("_", "/")
    try:
        key = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise wrong from None
    if len(key) != KEY_BYTES:
        raise wrong
    return key


SETTINGS = (
    Setting("ENCRYPT", "true", "seal photos and encodings before they are written to a disk", flag),
    Setting("SECRET_KEY_FILE", "", "file of the master key; empty: `secrets/master.key` in DATA_DIR", Path),
    Setting("SECRET_KEY", "", "the master key itself, in place of a file", _keys),
    Setting("SECRET_KEY_COMMAND", "", "command that prints the master key, in place of a file", text),
)


def as_text(key: bytes) -> str:
    """A key as it is written down."""
    return PREFIX + base64.urlsafe_b64encode(key).decode().rstrip("=")


class Told(Protocol):
    """The settings above, and DATA_DIR."""

    @property
    def data_dir(self) -> Path: ...
    @property
    def secret_key_file(self) -> Path | None: ...
    @property
    def secret_key(self) -> tuple[Secret, ...] | None: ...
    @property
    def secret_key_command(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Source:
    """Where the master key comes from. While it is exchanged there are several: the newest stands first."""

    file: Path
    given: tuple[Secret, ...] | None = field(default=None, repr=False)
    command: str | None = None

    @classmethod
    def of(cls, told: Told) -> Self:
        """By what a process was told."""
        file = told.secret_key_file or told.data_dir / "secrets" / "master.key"
        return cls(file, told.secret_key, told.secret_key_command)

    @property
    def name(self) -> str:
        """The setting that it is."""
        return "SECRET_KEY" if self.given else "SECRET_KEY_COMMAND" if self.command else "SECRET_KEY_FILE"

    @property
    def is_file(self) -> bool:
        return not self.given and not self.command

    def read(self) -> tuple[Secret, ...]:
        """The keys, the newest first; none if the file is not there. Raises SettingError."""
        if self.given:
            return self.given
        try:
            return _keys(_printed(self.command) if self.command else self.file.read_text())
        except FileNotFoundError:
            if self.command:
                raise SettingError("SECRET_KEY_COMMAND: there is no such command") from None
            return ()
        except (OSError, subprocess.SubprocessError) as error:
            raise SettingError(f"{self.name} does not give the key: {_reason(error)}") from None
        except ValueError as error:
            raise SettingError(f"{self.name} {error}", remedy="Put back the key that was there.") from None

    def make(self, key: bytes) -> tuple[Secret, ...]:
        """The keys; where there is no file yet, it is made with this key in it. Whoever comes first makes it."""
        if found := self.read():
            return found
        self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial = self._write((key,))
        with suppress(FileExistsError):
            os.link(partial, self.file)
        partial.unlink()
        sync_folder(self.file.parent)
        return self.read()

    def replace(self, keys: Sequence[Secret]) -> None:
        """Have the file hold these keys; whatever breaks off, it holds the ones or the others. Raises SettingError."""
        if not self.is_file:
            raise SettingError(f"{self.name} cannot be written to", remedy="Give it the new key before the old one.")
        partial = None
        try:
            partial = self._write([secret.key for secret in keys])
            partial.replace(self.file)
            sync_folder(self.file.parent)
        except OSError as error:
            if partial is not None:
                partial.unlink(missing_ok=True)
            raise SettingError(
                f"SECRET_KEY_FILE: {self.file} cannot be written from here: {error.strerror}",
                remedy="Write a new key (secrets new) before the old one by hand, restart its readers, and try again.",
            ) from error

    def keep_only(self, key: Secret) -> None:
        """Have the file hold this key alone, which all is wrapped by now. Where it cannot be written from here the old
        ones stay, until they are taken out by hand."""
        if self.is_file:
            with suppress(SettingError):
                self.replace([key])

    def _write(self, keys: Sequence[bytes]) -> Path:
        """Keys in a file beside it, that only its user may read."""
        descriptor, partial = mkstemp(dir=self.file.parent, suffix=".partial")
        with os.fdopen(descriptor, "w") as file:
            file.write("".join(f"{as_text(key)}\n" for key in keys))
            file.flush()
            os.fsync(file.fileno())
        return Path(partial)


def _printed(command: str) -> str:
    done = subprocess.run(
        shlex.split(command), stdin=subprocess.DEVNULL, capture_output=True, timeout=COMMAND_WITHIN_S, check=True
    )
    return done.stdout.decode()


def _reason(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        return f"it ended with status {error.returncode}"
    return getattr(error, "strerror", None) or type(error).__name__


def sync_folder(folder: Path) -> None:
    """A file's name is on the disk when its folder is."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
