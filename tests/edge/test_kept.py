from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from edge import credential, managed
from edge.seal import open_seal
from faces.masterkey import Source


def kept_credential(folder: Path) -> None:
    credential.save(folder / "membership.json", "https://plane.example", "rc_second")


def kept_cameras(folder: Path) -> None:
    managed.save(folder, {"door": {"source": "rtsp://door"}})


def kept_key(folder: Path) -> None:
    open_seal(folder, Source(folder / "master.key"))


@pytest.mark.parametrize("keep", [kept_credential, kept_cameras, kept_key])
def test_a_file_is_on_the_disk_under_its_name_before_it_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: Callable[[Path], None]
) -> None:
    """The power may fail at once: the folder is synced after the rename."""
    happened: list[str] = []
    rename, sync = Path.replace, os.fsync

    def renamed(path: Path, target: Path) -> Path:
        happened.append("renamed")
        return rename(path, target)

    def synced(file: int) -> None:
        happened.append("folder synced" if stat.S_ISDIR(os.fstat(file).st_mode) else "file synced")
        sync(file)

    monkeypatch.setattr(Path, "replace", renamed)
    monkeypatch.setattr(os, "fsync", synced)
    keep(tmp_path)
    assert happened[-3:] == ["file synced", "renamed", "folder synced"]
