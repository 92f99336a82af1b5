"""The cameras of one edge: which are watched, and whose turn it is to be looked at."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from edge import parts
from edge.camera import Camera
from edge.config import CameraConfig
from edge.frames import Frame
from edge.funnel import summed
from edge.metrics import CameraFigures
from edge.notice import Change, Notice
from edge.recognize import Recognizer
from faces.wire import CameraStatus

log = logging.getLogger("edge.cameras")

FPS_OVER_S = 5.0
"""What the frames a second are counted over."""

REST_S = 1.0
"""A camera whose frame could not be looked at waits so long: should all be bad, the log must not fill the disk."""

WAKE_S = 0.2
"""Nobody sleeps for longer, so that a camera that has rested is noticed."""

STILL_FPS = 12.0
"""A camera whose picture is still gives no more frames a second: enough to see at once that something moves."""

EARLY = 0.5
"""A frame may come before its time by this share of the time between two: cameras are not punctual."""


class Lens:
    """One camera as it is watched: what captures, what recognises, and how they fare. One thread at a time looks
    through it.

    `turn` is when it was last looked at, `rests_until` how long it is left alone (seconds of a clock that never
    steps). `ended`: it is a file, and that is over. `looked_at`: how many frames were.
    """

    def __init__(self, config: CameraConfig, recognizer: Recognizer, offered: Callable[[], None]) -> None:
        self.config = config
        self.recognizer = recognizer
        self.camera = Camera(config.name, config.source, config.pace, config.loop, offered)
        self.turn = self.rests_until = -math.inf
        self.busy = self.leaving = self.ended = False
        self.looked_at = 0
        self._interval_s = 1 / config.max_fps
        self._looked: deque[float] = deque(maxlen=math.ceil(config.max_fps * FPS_OVER_S) + 1)

    def ready(self, now: float) -> bool:
        """Whether there is something to do for whoever is free."""
        return not self.busy and (self.leaving or (self.camera.waiting and now >= self.rests_until))

    def took(self, frame: Frame, now: float) -> None:
        """Note that a frame is looked at."""
        self.looked_at += 1
        self._looked.append(now)
        self._want(frame, self._interval_s)

    def looked(self, frame: Frame) -> None:
        """It has been."""
        if self.recognizer.still:
            self._want(frame, max(self._interval_s, 1 / STILL_FPS) - self._interval_s)

    def _want(self, frame: Frame, after_s: float) -> None:
        usual = self.camera.wanted_from + after_s
        self.camera.wanted_from = max(usual, frame.moment + EARLY * after_s)

    def status(self, now: float) -> CameraStatus:
        """How the camera fares, for the control plane."""
        since = now - FPS_OVER_S
        fps = sum(looked > since for looked in list(self._looked)) / FPS_OVER_S
        width, height = self.camera.size
        return CameraStatus(
            name=self.config.name,
            up=self.camera.up,
            fps=fps,
            width=width,
            height=height,
            dropped=self.camera.dropped,
            funnel=summed(self.recognizer.funnel),
        )

    def figures(self, now: float) -> CameraFigures:
        """The same, and what has been counted, for whoever keeps figures."""
        camera = self.camera
        return CameraFigures(
            self.status(now), camera.captured, self.looked_at, camera.losses, camera.decoding_s, camera.view
        )


class Watcher(Protocol):
    """What is done with what cameras give. Called by several threads at once, for each camera by one."""

    def begin(self, lens: Lens) -> None:
        """It is about to be watched; may wait."""

    def look(self, lens: Lens, frame: Frame) -> None: ...

    def noticed(self, lens: Lens, notice: Notice) -> None: ...

    def left(self, lens: Lens) -> None:
        """It is not watched any more."""


def whose_turn(lenses: Iterable[Lens], now: float) -> Lens | None:
    """Of the cameras that have something new, the one whose last turn is the longest ago. So none starves, however much
    the others have to show; as each keeps its newest frame only, what waits is never old."""
    return min((lens for lens in lenses if lens.ready(now)), key=lambda lens: lens.turn, default=None)


class Cameras:
    """Watches cameras by so many threads. A fault in one of them stops no other."""

    def __init__(
        self,
        watcher: Watcher,
        make: Callable[[CameraConfig, Callable[[], None]], Lens],
        threads: int,
    ) -> None:
        """`make` makes the lens of a camera, given what to call when there is something to take; it raises
        SettingError."""
        self._watcher = watcher
        self._make = make
        self._threads = threads
        self._turn = threading.Condition()
        self._stopping = threading.Event()
        self._running = False
        self._lenses: list[Lens] = []
        self._capturing: dict[str, parts.Running] = {}

    @property
    def lenses(self) -> list[Lens]:
        """Those that are watched now."""
        with self._turn:
            return [lens for lens in self._lenses if not lens.leaving]

    @property
    def ended(self) -> bool:
        """Whether all of them are files that are over."""
        return all(lens.ended for lens in self.lenses)

    def change(self, configs: Sequence[CameraConfig]) -> None:
        """Watch these cameras from now on. Those that stay as they are go on undisturbed; one that has changed begins
        anew. Raises SettingError, and changes nothing then."""
        here = self.lenses
        new = [self._make(config, self._offered) for config in configs if config not in [lens.config for lens in here]]
        for lens in here:
            if lens.config not in configs:
                self._leave(lens)
        with self._turn:
            self._lenses += new
        if self._running:
            self._capture(new)

    def run(self) -> None:
        self._running = True
        self._capture(self.lenses)
        others = [threading.Thread(target=self._work, name=f"looking {n}") for n in range(2, self._threads + 1)]
        for thread in others:
            thread.start()
        self._work()
        for thread in others:
            thread.join()
        until = time.monotonic() + parts.STOP_S
        for running in list(self._capturing.values()):
            running.thread.join(max(0.0, until - time.monotonic()))

    def stop(self) -> None:
        self._stopping.set()
        for running in list(self._capturing.values()):
            running.part.stop()
        with self._turn:
            self._turn.notify_all()

    def _capture(self, lenses: Iterable[Lens]) -> None:
        for lens in lenses:
            name = lens.config.name
            before = self._capturing.get(name)
            capture = _Capture(lens, self._watcher, before.thread if before else None)
            self._capturing[name] = parts.start(f"camera {name}", capture, self._stopping)
            if self._stopping.is_set():
                capture.stop()

    def _offered(self) -> None:
        with self._turn:
            self._turn.notify()

    def _leave(self, lens: Lens) -> None:
        log.info("camera %s is no longer watched", lens.config.name)
        lens.camera.stop()
        with self._turn:
            lens.leaving = True
            self._turn.notify()

    def _work(self) -> None:
        while (lens := self._next()) is not None:
            try:
                self._serve(lens)
            except Exception:
                log.exception("camera %s: a frame was lost", lens.config.name)
                lens.rests_until = time.monotonic() + REST_S
            finally:
                with self._turn:
                    lens.busy = False
                    self._turn.notify()

    def _next(self) -> Lens | None:
        """Wait for a camera that has something new, and take charge of it; None when told to stop."""
        with self._turn:
            while not self._stopping.is_set():
                now = time.monotonic()
                if lens := whose_turn(self._lenses, now):
                    lens.busy, lens.turn = True, now
                    return lens
                self._turn.wait(WAKE_S)
        return None

    def _serve(self, lens: Lens) -> None:
        if lens.leaving:
            with self._turn:
                self._lenses.remove(lens)
            return self._watcher.left(lens)
        item = lens.camera.next(0)
        if isinstance(item, Frame):
            lens.took(item, time.monotonic())
            self._watcher.look(lens, item)
            lens.looked(item)
        elif item:
            self._watcher.noticed(lens, item)
            lens.ended = item.change is Change.END


class _Capture:
    """A lens's camera as a part; it waits for the one that bore its name before, which may hold the device."""

    def __init__(self, lens: Lens, watcher: Watcher, before: threading.Thread | None) -> None:
        self._lens = lens
        self._watcher = watcher
        self._before = before

    def run(self) -> None:
        if self._before:
            self._before.join(parts.STOP_S)
        log.info("camera %s: %s", self._lens.config.name, self._lens.camera.shown)
        self._watcher.begin(self._lens)
        self._lens.camera.run()

    def stop(self) -> None:
        self._lens.camera.stop()
