"""Cameras: a thread that captures, and frames taken from it. Here and in `source` alone the edge knows OpenCV."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from edge.backlog import Backlog
from edge.config import Loop, Pace
from edge.frames import Frame
from edge.notice import Change, Notice
from edge.outlook import Outlook, View
from edge.repeat import Backoff
from edge.source import STALL_S, is_file, opened, redact
from faces.errors import SettingError

log = logging.getLogger("edge.camera")

STEADY_S = 10.0
"""A camera that comes back and is lost again sooner is opened again with growing waits, as one that does not."""

OPEN_S = 3.0
"""A network camera that is not open after so long is tried again, with twice the patience."""

MOST_OPEN_S = 12.0
"""The most patience: for cameras behind a slow line."""

HUNG_S = 20.0
"""OpenCV's own time-outs are over by then, a USB camera's 10 s too: a call that takes longer may never return."""

MOST_HUNG = 3
"""So many calls that do not return are left behind; then one is waited for before the camera is opened again."""

USUAL_FPS = 25.0
"""For cameras and files that do not tell."""


class _Attempt:
    """One opening of the camera, and what was read then."""

    def __init__(self) -> None:
        self.began = self.active = time.monotonic()
        self.played = False
        self.outlook = Outlook()
        self.over = threading.Event()

    def hangs(self) -> bool:
        return not self.over.is_set() and time.monotonic() - self.active > HUNG_S


class _Grabbed(NamedTuple):
    """A frame's number and times."""

    number: int
    at: datetime
    moment: float


class _Captured(NamedTuple):
    """A frame as OpenCV gave it: BGR."""

    number: int
    at: datetime
    moment: float
    bgr: npt.NDArray[np.uint8]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.bgr.shape[1], self.bgr.shape[0]


