"""What a camera gives, and why it gives nothing."""

from __future__ import annotations

import os
import re
import socket
import ssl
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import requests

from edge.camera import Camera
from edge.config import CameraConfig, Loop
from edge.frames import Frame
from edge.outlook import coarse, differ, is_dark
from rollcall.doctor.finding import Finding, fault, good, warning

OPENS_S = 10.0
"""A camera that shows nothing in this time is not waited for."""

WATCHED_S = 4.0
LEAST_FPS = 10.0
LEAST_WIDTH, LEAST_HEIGHT = 640, 360
PAUSE_S = 0.5
"""A longer one without a picture comes from the line, or from a camera with too much to do."""

UNEVEN = 1.0
"""Where pictures come so unevenly (the 95th percentile of the gaps' deviations, in gaps), the line is."""

TIMEOUT_S = 4.0
PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}


class Seen(NamedTuple):
    """What a camera showed: its pictures' size, when they came (seconds), and how they looked."""

    size: tuple[int, int]
    moments: Sequence[float]
    dark: bool
    frozen: bool

    @property
    def fps(self) -> float:
        gaps = self.gaps
        return 1 / statistics.fmean(gaps) if gaps else 0.0

    @property
    def gaps(self) -> list[float]:
        return [after - before for before, after in zip(self.moments, self.moments[1:], strict=False)]

    @property
    def jitter_s(self) -> float:
        """The 95th percentile of how far the gaps are from the usual one."""
        usual = statistics.median(self.gaps)
        off = sorted(abs(gap - usual) for gap in self.gaps)
        return off[int(0.95 * (len(off) - 1))]


def examine(config: CameraConfig) -> Iterator[Finding]:
    """Watch a camera for some seconds; raises SettingError for a file that is not there."""
    name = f"camera {config.name}"
    camera = Camera(config.name, config.source, loop=Loop.LOOP)
    capturing = threading.Thread(target=camera.run, daemon=True)
    capturing.start()
    try:
        seen = watched(camera, OPENS_S, WATCHED_S)
    finally:
        camera.stop()
        capturing.join(OPENS_S)
    yield from judged(name, seen) if seen else [nothing(name, config.source, camera.shown)]


def watched(camera: Camera, opens_s: float, seconds: float) -> Seen | None:
    """What a camera shows; None if it shows nothing."""
    frames: list[float] = []
    first = last = None
    moves = False
    until = time.monotonic() + opens_s
    while (left := until - time.monotonic()) > 0:
        item = camera.next(left)
        if isinstance(item, Frame):
            last = coarse(item.picture)
            if first is None:
                first, until = last, time.monotonic() + seconds
            frames.append(item.moment)
            moves = moves or differ(last, first)
    if last is None or len(frames) < 3:
        return None
    return Seen(camera.size, frames, is_dark(last), not moves)


def judged(name: str, seen: Seen) -> Iterator[Finding]:
    """What is to be said of a camera that shows something."""
    width, height = seen.size
    figures = {"width": width, "height": height, "fps": round(seen.fps, 1), "jitter_s": round(seen.jitter_s, 3)}
    told = f"{width} x {height}, {seen.fps:.0f} frames a second, {1000 * seen.jitter_s:.0f} ms uneven"
    yield good(name, told, **figures)
    yield from _picture(name, seen)
    yield from _pace(name, seen)


def _picture(name: str, seen: Seen) -> Iterator[Finding]:
    width, height = seen.size
    if seen.dark:
        yield fault(name, "its picture is black", "Give it light, take off the cap, or turn it round.")
    elif seen.frozen:
        remedy = "Have somebody walk past it; if nothing moves then either, start the camera again."
        yield warning(name, f"nothing moved in its picture for {WATCHED_S:.0f} s, not even noise", remedy)
    if width < LEAST_WIDTH or height < LEAST_HEIGHT:
        told = f"its picture is small ({width} x {height})"
        yield warning(name, told, f"Choose a stream of {LEAST_WIDTH} x {LEAST_HEIGHT} or more in the camera's menu.")


