from __future__ import annotations

import stat
from pathlib import Path

import pytest

from edge import credential
from edge.credential import Credential
from faces.errors import SettingError


def test_a_credential_is_kept_with_its_control_plane_in_a_file_for_its_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "edge" / "membership.json"
    assert credential.read(path) is None
    credential.save(path, "https://plane.example", "rc_first")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    url, held = credential.read(path) or ("", Credential())
    assert (url, held.key, held.kept) == ("https://plane.example", "rc_first", True)
    held.take("rc_second")
    url, again = credential.read(path) or ("", Credential())
    assert (url, held.key, again.key) == ("https://plane.example", "rc_second", "rc_second")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_credential_that_cannot_be_kept_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "membership.json"
    credential.save(path, "https://plane.example", "rc_first")
    _, held = credential.read(path) or ("", Credential())
    path.with_suffix(".new").mkdir()
    with pytest.raises(OSError, match="new"):
        held.take("rc_second")
    assert held.key == "rc_first"


def test_a_file_that_says_nothing_stops_the_start(tmp_path: Path) -> None:
    path = tmp_path / "membership.json"
    path.write_text('{"url": 3')
    with pytest.raises(SettingError, match="cannot be read"):
        credential.read(path)


def test_a_key_that_was_told_is_kept_nowhere() -> None:
    assert not Credential("rc_told").kept
