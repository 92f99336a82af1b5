from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge.config import Config
from edge.reload import LOOK_S, Reloader
from faces.errors import SettingError

Until = Callable[..., None]


class Taken(list[list[str]]):
    """The names of the cameras, at each change."""

    def take(self, config: Config) -> None:
        self.append([camera.name for camera in config.cameras])


def written(path: Path, *names: str) -> None:
    """As editors do: beside it, then in its place."""
    beside = path.with_suffix(".new")
    beside.write_text("\n".join(f'[[camera]]\nname = "{name}"\nsource = "rtsp://{name}/"' for name in names))
    beside.replace(path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    written(tmp_path / "cameras.toml", "door")
    return tmp_path / "cameras.toml"


@pytest.fixture
def taken() -> Taken:
    return Taken()


@pytest.fixture
def reloader(path: Path, taken: Taken) -> Iterator[Reloader]:
    reloader = Reloader(path, lambda: Config.read({"EDGE_CONFIG": str(path)}), taken.take)
    thread = threading.Thread(target=reloader.run)
    thread.start()
    yield reloader
    reloader.stop()
    thread.join(5)
    assert not thread.is_alive()


def test_a_changed_file_is_taken_up(reloader: Reloader, path: Path, taken: Taken, until: Until) -> None:
    written(path, "door", "gate")
    until(lambda: taken == [["door", "gate"]])
    written(path, "gate")
    until(lambda: taken == [["door", "gate"], ["gate"]])


def test_it_is_read_anew_when_asked_for(reloader: Reloader, taken: Taken, until: Until) -> None:
    reloader.ask()
    until(lambda: taken == [["door"]])


def test_a_broken_file_changes_nothing_and_is_complained_of_once(
    reloader: Reloader, path: Path, taken: Taken, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_text('[[camera]]\nname = "door"\n')
    until(lambda: "line 1: the camera has no source Each [[camera]] has both." in caplog.text)
    path.write_text("[[camera]")
    until(lambda: "It is to be TOML" in caplog.text)
    path.unlink()
    until(lambda: "is gone: the cameras stay as they are" in caplog.text)
    assert taken == []
    written(path, "gate")
    until(lambda: taken == [["gate"]])
    assert caplog.text.count("nothing is changed") == 2


def test_a_file_that_is_being_written_is_left_alone(path: Path, taken: Taken) -> None:
    reloader = Reloader(path, lambda: Config.read({"EDGE_CONFIG": str(path)}), taken.take)
    assert not reloader._changed()
    for size in (10, 20):
        path.write_text("#" * size)
        assert not reloader._changed(), "it was another a moment ago"
    assert reloader._changed()
    os.utime(path, (1, 1))
    assert not reloader._changed()
    assert LOOK_S < 1


def test_what_cannot_be_watched_is_told(path: Path, until: Until, caplog: pytest.LogCaptureFixture) -> None:
    def refuse(config: Config) -> None:
        raise SettingError("there is no such file", remedy="Name another.")

    reloader = Reloader(path, lambda: Config.read({"EDGE_CONFIG": str(path)}), refuse)
    thread = threading.Thread(target=reloader.run)
    thread.start()
    reloader.ask()
    until(lambda: "nothing is changed: there is no such file Name another." in caplog.text)
    reloader.stop()
    thread.join(5)