def _pace(name: str, seen: Seen) -> Iterator[Finding]:
    if seen.fps < LEAST_FPS:
        told = f"it gives {seen.fps:.1f} frames a second"
        yield warning(name, told, "Raise them in its menu, or give more light: many halve them in the dark.")
    if max(seen.gaps) > PAUSE_S or seen.jitter_s * seen.fps > UNEVEN:
        told = f"pictures come unevenly: up to {max(seen.gaps):.1f} s apart"
        yield warning(name, told, "Use a cable instead of Wi-Fi, or lower the camera's bit rate.")


def nothing(name: str, source: int | str, shown: str) -> Finding:
    """Why a camera shows nothing."""
    if isinstance(source, int):
        return _device(name, Path(f"/dev/video{source}"))
    scheme, found, _ = source.partition("://")
    if not found:
        return fault(name, f"{shown} cannot be read as a film", "Play it elsewhere, or name another.")
    try:
        status = answered(source)
    except OSError as error:
        return _unreachable(name, shown, error)
    if status in (401, 403):
        told = f"{shown} refuses user and password"
        return fault(name, told, "Write them into the URL, %-encoded: rtsp://user:password@host/path.")
    if status == 404:
        return fault(name, f"{shown}: there is no such stream", "Look up the path of its URL in the camera's manual.")
    if status != 200:
        told = f"{shown} answers {status or 'nonsense'} to {scheme}"
        return fault(name, told, "Is it the camera, and is this its stream?")
    # Asked without a password, it describes its stream: what does not come is the picture.
    told = f"{shown} answers, and sends no picture that can be read"
    return fault(name, told, "Choose H.264, H.265 or motion JPEG in its menu; see whether others watch it already.")


def _device(name: str, device: Path) -> Finding:
    if not device.exists():
        cameras = ", ".join(sorted(path.name[5:] for path in device.parent.glob("video*"))) or "none"
        return fault(name, f"there is no {device}", f"Plug it in. Cameras of this machine: {cameras}.")
    if not os.access(device, os.R_OK | os.W_OK):
        return fault(name, f"{device} is not for this user", "Add the user to the group video.")
    remedy = "Does another program use it, this edge perhaps? Does it need more power?"
    return fault(name, f"{device} gives no picture", remedy)


def _unreachable(name: str, shown: str, error: OSError) -> Finding:
    if isinstance(error, socket.gaierror):
        return fault(name, f"{shown}: there is no such host", "Check the name, or write the camera's address.")
    if isinstance(error, ConnectionRefusedError):
        remedy = "Switch the stream on in the camera's menu, or correct the port."
        return fault(name, f"{shown}: nothing listens there", remedy)
    if isinstance(error, ssl.SSLError):
        return fault(name, f"{shown}: no TLS that is trusted", "Use rtsp:// or http:// on a net of your own.")
    if isinstance(error, TimeoutError | requests.Timeout):
        return fault(name, f"{shown} does not answer", "Is it on, and in this net? Check cable, power and address.")
    return fault(name, f"{shown} cannot be reached ({type(error).__name__})", "Check cable, power and address.")


def answered(source: str) -> int:
    """The status that a network camera answers with, by its user and password where HTTP takes them; raises OSError.
    0: what answers is none."""
    parts = urlsplit(source)
    if parts.scheme in ("http", "https"):
        # requests' errors are OSErrors.
        with requests.get(source, stream=True, timeout=TIMEOUT_S) as response:
            return response.status_code
    return _described(parts.scheme, parts.hostname or "", parts.port or PORTS[parts.scheme], source)


def _described(scheme: str, host: str, port: int, source: str) -> int:
    """The status of an RTSP DESCRIBE (RFC 2326, 10.2) without a password: 401 where one is wanted."""
    bare = re.sub(r"//.*@", "//", source)
    with socket.create_connection((host, port), TIMEOUT_S) as line:
        secured = ssl.create_default_context().wrap_socket(line, server_hostname=host) if scheme == "rtsps" else line
        secured.sendall(f"DESCRIBE {bare} RTSP/1.0\r\nCSeq: 1\r\nAccept: application/sdp\r\n\r\n".encode())
        found = re.match(rb"RTSP/1\.[0-9] ([0-9]{3})", secured.recv(256))
    return int(found[1]) if found else 0
