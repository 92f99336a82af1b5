from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edge.health import HUNG, Health, Tally
from edge.notify import NOBODY, Notifier
from edge.watchdog import Watchdog

ROOT = Path(__file__).parents[2]


class Told(Notifier):
    def __init__(self) -> None:
        super().__init__({}, 0)
        self.signs = 0

    def alive(self) -> None:
        self.signs += 1


def test_as_long_as_nothing_hangs_systemd_gets_its_sign(tmp_path: Path) -> None:
    told, ended = Told(), list[int]()
    health = Health(Watchdog(), told, Tally(tmp_path / "hangs"), lambda: [], ended.append)
    health.tick()
    assert (told.signs, ended) == (1, [])


def test_a_hang_is_logged_and_counted_and_ends_the_process(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clock, told, ended = [0.0], Told(), list[int]()
    watchdog = Watchdog(lambda: clock[0])
    health = Health(watchdog, told, Tally(tmp_path / "hangs"), lambda: [], ended.append)
    with watchdog.working("camera door", 60):
        clock[0] = 61
        health.tick()
    assert ended == [HUNG]
    assert told.signs == 0
    assert "camera door has worked at one thing for 61 s" in caplog.text
    assert Tally(tmp_path / "hangs").count == 1


def test_a_thread_that_ended_unasked_ends_the_process(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ended = list[int]()
    Health(Watchdog(), NOBODY, Tally(tmp_path / "hangs"), lambda: ["sync"], ended.append).tick()
    assert ended == [HUNG]
    assert "sync has ended unasked" in caplog.text


def test_a_tally_that_cannot_be_read_begins_anew(tmp_path: Path) -> None:
    (tmp_path / "hangs").write_text("many")
    tally = Tally(tmp_path / "hangs")
    tally.add()
    tally.add()
    assert Tally(tmp_path / "hangs").count == 2


HANGING = """
import logging, sys, threading
from pathlib import Path
from edge import __main__ as root
from edge.config import Config
from faces import engine

class Hangs:
    name, model, th_accept = "sface", "sface", 0.45
    def detect(self, picture, scale=1.0):
        threading.Event().wait()

logging.basicConfig(stream=sys.stdout)
root.LOOK_S, root.FIRST_SYNC_S = 0.5, 0.0
root.Edge(Config.read({"VIDEO_SOURCE": sys.argv[1], "DATA_DIR": sys.argv[2], "EDGE_CONFIG": "/dev/null",
                       "CONTROL_PLANE_URL": "http://127.0.0.1:1"}), Hangs()).run()
"""


def test_an_edge_whose_engine_hangs_ends(data: Path, tmp_path: Path) -> None:
    film = str(data / "video" / "stage.mp4")
    hung = subprocess.run(
        [sys.executable, "-c", HANGING, film, str(tmp_path / "edge")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert hung.returncode == HUNG, hung.stdout + hung.stderr
    assert "CRITICAL:edge.health:camera camera has worked at one thing" in hung.stdout
    assert (tmp_path / "edge" / "hangs").read_text() == "1\n"
