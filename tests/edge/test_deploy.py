"""What an edge is installed by: the unit for systemd, and the packages."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edge.config import Config
from edge.health import HUNG, TICK_S
from faces.errors import SettingError

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "deploy" / "rollcall-edge.service"


def value(name: str) -> str:
    (found,) = [line.partition("=")[2] for line in UNIT.read_text().splitlines() if line.startswith(f"{name}=")]
    return found


def test_systemd_starts_the_edge_again_where_that_helps() -> None:
    assert value("Type") == "notify"
    assert int(value("WatchdogSec")) >= 20 * TICK_S
    assert value("Restart") == "always"
    assert str(HUNG) not in value("RestartPreventExitStatus").split()
    assert value("RestartPreventExitStatus") == "2", "a setting that cannot be used"


def test_an_edge_runs_as_a_user_of_its_own() -> None:
    assert value("User") not in ("", "root")
    assert value("CapabilityBoundingSet") == ""
    assert value("UMask") == "0077"


def test_its_first_lines_make_what_it_names_and_an_empty_file_of_cameras_will_do(tmp_path: Path) -> None:
    named = dict(word.split("=") for word in value("Environment").split())
    commands = "\n".join(line for line in UNIT.read_text().splitlines() if line.startswith("#   "))
    for needed in (value("User"), named["DATA_DIR"], named["EDGE_CONFIG"], ".venv/bin/python", UNIT.name):
        assert needed in commands
    (tmp_path / "edge.toml").touch()
    settings = {"EDGE_CONFIG": str(tmp_path / "edge.toml"), "DATA_DIR": str(tmp_path)}
    assert Config.read(settings, tmp_path / "none").cameras
    with pytest.raises(SettingError):
        Config.read({**settings, "EDGE_CONFIG": str(tmp_path / "other.toml")}, tmp_path / "none")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    here = tmp_path / UNIT.name
    here.write_text(UNIT.read_text().replace("/opt/rollcall/.venv/bin/python", "/bin/true"))
    checked = subprocess.run(["systemd-analyze", "verify", str(here)], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
    rated = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20", str(here)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert rated.returncode == 0, rated.stdout[-300:]


def test_on_arm_machines_every_package_of_every_role_comes_as_a_wheel() -> None:
    tools = str(Path(sys.executable).parent)
    checked = subprocess.run(
        [ROOT / "requirements" / "wheels.sh"],
        env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    if "Failed to fetch" in checked.stderr:
        pytest.skip("the package index is not in reach")
    assert checked.returncode == 0, checked.stderr
    assert checked.stdout.count("every package has a wheel") == 9
