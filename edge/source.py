"""Where a camera's pictures come from: how that is shown, and how it is opened."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TypeGuard

import cv2

# What OpenCV and FFmpeg say may hold a camera's URL, and with it a password. -8 is FFmpeg's "quiet"; OpenCV reads it
# when it first opens a film.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
# RTSP over UDP gives broken pictures where a packet is lost. Without guessing the frames a second, which nobody needs,
# an RTSP stream is open a second sooner.
os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", "rtsp_transport;tcp|fpsprobesize;0")
# Seconds: a USB camera that sends nothing is noticed as soon as any other.
os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", "3")
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

STALL_S = 3.0
"""A network camera that sends no picture for so long is lost, although its connection stands."""

ONE_THREAD = [cv2.CAP_PROP_N_THREADS, 1]
"""Each further thread that decodes would hold back a frame, and other cameras."""


def is_file(source: int | str) -> TypeGuard[str]:
    """Whether it is a film, and no camera."""
    return isinstance(source, str) and "://" not in source


def redact(source: int | str) -> str:
    """A source as it may be shown: without user and password, and without a URL's query, which may hold them too."""
    text = str(source)
    scheme, found, rest = text.partition("://")
    if not found:
        return _behind_password(text)
    return f"{scheme}://{re.split('[?#]', _behind_password(rest), maxsplit=1)[0]}"


def _behind_password(text: str) -> str:
    return text.rpartition("@")[2]


def opened(source: int | str, patience_s: float) -> cv2.VideoCapture:
    """Open it; a network camera that is not open after so many seconds is given up."""
    if isinstance(source, int):
        capture = cv2.VideoCapture(source)
    elif is_file(source):
        # Absolute, so that FFmpeg takes no part of the name for a protocol or an option.
        capture = cv2.VideoCapture(str(Path(source).resolve()), cv2.CAP_FFMPEG, ONE_THREAD)
    else:
        limits = {
            cv2.CAP_PROP_OPEN_TIMEOUT_MSEC: round(patience_s * 1000),
            cv2.CAP_PROP_READ_TIMEOUT_MSEC: round(STALL_S * 1000),
        }
        options = [x for limit in limits.items() for x in limit]
        capture = cv2.VideoCapture(source, cv2.CAP_FFMPEG, [*options, *ONE_THREAD])
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
    return capture
