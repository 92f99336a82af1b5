"""The README tells the truth: its settings are the code's, its reasons are the code's, its commands exist."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from control_plane.config import SETTINGS as CONTROL_PLANE
from edge.config import SETTINGS as EDGE
from faces.errors import Reason
from faces.settings import Setting
from jobs.config import SETTINGS as WORKER
from rollcall.cli import cli

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def table(settings: Iterable[Setting]) -> str:
    """A process's settings as the README shows them."""
    rows = [f"| `{s.name}` | {f'`{s.default}`' if s.default else ''} | {s.meaning} |" for s in settings]
    return "\n".join(["| setting | default | meaning |", "|---|---|---|", *rows])


@pytest.mark.parametrize(
    ("heading", "settings"), [("Edge", EDGE), ("Control plane", CONTROL_PLANE), ("Worker", WORKER)]
)
def test_the_settings_tables_are_the_codes(heading: str, settings: Iterable[Setting]) -> None:
    assert f"### {heading}\n\n{table(settings)}\n" in README, f"the table should be:\n{table(settings)}"


def test_every_reason_of_a_refusal_is_explained() -> None:
    assert set(re.findall(r"^\| `(\w+)` \| (?!.*`)", README, re.M)) >= set(Reason)


def test_every_command_the_readme_names_exists() -> None:
    named = set(re.findall(r"python -m rollcall (\w+)", README)) | set(re.findall(r"^    make (\w+)", README, re.M))
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.M))
    assert named <= set(cli.commands) | targets


def test_every_file_the_readme_shows_is_there() -> None:
    assert all((ROOT / path).is_file() for path in re.findall(r"\]\(([\w/.]+)\)", README))
