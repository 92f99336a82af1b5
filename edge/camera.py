"""Cameras: a thread that captures, and frames taken from it. The only part of the edge that knows OpenCV's capture."""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections import deque
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from edge.config import Loop, Pace
from edge.frames import Frame
from edge.repeat import Backoff
from faces.errors import SettingError

log = logging.getLogger("edge.camera")

# What OpenCV and FFmpeg say may hold a camera's URL, and with it a password. -8 is FFmpeg's "quiet"; OpenCV reads it
# when it first opens a film.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

TIMEOUT_MS = 5000
"""A network camera that neither answers nor sends for so long is lost."""

USUAL_FPS = 25.0
"""For files that do not tell."""


class Change(StrEnum):
    """What may happen to a camera."""

    LOST = "lost"
    BACK = "back"
    END = "end"


class Notice(NamedTuple):
    """That it happened."""

    change: Change
    at: datetime
    reason: str = ""


class _Captured(NamedTuple):
    """A frame as OpenCV gave it: BGR."""

    number: int
    at: datetime
    moment: float
    bgr: npt.NDArray[np.uint8]


def redact(source: int | str) -> str:
    """A source as it may be shown: without user and password, and without a URL's query, which may hold them too."""
    text = str(source)
    scheme, found, rest = text.partition("://")
    if not found:
        return _behind_password(text)
    return f"{scheme}://{re.split('[?#]', _behind_password(rest), maxsplit=1)[0]}"


def _behind_password(text: str) -> str:
    return text.rpartition("@")[2]


class Camera:
    """One camera. `run` captures until `stop`; `next` gives what comes, from another thread.

    A camera, and a file at the pace of one, keeps only its newest frame: whoever is slow misses frames, and never gets
    an old one. A file of which every frame is wanted waits for whoever takes them.
    """

    def __init__(self, name: str, source: int | str, pace: Pace = Pace.REALTIME, loop: Loop = Loop.ONCE) -> None:
        self.name = name
        self.shown = redact(source)
        self.is_file = isinstance(source, str) and "://" not in source
        self.up = False
        self.size = (0, 0)
        self._source = source
        self._loop = loop
        self._realtime = pace is Pace.REALTIME
        self._backoff = Backoff(0.25, 2.0)
        self._stopping = threading.Event()
        self._changed = threading.Condition()
        self._pending: deque[_Captured | Notice] = deque()
        self._lost = False
        self._number = 0
        self._began = (datetime.now(UTC), time.monotonic())
        if self.is_file and not Path(str(source)).is_file():
            raise SettingError(f"VIDEO_SOURCE: there is no file {self.shown}", remedy="Name a camera, a URL or a file.")

    def run(self) -> None:
        self._began = (datetime.now(UTC), time.monotonic())
        while not self._stopping.is_set():
            capture = self._open()
            played = self._play(capture)
            capture.release()
            if self.is_file and not (played and self._loop is Loop.LOOP):
                if not played:
                    self._lose("the file cannot be read")
                self._notice(Change.END)
                return
            if not self.is_file and not self._stopping.is_set():
                self._lose("it stopped" if played else "it cannot be opened")
                self._stopping.wait(self._backoff.wait_s())

    def stop(self) -> None:
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()

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
        if isinstance(self._source, int):
            capture = cv2.VideoCapture(self._source)
        elif self.is_file:
            # Absolute, so that FFmpeg takes no part of the name for a protocol or an option.
            capture = cv2.VideoCapture(str(Path(str(self._source)).resolve()), cv2.CAP_FFMPEG)
        else:
            limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, TIMEOUT_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, TIMEOUT_MS]
            capture = cv2.VideoCapture(self._source, cv2.CAP_FFMPEG, limits)
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        return capture

    def _play(self, capture: cv2.VideoCapture) -> bool:
        """Offer frames until there are no more; tells whether there was one."""
        fps = capture.get(cv2.CAP_PROP_FPS)
        interval = 1 / (fps if 1 <= fps <= 1000 else USUAL_FPS)
        played = False
        while not self._stopping.is_set():
            there, bgr = capture.read()
            if not there:
                break
            if not played:
                self._found(bgr)
            played = True
            self._offer(self._captured(bgr, interval))
        self.up = False
        return played

    def _captured(self, bgr: npt.NDArray[np.uint8], interval: float) -> _Captured:
        """The frame with its times: those of a file are its own, from when it began on."""
        number, self._number = self._number, self._number + 1
        if not self.is_file:
            return _Captured(number, datetime.now(UTC), time.monotonic(), bgr)
        began_at, began = self._began
        moment = began + number * interval
        if self._realtime:
            self._stopping.wait(max(0.0, moment - time.monotonic()))
        return _Captured(number, began_at + timedelta(seconds=number * interval), moment, bgr)

    def _offer(self, captured: _Captured) -> None:
        with self._changed:
            if self.is_file and not self._realtime:
                self._changed.wait_for(lambda: not self._pending or self._stopping.is_set())
            elif self._pending and isinstance(self._pending[-1], _Captured):
                self._pending.pop()
            self._pending.append(captured)
            self._changed.notify_all()

    def _found(self, bgr: npt.NDArray[np.uint8]) -> None:
        self.up = True
        self.size = (bgr.shape[1], bgr.shape[0])
        self._backoff.reset()
        log.info("camera %s: %s is %d x %d", self.name, self.shown, *self.size)
        if self._lost:
            self._lost = False
            self._notice(Change.BACK)

    def _lose(self, reason: str) -> None:
        """Say once that the camera is lost, and drop the frame that nobody took: it is old now."""
        with self._changed:
            self._pending = deque(item for item in self._pending if isinstance(item, Notice))
        if not self._lost:
            self._lost = True
            log.warning("camera %s: %s is lost: %s", self.name, self.shown, reason)
            self._notice(Change.LOST, reason)

    def _notice(self, change: Change, reason: str = "") -> None:
        with self._changed:
            self._pending.append(Notice(change, datetime.now(UTC), reason))
            self._changed.notify_all()
