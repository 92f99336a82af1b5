"""`rollcall evaluate --tracks` on real people."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from rollcall.cli import cli

PEOPLE = 3


def evaluate(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["evaluate", "--tracks", *map(str, arguments)])


@pytest.fixture(scope="module")
def people(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three people with five photos, and one with a single photo."""
    folder = tmp_path_factory.mktemp("people")
    *whole, last = sorted((data / "people").iterdir())[: PEOPLE + 1]
    for source in whole:
        shutil.copytree(source, folder / source.name)
    (folder / last.name).mkdir()
    shutil.copy(min(last.iterdir()), folder / last.name)
    return folder


@pytest.fixture(scope="module")
def strangers(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("strangers")
    shutil.copy(min((data / "strangers").glob("*.jpg")), folder)
    return folder


def test_every_track_is_counted_and_the_same_seed_gives_the_same_report(people: Path, strangers: Path) -> None:
    first = evaluate(people, "--strangers", strangers, "--splits", 1, "--json")
    assert first.exit_code == 0, first.output
    report = json.loads(first.stdout)
    assert (report["gallery"], report["strangers"], report["splits"]) == (PEOPLE, 2, 1)
    assert (report["fnir"]["of"], report["fpir_left_out"]["of"], report["fpir_strangers"]["of"]) == (3, 3, 2)
    assert report["fpir"]["of"] == 5
    assert report["failures"] == []
    low, high = report["fpir"]["interval"]
    assert (low, report["fpir"]["rate"]) == (pytest.approx(0), 0)
    assert 0.1 < high < 1
    assert json.loads(evaluate(people, "--strangers", strangers, "--splits", 1, "--json").stdout) == report


def test_a_person_sees_the_rates_and_each_track_that_failed(people: Path) -> None:
    shown = evaluate(people, "--splits", 1, "--distance", 0.05)
    assert "FNIR: an enrolled person is not" in shown.stdout
    assert f"{PEOPLE} of {PEOPLE}" in shown.stdout
    assert shown.stdout.count("too far; nearest") == PEOPLE


def test_one_person_is_too_few(strangers: Path) -> None:
    assert "0 people have 5 photos; at least 2 must" in str(evaluate(strangers).exception)


def test_tracks_need_a_folder_and_draw_no_picture(people: Path, tmp_path: Path) -> None:
    assert evaluate("--gallery", "default").exit_code == 2
    assert evaluate(people, "--plot", tmp_path / "p.svg").exit_code == 2
