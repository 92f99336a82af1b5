"""The original service's command lines, as its users have them in their scripts, against the running product."""

from __future__ import annotations

import json
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rollcall.supervisor import Supervisor
from rollcall.up import Place, free_port, start_centre
from tests import services


class Shell:
    """Runs a line in a folder with the photos, with the original's address replaced by ours."""

    def __init__(self, place: Place, folder: Path) -> None:
        self.place, self.folder = place, folder

    def __call__(self, line: str) -> tuple[int, Any]:
        line = line.replace("http://localhost:5000", f"http://localhost:{self.place.port}")
        command = line.replace("curl", "curl -s -w '\\n%{http_code}'", 1)
        done = subprocess.run(command, shell=True, cwd=self.folder, capture_output=True, text=True, check=True)
        body, _, status = done.stdout.rpartition("\n")
        return int(status), json.loads(body)


@pytest.fixture(scope="module")
def shell(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    folder = tmp_path_factory.mktemp("original")
    portraits = data / "portraits"
    shutil.copy(portraits / "obama.jpg", folder / "john.jpg")
    shutil.copy(portraits / "obama2.jpg", folder / "john2.jpg")
    (folder / "wall.jpg").write_bytes((portraits / "two_people.jpg").read_bytes())
    with zipfile.ZipFile(folder / "faces.zip", "w") as archive:
        archive.write(portraits / "biden.jpg", "katya.jpg")
        archive.write(portraits / "lin-manuel-miranda.png", "zero.png")
        archive.write(portraits / "two_people.jpg", "ema.jpg")
    with services.environment(), Supervisor(logs=folder / "logs") as supervisor:
        place = Place(data=folder / "data", port=free_port(), stream_port=0)
        start_centre(supervisor, place)
        yield Shell(place, folder)


def test_the_originals_command_lines_work_in_their_order(shell: Shell) -> None:
    register = 'curl -X POST http://localhost:5000/register   -F "name=John"   -F "image=@john.jpg"'
    assert shell(register) == (200, {"success": True, "message": "Face John registered successfully"})
    assert shell("curl http://localhost:5000/faces") == (200, ["John"])
    status, told = shell('curl -X POST http://localhost:5000/register-faces   -F "zip=@faces.zip"')
    assert (status, told["success"], told["result"]) == (200, True, {"registered": 2, "failed": ["ema.jpg"]})
    assert shell("curl http://localhost:5000/faces") == (200, ["John", "katya", "zero"])
    assert shell('curl -X POST http://localhost:5000/unregister   -F "name=John"')[1]["success"] is True
    assert shell("curl http://localhost:5000/faces") == (200, ["katya", "zero"])


def test_a_second_photo_under_the_same_name_is_the_same_person(shell: Shell) -> None:
    for photo in ("john.jpg", "john2.jpg"):
        line = f'curl -X POST http://localhost:5000/register -F "name=Twice" -F "image=@{photo}"'
        assert shell(line)[1]["success"] is True
    assert shell("curl http://localhost:5000/faces")[1].count("Twice") == 1
    assert len(shell("curl 'http://localhost:5000/v1/identities?name=Twice'")[1]["items"]) == 1


@pytest.mark.parametrize(
    ("line", "status", "error"),
    [
        ('curl -X POST http://localhost:5000/register -F "name=John"', 400, "name & image required"),
        ('curl -X POST http://localhost:5000/register -F "image=@john.jpg"', 400, "name & image required"),
        ('curl -X POST http://localhost:5000/unregister -F "nothing=1"', 400, "name required"),
        ('curl -X POST http://localhost:5000/register-faces -F "nothing=1"', 400, "zip missing"),
    ],
)
def test_what_is_missing_is_said_in_the_originals_words(shell: Shell, line: str, status: int, error: str) -> None:
    found, told = shell(line)
    assert (found, told["error"]) == (status, error)


def test_a_photo_that_is_refused_is_no_success(shell: Shell) -> None:
    status, told = shell('curl -X POST http://localhost:5000/register -F "name=Wall" -F "image=@wall.jpg"')
    assert (status, told["success"], told["reason"]) == (422, False, "several_faces")
    assert told["message"]


def test_unregistering_nobody_is_not_found(shell: Shell) -> None:
    status, told = shell('curl -X POST http://localhost:5000/unregister -F "name=Nobody"')
    assert (status, told["success"]) == (404, False)
