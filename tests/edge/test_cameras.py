from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edge.cameras import REST_S, Cameras, Lens, whose_turn
from edge.config import CameraConfig, Config
from edge.decide import Thresholds
from edge.frames import Frame
from edge.notice import Change, Notice
from edge.recognize import Policy, Recognizer
from faces.engine import Engine
from faces.errors import SettingError

Until = Callable[..., None]


class Witness:
    """A watcher that keeps what it is given; `work` stands for the looking."""

    def __init__(self) -> None:
        self.frames: Counter[str] = Counter()
        self.notices: list[tuple[str, Change]] = []
        self.gone: list[str] = []
        self.begun: list[str] = []
        self.at_once: Counter[str] = Counter()
        self.most_at_once = 0
        self.work: Callable[[str], None] = lambda camera: None
        self._counting = threading.Lock()

    def begin(self, lens: Lens) -> None:
        self.begun.append(lens.config.name)

    def look(self, lens: Lens, frame: Frame) -> None:
        name = lens.config.name
        with self._counting:
            self.at_once[name] += 1
            assert self.at_once[name] == 1, "one thread a camera"
            self.most_at_once = max(self.most_at_once, self.at_once.total())
            self.frames[name] += 1
        try:
            self.work(name)
        finally:
            with self._counting:
                self.at_once[name] -= 1

    def noticed(self, lens: Lens, notice: Notice) -> None:
        self.notices.append((lens.config.name, notice.change))

    def left(self, lens: Lens) -> None:
        self.gone.append(lens.config.name)


@pytest.fixture
def witness() -> Witness:
    return Witness()


@pytest.fixture
def film(data: Path) -> CameraConfig:
    """A camera that never ends."""
    source = str(data / "video" / "stage.mp4")
    (camera,) = Config.read({"VIDEO_SOURCE": source, "VIDEO_LOOP": "loop", "MAX_FPS": "1000"}).cameras
    return camera


@pytest.fixture
def make(engine: Engine) -> Callable[[CameraConfig, Callable[[], None]], Lens]:
    policy = Policy(0.5, 1.0, Thresholds(accept=0.45, named=0.6))
    return lambda config, offered: Lens(config, Recognizer(engine, config.name, policy, os.urandom), offered)


@pytest.fixture
def watching(witness: Witness, make: Callable[..., Lens]) -> Iterator[Callable[..., Cameras]]:
    started: list[tuple[Cameras, threading.Thread]] = []

    def watch(*configs: CameraConfig, threads: int = 1, make: Callable[..., Lens] = make) -> Cameras:
        cameras = Cameras(witness, make, threads)
        cameras.change(configs)
        thread = threading.Thread(target=cameras.run)
        thread.start()
        started.append((cameras, thread))
        return cameras

    yield watch
    for cameras, thread in started:
        cameras.stop()
        thread.join(10)
        assert not thread.is_alive()
        assert not [t for t in threading.enumerate() if t.name.startswith(("camera ", "looking "))]


def named(film: CameraConfig, *names: str) -> list[CameraConfig]:
    return [replace(film, name=name) for name in names]


def test_it_is_the_turn_of_the_camera_that_waits_longest(film: CameraConfig, make: Callable[..., Lens]) -> None:
    a, b, c = (make(config, lambda: None) for config in named(film, "a", "b", "c"))
    assert whose_turn([a, b, c], 10.0) is None, "none has anything new"
    for lens, turn in ((a, 3.0), (b, 1.0), (c, 2.0)):
        lens.turn = turn
    a.camera._notice(Change.BACK)
    assert whose_turn([a, b, c], 10.0) is a
    c.camera._notice(Change.BACK)
    assert whose_turn([a, b, c], 10.0) is c
    c.busy = True
    assert whose_turn([a, b, c], 10.0) is a
    a.rests_until = 11.0
    assert whose_turn([a, b, c], 10.0) is None
    assert whose_turn([a, b, c], 11.0) is a


def test_no_camera_starves_where_the_box_is_too_slow(
    film: CameraConfig, watching: Callable[..., Cameras], witness: Witness, until: Until
) -> None:
    names = [f"camera {n}" for n in range(6)]
    witness.work = lambda camera: time.sleep(0.02)
    cameras = watching(*named(film, *names))
    until(lambda: set(witness.frames) == set(names), 20)
    # From now on whoever is looked at, all have something new when their turn comes.
    witness.work = lambda camera: until(lambda: all(lens.camera.waiting for lens in cameras.lenses))
    begun = witness.frames.copy()
    until(lambda: witness.frames.total() - begun.total() >= 60, 20)
    looked = witness.frames - begun
    assert max(looked.values()) - min(looked.values()) <= 2
    assert witness.most_at_once == 1
    witness.work = lambda camera: time.sleep(0.02)
    # Of 6 cameras' 180 frames a second 50 can be looked at.
    until(lambda: min(lens.status(time.monotonic()).dropped for lens in cameras.lenses) >= 10, 20)


