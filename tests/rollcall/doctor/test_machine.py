from __future__ import annotations

import os
from pathlib import Path

import pytest

from rollcall.doctor.finding import Verdict
from rollcall.doctor.machine import available_mb, machine, memory, warmest_c, warmth


def test_the_machine_tells_of_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    found = {finding.name: finding for finding in machine()}
    assert found["machine"].verdict is Verdict.GOOD
    assert found["machine: user"].verdict is Verdict.WARNING
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "machine: user" not in {finding.name for finding in machine()}


@pytest.mark.parametrize(("mb", "verdict"), [(4000, Verdict.GOOD), (600, Verdict.WARNING), (300, Verdict.FAULT)])
def test_little_memory_is_told_of(mb: float, verdict: Verdict) -> None:
    assert memory(mb).verdict is verdict


def test_what_the_system_tells_is_read(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal:  2048000 kB\nMemAvailable:  1024000 kB\n")
    assert available_mb(tmp_path / "meminfo") == 1000
    assert available_mb(tmp_path / "none") is None
    for zone, text in (("thermal_zone0", "51000\n"), ("thermal_zone1", "84500\n")):
        (tmp_path / zone).mkdir()
        (tmp_path / zone / "temp").write_text(text)
    assert warmest_c(tmp_path) == 84.5
    assert warmest_c(tmp_path / "none") is None
    assert (warmth(51).verdict, warmth(84.5).verdict) == (Verdict.GOOD, Verdict.WARNING)
