"""A command works on the data folder of the process beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from rollcall.cli import cli
from rollcall.options import CENTRE, EDGE, data_in


@click.command()
@data_in(EDGE)
def shown(data: Path) -> None:
    click.echo(data)


def told(*words: str, **environment: str) -> str:
    return CliRunner().invoke(shown, words, env={"DATA_DIR": None, **environment}).output.strip()


def test_it_is_the_one_named_else_that_of_the_environment_else_of_the_file_else_the_usual_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert told() == EDGE
    (tmp_path / ".env").write_text("DATA_DIR=from-the-file\n")
    assert told() == "from-the-file"
    assert told(DATA_DIR="from-the-environment") == "from-the-environment"
    assert told("--data", "named", DATA_DIR="from-the-environment") == "named"


def test_every_command_but_the_demo_takes_it_from_the_environment() -> None:
    def options(group: click.Group, above: str = "") -> Iterator[tuple[str, click.Parameter]]:
        for name, command in group.commands.items():
            if isinstance(command, click.Group):
                yield from options(command, f"{above}{name} ")
            yield from ((above + name, parameter) for parameter in command.params if parameter.name == "data")

    assert [name for name, option in options(cli) if option.envvar != "DATA_DIR"] == ["demo"]


def test_the_command_makes_nothing_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(cli, ["keys", "list"], env={"DATA_DIR": "centre", "DATABASE_URL": ""}).exit_code == 0
    assert (tmp_path / "centre" / "rollcall.db").is_file()
    assert not (tmp_path / CENTRE).exists()
