"""The documentation tells the truth: its settings and reasons are the code's, its commands and files exist."""

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
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def table(settings: Iterable[Setting]) -> str:
    """A process's settings as the documentation shows them."""
    rows = [f"| `{s.name}` | {f'`{s.default}`' if s.default else ''} | {s.meaning} |" for s in settings]
    return "\n".join(["| setting | default | meaning |", "|---|---|---|", *rows])


@pytest.mark.parametrize(
    ("heading", "settings"), [("Edge", EDGE), ("Control plane", CONTROL_PLANE), ("Worker", WORKER)]
)
def test_the_settings_tables_are_the_codes(heading: str, settings: Iterable[Setting]) -> None:
    page = (ROOT / "docs" / "settings.md").read_text()
    assert f"## {heading}\n\n{table(settings)}\n" in page, f"the table should be:\n{table(settings)}"


def test_every_reason_of_a_refusal_is_explained() -> None:
    page = (ROOT / "docs" / "people.md").read_text()
    assert set(re.findall(r"^\| `(\w+)` \| (?!.*`)", page, re.M)) >= set(Reason)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_a_page_names_exists(page: Path) -> None:
    text = page.read_text()
    named = set(re.findall(r"python -m rollcall (\w+)", text)) | set(re.findall(r"^    make (\w+)", text, re.M))
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.M))
    assert named <= set(cli.commands) | targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_a_page_shows_is_there(page: Path) -> None:
    shown = re.findall(r"\]\(([\w/.-]+)(?:#[\w-]*)?\)", page.read_text())
    assert [path for path in shown if not (page.parent / path).is_file()] == []


def test_the_readme_leads_to_every_page() -> None:
    assert set(re.findall(r"\]\((docs/[\w-]+\.md)\)", PAGES[0].read_text())) == {f"docs/{p.name}" for p in PAGES[1:]}
