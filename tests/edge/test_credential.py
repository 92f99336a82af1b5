from __future__ import annotations

import stat
from pathlib import Path

import pytest

from edge import credential
from edge.credential import Credential
from edge.seal import Seal, open_seal, plain
from faces.errors import SettingError
from faces.masterkey import Source
from faces.sealing import secret_of


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


def test_a_credential_is_sealed_from_the_edges_start_on(tmp_path: Path) -> None:
    path = tmp_path / "membership.json"
    credential.save(path, "https://plane.example", "rc_first")
    seal = open_seal(tmp_path, Source(tmp_path / "master.key"))
    _, held = credential.read(path, lambda: seal) or ("", Credential())
    held.keep_sealed(seal)
    assert b"rc_first" not in path.read_bytes()
    held.take("rc_second")
    assert b"rc_second" not in path.read_bytes()
    url, again = credential.read(path, lambda: seal) or ("", Credential())
    assert (url, again.key) == ("https://plane.example", "rc_second")
    for opener in (plain, lambda: Seal(secret_of(bytes(40)))):
        with pytest.raises(SettingError, match="cannot be read"):
            credential.read(path, opener)
