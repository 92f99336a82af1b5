from __future__ import annotations

from pathlib import Path

import pytest

from rollcall.doctor import disk
from rollcall.doctor.finding import Verdict


def test_a_folder_of_ones_own_is_good(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    found = list(disk.folder(tmp_path / "not there yet", 1.0, remedy="Make room."))
    assert [f.name for f in found] == ["disk: rights", "disk: room", "disk: speed"]
    assert {f.verdict for f in found[:2]} == {Verdict.GOOD}
    assert found[2].figures["s"] > 0
    assert list(tmp_path.iterdir()) == [], "nothing is left there"


def test_a_folder_that_others_may_read_is_told_of(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    assert disk.rights(tmp_path).remedy == f"chmod 700 {tmp_path}"


def test_a_file_in_its_place_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    (found,) = disk.folder(tmp_path / "data", 1.0, remedy="")
    assert found.verdict is Verdict.FAULT


@pytest.mark.parametrize(("free_mb", "verdict"), [(900, Verdict.GOOD), (700, Verdict.WARNING), (90, Verdict.FAULT)])
def test_room_is_judged_by_what_is_needed(free_mb: float, verdict: Verdict) -> None:
    assert disk.room(free_mb, 800, "Make room.").verdict is verdict


@pytest.mark.parametrize(("commit_s", "verdict"), [(0.01, Verdict.GOOD), (0.1, Verdict.WARNING), (1, Verdict.FAULT)])
def test_a_slow_disk_is_told_of(commit_s: float, verdict: Verdict) -> None:
    assert disk.speed(commit_s).verdict is verdict
