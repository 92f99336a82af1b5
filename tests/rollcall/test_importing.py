"""The import command against the running product, and its progress on the stream."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from click.testing import CliRunner
from rich.console import Console
from websockets.sync.client import connect

from rollcall import importing
from rollcall.cli import cli
from rollcall.supervisor import Supervisor
from rollcall.up import Place, free_port, start_centre
from tests import services


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("importing")
    with services.environment(), Supervisor(logs=folder / "logs") as supervisor:
        place = Place(data=folder, port=free_port(), stream_port=0)
        start_centre(supervisor, place)
        yield place


@pytest.fixture
def archive(data: Path, tmp_path: Path) -> Path:
    path = tmp_path / "faces.zip"
    with zipfile.ZipFile(path, "w") as made:
        made.write(data / "portraits" / "biden.jpg", "Joe.jpg")
        made.write(data / "portraits" / "obama.jpg", "Barack.jpg")
        made.write(data / "portraits" / "two_people.jpg", "[red]pair.jpg")
        made.writestr("\x1b[2J.jpg", "hello")
        made.writestr("notes.txt", "hello")
    return path


def said(archive: Path, place: Place, **how: bool) -> str:
    console = Console(file=io.StringIO(), width=120)
    importing.run(archive, place.url, console, **how)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


def told(socket: Any) -> list[dict[str, Any]]:
    """The import's messages, up to the one that says it has ended."""
    found: list[dict[str, Any]] = []
    while not found or found[-1]["state"] in importing.ACTIVE:
        message = json.loads(socket.recv(timeout=20))
        if message["type"] == "import":
            found.append(message)
    return found


def test_an_archive_is_rehearsed_and_then_imported_and_its_progress_is_on_the_stream(
    place: Place, archive: Path
) -> None:
    assert "2 photos would be enrolled, 0 were already, 2 would be refused. 1 other files" in said(
        archive, place, dry_run=True
    )
    with connect(f"ws://127.0.0.1:{place.port}/ws/face-stream", subprotocols=["rollcall.v1"]) as socket:  # type: ignore[list-item]
        socket.send(json.dumps({"type": "imports"}))
        text = said(archive, place)
        messages = told(socket)
    assert "2 photos enrolled, 0 were already, 2 refused." in text
    assert "several_faces" in text
    assert "[red]" in text
    assert "\x1b[2J" not in text
    last = messages[-1]
    assert (last["state"], last["accepted"], last["refused"], last["pending"]) == ("done", 2, 2, 0)
    assert "0 photos enrolled, 2 were already" in said(archive, place)


def test_what_is_no_archive_is_an_error_with_a_remedy(place: Place, tmp_path: Path) -> None:
    path = tmp_path / "broken.zip"
    path.write_bytes(b"no archive")
    with pytest.raises(importing.ImportFailed, match="no ZIP archive"):
        said(path, place)


def test_a_product_that_does_not_run_is_named(archive: Path) -> None:
    with pytest.raises(importing.ImportFailed, match="does not answer") as failed:
        importing.run(archive, f"http://127.0.0.1:{free_port()}", Console(file=io.StringIO()))
    assert "rollcall up" in failed.value.remedy


def test_the_command_tells_archives_by_their_name(archive: Path, place: Place) -> None:
    done = CliRunner().invoke(cli, ["import", str(archive), "--url", place.url, "--dry-run"])
    assert done.exit_code == 0, done.output
    assert "were already" in done.output


def test_who_is_on_a_photo_is_told_on_the_command_line(place: Place, data: Path) -> None:
    photo = str(data / "portraits" / "obama.jpg")
    with (data / "portraits" / "obama2.jpg").open("rb") as file:
        form = {"name": "Mr. President", "force": "true"}
        requests.post(f"{place.url}/register", data=form, files={"image": file}, timeout=40).raise_for_status()
    told = CliRunner().invoke(cli, ["identify", photo, "--url", place.url])
    assert told.exit_code == 0, told.output
    assert "PASS" in told.output
    refused = CliRunner().invoke(cli, ["identify", __file__, "--url", place.url])
    assert refused.exit_code != 0