class Camera:
    """One camera. `run` captures until `stop`; `next` gives what comes, from another thread.

    A camera, and a file at the pace of one, keeps only its newest frame: whoever is slow misses frames, and never gets
    an old one. A file of which every frame is wanted waits for whoever takes them.

    `offered` is called whenever there is something to take; it must neither wait nor take it. `dropped` counts frames
    that were wanted and gave way to newer ones, `captured` all that came, `losses` how often the camera was lost, and
    `decoding_s` the processor's time that capturing took. Whoever takes the frames may say since when they want another
    one: `wanted_from`, by the frames' clock.
    """

    def __init__(
        self,
        name: str,
        source: int | str,
        pace: Pace = Pace.REALTIME,
        loop: Loop = Loop.ONCE,
        offered: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = name
        self.dropped = self.captured = self.losses = 0
        self.decoding_s = 0.0
        self.wanted_from = -math.inf
        self._offered = offered
        self.shown = redact(source)
        self.is_file = is_file(source)
        self.up = False
        self.size = (0, 0)
        self._source = source
        self._loop = loop
        self._realtime = pace is Pace.REALTIME
        self._backoff = Backoff(0.25, 1.5)
        self._patience_s = OPEN_S
        self._stopping = threading.Event()
        self._changed = threading.Condition()
        self._pending: deque[_Captured | Notice] = deque()
        self._lost = False
        self._number = 0
        self._attempt = _Attempt()
        self._hung: list[_Attempt] = []
        self._began = (datetime.now(UTC), time.monotonic())
        if self.is_file and not Path(str(source)).is_file():
            raise SettingError(f"VIDEO_SOURCE: there is no file {self.shown}", remedy="Name a camera, a URL or a file.")

    @property
    def view(self) -> View:
        """How its picture is; of a lost one nothing is said."""
        return self._attempt.outlook.view

    def run(self) -> None:
        self._began = (datetime.now(UTC), time.monotonic())
        if self.is_file:
            self._play_file()
        while not self.is_file and not self._stopping.is_set():
            reason = self._watched()
            if not self._stopping.is_set():
                self._lose(reason)
                self._stopping.wait(self._backoff.wait_s())

    def _play_file(self) -> None:
        while not self._stopping.is_set():
            attempt = self._attempt = _Attempt()
            self._play(attempt)
            if not (attempt.played and self._loop is Loop.LOOP):
                self.up = False
                if not attempt.played:
                    self._lose("the file cannot be read")
                return self._notice(Change.END)

    def _watched(self) -> str:
        """Open the camera and read from it, on a thread that is left behind should it hang; tells why it ended."""
        self._hung = [attempt for attempt in self._hung if not attempt.over.is_set()]
        if len(self._hung) == MOST_HUNG:
            return "it hangs"
        attempt = self._attempt = _Attempt()
        threading.Thread(target=self._play, args=(attempt,), name=f"camera {self.name}", daemon=True).start()
        while not attempt.over.wait(0.5):
            if attempt.hangs():
                self._hung.append(attempt)
                return "it hangs"
        if attempt.active - attempt.began >= STEADY_S:
            self._backoff.reset()
        if attempt.played:
            return "it sends nothing" if time.monotonic() - attempt.active >= STALL_S else "it stopped"
        if time.monotonic() - attempt.began >= self._patience_s:
            self._patience_s = min(2 * self._patience_s, MOST_OPEN_S)
        return "it cannot be opened"

    def stop(self) -> None:
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()

    @property
    def waiting(self) -> bool:
        """Whether there is something to take."""
        return bool(self._pending)

    def next(self, timeout_s: float) -> Frame | Notice | None:
        """What came next; None if nothing did within `timeout_s`."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._pending, timeout_s):
                return None
            item = self._pending.popleft()
            self._changed.notify_all()
        if isinstance(item, Notice):
            return item
        return Frame(self.name, item.number, item.at, item.moment, cv2.cvtColor(item.bgr, cv2.COLOR_BGR2RGB))

    def _open(self) -> cv2.VideoCapture:
        return opened(self._source, self._patience_s)

    def _play(self, attempt: _Attempt) -> None:
        """Offer frames until there are no more, or nobody waits for those of this attempt."""
        try:
            # A picture that OpenCV fails at, by what garbage says of its size, is the end of the stream.
            with suppress(cv2.error):
                capture = self._open()
                self._read(capture, attempt)
                capture.release()
        finally:
            attempt.over.set()

    def _read(self, capture: cv2.VideoCapture, attempt: _Attempt) -> None:
        fps = capture.get(cv2.CAP_PROP_FPS)
        interval = 1 / (fps if 1 <= fps <= 1000 else USUAL_FPS)
        backlog = Backlog(interval)
        spent = time.thread_time()
        while not self._stopping.is_set() and self._attempt is attempt and capture.grab():
            attempt.active = time.monotonic()
            self.captured += 1
            before, spent = spent, time.thread_time()
            self.decoding_s += spent - before
            if not self.is_file and backlog.old(attempt.active):
                continue
            grabbed = self._grabbed(interval)
            # To turn a frame into a picture takes as long as to decode it: not for one that nobody wants.
            if self._unwanted(grabbed):
                continue
            there, bgr = capture.retrieve()
            if there:
                self._offer(_Captured(*grabbed, bgr), attempt)

    def _grabbed(self, interval: float) -> _Grabbed:
        """The next frame's number and times: those of a file are its own, from when it began on, and waited for."""
        number, self._number = self._number, self._number + 1
        if not self.is_file:
            return _Grabbed(number, datetime.now(UTC), time.monotonic())
        began_at, began = self._began
        moment = began + number * interval
        if self._realtime:
            self._stopping.wait(max(0.0, moment - time.monotonic()))
        return _Grabbed(number, began_at + timedelta(seconds=number * interval), moment)

    def _unwanted(self, grabbed: _Grabbed) -> bool:
        return (self._realtime or not self.is_file) and grabbed.moment < self.wanted_from

    def _offer(self, captured: _Captured, attempt: _Attempt) -> None:
        with self._changed:
            if self._attempt is not attempt:
                return
            if not attempt.played:
                attempt.played = True
                self._found(captured)
            self.size = captured.size
            if not self.is_file and not self._shows(captured, attempt.outlook):
                return
            if self.is_file and not self._realtime:
                self._changed.wait_for(lambda: not self._pending or self._stopping.is_set())
            elif self._pending and isinstance(self._pending[-1], _Captured):
                self._pending.pop()
                self.dropped += 1
            self._pending.append(captured)
            self._changed.notify_all()
        self._offered()

    def _shows(self, captured: _Captured, outlook: Outlook) -> bool:
        """Whether the picture is to be looked at: one that is frozen is the same old picture again."""
        if outlook.changed(captured.bgr, captured.moment):
            log.info("camera %s: its picture is %s", self.name, outlook.view)
            self._notice(Change(outlook.view))
        return outlook.view is not View.FROZEN

    def _found(self, captured: _Captured) -> None:
        self.up = True
        self._patience_s = OPEN_S
        log.info("camera %s: %s is %d x %d", self.name, self.shown, *captured.size)
        if self._lost:
            self._lost = False
            self._notice(Change.BACK)

    def _lose(self, reason: str) -> None:
        """Say once that the camera is lost, and drop the frame that nobody took: it is old now."""
        with self._changed:
            self._attempt = _Attempt()
            self.up = False
            self._pending = deque(item for item in self._pending if isinstance(item, Notice))
        if not self._lost:
            self._lost = True
            self.losses += 1
            log.warning("camera %s: %s is lost: %s", self.name, self.shown, reason)
            self._notice(Change.LOST, reason)

    def _notice(self, change: Change, reason: str = "") -> None:
        with self._changed:
            self._pending.append(Notice(change, datetime.now(UTC), reason))
            self._changed.notify_all()
        self._offered()
