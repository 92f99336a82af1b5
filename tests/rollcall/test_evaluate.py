"""`rollcall evaluate` on real people."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

from rollcall.cli import cli


def evaluate(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["evaluate", *map(str, arguments)])


@pytest.fixture(scope="session")
def people(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve people, one of whom has a single photo."""
    folder = tmp_path_factory.mktemp("people")
    for source in sorted((data / "people").iterdir())[:12]:
        shutil.copytree(source, folder / source.name)
    for photo in sorted(source for source in (folder / source.name).iterdir())[1:]:
        photo.unlink()
    return folder


@pytest.fixture(scope="session")
def strangers(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("strangers")
    for photo in sorted((data / "strangers").glob("*.jpg"))[:15]:
        shutil.copy(photo, folder)
    return folder


def test_the_report_has_its_members_and_the_same_seed_gives_the_same_numbers(people: Path, strangers: Path) -> None:
    first = evaluate(people, "--strangers", strangers, "--json")
    assert first.exit_code == 0, first.output
    report = json.loads(first.stdout)
    assert {"gallery", "operating", "at_fpir_0.003", "at_fpir_0.01", "rank1", "failed_to_enroll"} <= set(report)
    for rates in (report["operating"], report["at_fpir_0.003"], report["at_fpir_0.01"]):
        for name in ("fpir", "fnir"):
            low, high = rates[name]["interval"]
            assert low <= rates[name]["count"] / rates[name]["of"] <= high
    assert report["operating"]["distance"] == 0.45
    assert json.loads(evaluate(people, "--strangers", strangers, "--json").stdout) == report


def test_people_with_too_few_photos_are_counted_and_not_hidden(people: Path) -> None:
    report = json.loads(evaluate(people, "--json").stdout)
    assert len(report["too_few_photos"]) == 1
    assert report["gallery"] == 11


def test_a_person_sees_a_table_the_advice_and_a_picture(people: Path, strangers: Path, tmp_path: Path) -> None:
    shown = evaluate(people, "--strangers", strangers, "--photos", 2, "--plot", tmp_path / "p.svg", "--fpir", 0.02)
    assert "as configured" in shown.stdout
    assert "set TH_ACCEPT to" in shown.stdout
    assert "FPIR grows with the gallery" in shown.stdout
    assert ElementTree.parse(tmp_path / "p.svg").getroot().tag.endswith("svg")


def test_a_folder_without_photos_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    result = evaluate(tmp_path)
    assert "there is no photo" in str(result.exception)


def test_a_folder_and_a_gallery_are_not_evaluated_at_once(tmp_path: Path) -> None:
    assert evaluate(tmp_path, "--gallery", "default").exit_code == 2
    assert evaluate().exit_code == 2
