"""The engine is changed while an edge watches: worker and edge go by the new one without being told."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from click.testing import CliRunner

from faces.engine import Engine, images
from rollcall import film
from rollcall.cli import cli
from rollcall.supervisor import Supervisor
from rollcall.up import Place, free_port, start_centre, start_edge
from tests import services


def until(condition: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if answer := condition():
            return answer
        time.sleep(0.05)
    raise AssertionError(f"{what} did not happen")


def register(place: Place, name: str, photo: bytes) -> None:
    form = {"data": {"name": name}, "files": {"image": photo}}
    answer = requests.post(f"{place.url}/register", **form, timeout=40)  # type: ignore[arg-type]
    assert answer.json()["success"], answer.text


@pytest.mark.timeout(240)
def test_an_edge_that_watches_goes_over_to_the_new_engine_and_back(data: Path, engine: Engine, tmp_path: Path) -> None:
    photo = (data / "portraits" / "biden.jpg").read_bytes()
    picture = images.load(photo)
    scene = film.Scene(picture, engine.detect(picture)[0].box, 3.0)
    film.write(tmp_path / "walk.avi", film.frames([scene, film.Scene(None, None, 0.5)]))
    with services.environment(), Supervisor(logs=tmp_path / "logs") as supervisor:
        place = Place(data=tmp_path, port=free_port(), stream_port=0)
        start_centre(supervisor, place)
        register(place, "Joe Biden", photo)
        camera = {"VIDEO_SOURCE": str(tmp_path / "walk.avi"), "VIDEO_LOOP": "loop", "COOLDOWN": "0.2"}
        start_edge(supervisor, place, camera)

        def passed(by: str, name: str = "Joe Biden") -> bool:
            newest = {"order": "newest", "limit": "3", "status": "PASS"}
            found = requests.get(f"{place.url}/v1/events", params=newest, timeout=10).json()["items"]
            return any((e["engine"], e["name"]) == (by, name) for e in found)

        def change(*how: str) -> str:
            done = CliRunner().invoke(cli, ["reencode", *how, "--url", place.url])
            assert done.exit_code == 0, done.output
            return done.output

        until(lambda: passed("sface"), "a pass by the first engine")
        assert "Galleries go by face_recognition now" in change("--engine", "face_recognition")
        until(lambda: passed("face_recognition"), "a pass by the new engine")
        (edge,) = requests.get(f"{place.url}/v1/edges", timeout=10).json()["items"]
        assert (edge["engine"], edge["galleries"][0]["lag"]) == ("face_recognition", 0)
        register(place, "Barack Obama", (data / "portraits" / "obama.jpg").read_bytes())
        assert "Galleries go by sface now" in change("--back")
        until(lambda: passed("sface"), "a pass by the first engine again")
        assert "2 encodings removed" in change("--clean-up")
        told = CliRunner().invoke(cli, ["identify", str(data / "portraits" / "obama2.jpg"), "--url", place.url])
        assert "Barack Obama" in told.output
