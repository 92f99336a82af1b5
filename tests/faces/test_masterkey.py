from __future__ import annotations

import base64
import stat
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from faces.errors import SettingError
from faces.masterkey import SETTINGS, Source, as_text
from faces.sealing import named
from faces.settings import read

KEY, NEWER = bytes(range(32)), bytes(range(1, 33))


def source(tmp_path: Path, **environment: str) -> Source:
    return Source.of(SimpleNamespace(data_dir=tmp_path, **read(SETTINGS, environment, {})))


def test_the_file_is_made_once_for_its_user_alone(tmp_path: Path) -> None:
    where = source(tmp_path)
    assert where.read() == ()
    made: list[Any] = []
    threads = [threading.Thread(target=lambda n=n: made.append(where.make(bytes([n]) * 32))) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 1
    assert made[0] == where.read() == where.make(KEY)
    assert stat.S_IMODE(where.file.stat().st_mode) == 0o600
    assert stat.S_IMODE(where.file.parent.stat().st_mode) == 0o700
    assert [path.name for path in where.file.parent.iterdir()] == ["master.key"]


def test_the_environment_or_a_command_gives_it_too(tmp_path: Path) -> None:
    written = as_text(KEY)
    assert source(tmp_path, SECRET_KEY=written).read() == (named(KEY),)
    assert source(tmp_path, SECRET_KEY=base64.b64encode(KEY).decode()).read() == (named(KEY),)
    assert source(tmp_path, SECRET_KEY_COMMAND=f"echo {written}").read() == (named(KEY),)
    assert source(tmp_path, SECRET_KEY=f"{as_text(NEWER)}, {written}").read() == (named(NEWER), named(KEY))


def test_a_new_key_stands_before_the_old_one(tmp_path: Path) -> None:
    where = source(tmp_path, SECRET_KEY_FILE=str(tmp_path / "own"))
    old = where.make(KEY)
    where.replace([named(NEWER), *old])
    assert where.read() == (named(NEWER), named(KEY))
    assert stat.S_IMODE((tmp_path / "own").stat().st_mode) == 0o600
    with pytest.raises(SettingError, match="SECRET_KEY cannot"):
        source(tmp_path, SECRET_KEY=as_text(KEY)).replace(old)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("SECRET_KEY", "rcm_c2VjcmV0"),
        ("SECRET_KEY", "what-is-no-key-at-all!"),
        ("SECRET_KEY_COMMAND", "false"),
        ("SECRET_KEY_COMMAND", "no-such-command"),
        ("SECRET_KEY_COMMAND", "echo c2VjcmV0"),
        ("SECRET_KEY_FILE", "/proc/self/mem"),
    ],
)
def test_what_gives_no_key_is_named_and_not_repeated(tmp_path: Path, setting: str, value: str) -> None:
    with pytest.raises(SettingError, match=setting) as refused:
        source(tmp_path, **{setting: value}).read()
    assert "c2VjcmV0" not in f"{refused.value.message} {refused.value.remedy}"
    assert "no-key" not in f"{refused.value.message} {refused.value.remedy}"


def test_the_key_is_never_shown(tmp_path: Path) -> None:
    shown = repr(source(tmp_path, SECRET_KEY=as_text(KEY)))
    assert as_text(KEY).removeprefix("rcm_") not in shown
    assert repr(KEY) not in shown
