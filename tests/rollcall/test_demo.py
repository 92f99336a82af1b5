from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rollcall.feed import line


@pytest.mark.timeout(180)
def test_the_demo_recognises_the_person_and_turns_the_stranger_away(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "rollcall", "demo", "--data", str(tmp_path / "demo")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "PASS        Barack Obama" in done.stdout
    assert "REJECT      somebody unknown" in done.stdout
    assert "1 turned away, 0 let in by mistake" in done.stdout


def event(**fields: object) -> dict[str, object]:
    return {"kind": "decision", "captured_at": "2026-01-01T12:00:00Z", "camera": "door", "status": "PASS", **fields}


def test_a_line_says_when_what_who_how_near_and_where() -> None:
    shown = line(event(name="Ann", distance=0.31)).plain
    assert [w for w in ("PASS", "Ann", "0.310", "door") if w not in shown] == []


@pytest.mark.parametrize("name", ["\x1b[31mred", "[bold]x[/]", "a\nb", "\u202egnp"])
def test_a_name_is_shown_as_text_whatever_is_in_it(name: str) -> None:
    shown = line(event(name=name)).plain
    assert "\x1b" not in shown
    assert "\n" not in shown
    assert "\u202e" not in shown
    assert ("[bold]" in shown) == ("[bold]" in name)


def test_a_camera_that_is_lost_has_a_line_too() -> None:
    assert "camera_lost" in line(event(status=None, kind="camera_lost")).plain