def test_several_threads_look_at_several_cameras_at_once(
    film: CameraConfig, watching: Callable[..., Cameras], witness: Witness, until: Until
) -> None:
    witness.work = lambda camera: time.sleep(0.03)
    watching(*named(film, "a", "b", "c"), threads=2)
    until(lambda: min(witness.frames[name] for name in "abc") >= 5)
    assert witness.most_at_once == 2


def test_a_fault_of_one_camera_stops_no_other(
    film: CameraConfig,
    watching: Callable[..., Cameras],
    witness: Witness,
    until: Until,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def work(camera: str) -> None:
        if camera == "bad":
            raise ValueError("a picture nobody thought of")

    witness.work = work
    began = time.monotonic()
    watching(*named(film, "bad", "good"))
    until(lambda: witness.frames["bad"] >= 3)
    assert time.monotonic() - began >= 2 * REST_S
    until(lambda: witness.frames["good"] >= 30)
    assert caplog.text.count("a frame was lost") <= 1 + (time.monotonic() - began) / REST_S


def test_no_more_frames_are_looked_at_than_a_camera_s_budget(
    film: CameraConfig, watching: Callable[..., Cameras], make: Callable[..., Lens], witness: Witness, until: Until
) -> None:
    def in_step(config: CameraConfig, offered: Callable[[], None]) -> Lens:
        """A camera that goes on once its frame has been looked at."""

        def looked() -> None:
            offered()
            until(lambda: not (lens.camera.waiting or lens.busy) or lens.camera._stopping.is_set())

        lens = make(config, looked)
        return lens

    half, whole = replace(film, name="half", max_fps=15.0), replace(film, name="whole", max_fps=30.0)
    cameras = watching(half, whole, make=in_step)
    until(lambda: min(lens.camera.captured for lens in cameras.lenses) >= 60)
    for lens, share in zip(cameras.lenses, (0.5, 1.0), strict=True):
        assert lens.looked_at == pytest.approx(lens.camera.captured * share, abs=2)
        assert lens.camera.dropped == 0, "what is not wanted is not dropped"


def test_cameras_come_and_go_while_others_go_on(
    film: CameraConfig, watching: Callable[..., Cameras], witness: Witness, until: Until
) -> None:
    a, b, c = named(film, "a", "b", "c")
    cameras = watching(a, b)
    until(lambda: witness.frames["a"] and witness.frames["b"])
    undisturbed = cameras.lenses[0]
    cameras.change([a, c])
    until(lambda: witness.gone == ["b"] and witness.frames["c"])
    stopped = witness.frames["b"]
    cameras.change([a, replace(c, scale=0.25)])
    until(lambda: witness.gone == ["b", "c"] and sorted(witness.begun) == ["a", "b", "c", "c"])
    before = witness.frames.copy()
    until(lambda: witness.frames["a"] > before["a"] and witness.frames["c"] > before["c"])
    assert cameras.lenses[0] is undisturbed
    assert witness.frames["b"] == stopped
    assert [lens.config.scale for lens in cameras.lenses] == [0.5, 0.25]


def test_a_camera_that_cannot_be_changes_nothing(
    film: CameraConfig, watching: Callable[..., Cameras], witness: Witness
) -> None:
    a, b = named(film, "a", "b")
    cameras = watching(a)
    with pytest.raises(SettingError, match="there is no file"):
        cameras.change([b, replace(a, name="c", source="none.mp4")])
    assert [lens.config for lens in cameras.lenses] == [a]
    assert witness.gone == []


def test_files_that_are_over_are_told_from_those_that_are_not(
    film: CameraConfig, data: Path, watching: Callable[..., Cameras], witness: Witness, until: Until
) -> None:
    once = Config.read({"VIDEO_SOURCE": str(data / "video" / "signer-2.mkv"), "VIDEO_PACE": "every_frame"}).cameras[0]
    cameras = watching(once, replace(film, name="loop"))
    until(lambda: witness.notices == [("camera", Change.END)])
    until(lambda: cameras.lenses[0].ended)
    assert witness.frames["camera"] == 52, "every frame of it"
    assert not cameras.ended
    cameras.change([once])
    assert cameras.ended


def test_a_camera_s_status_tells_how_it_fares(
    film: CameraConfig, watching: Callable[..., Cameras], witness: Witness, until: Until
) -> None:
    cameras = watching(replace(film, name="door"))
    until(lambda: witness.frames["door"] >= 30)
    status = cameras.lenses[0].status(time.monotonic())
    assert (status.name, status.up, status.width, status.height) == ("door", True, 640, 360)
    assert 5 < status.fps <= 32
