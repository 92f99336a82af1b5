"""What a machine can carry: frames a second of each stage, and how many cameras that makes."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from edge.camera import Camera
from edge.config import Pace
from edge.frames import Frame
from faces.engine import Engine
from faces.face import Box, Face
from rollcall import film
from rollcall.doctor.finding import Finding, good, warning

LOOKS, ENCODINGS = 12.0, 3.0
"""A second before a camera with people: how often it is searched for faces, and how many faces are encoded."""

FPS = 25.0
SIZES = ((640, 360), (1280, 720), (1920, 1080))
BUSY = 0.8
"""So much of a core is counted on."""

MEASURED_S = 1.0
FILM_S = 4.0
LANDMARKS = np.array([[38.3, 51.7], [73.5, 51.5], [56.0, 71.7], [41.5, 92.4], [70.7, 92.2]], np.float32)


class Stages(NamedTuple):
    """Seconds that a frame takes: to decode (Motion JPEG; H.264 takes a little less), to be searched for faces, both
    at 640 x 360 and growing with the picture, and a face to be encoded."""

    decode_s: float
    detect_s: float
    encode_s: float

    def cameras(self, width: int, height: int, cores: int) -> int:
        """How many cameras of this size, with people before all of them, this carries."""
        area = width * height / (film.WIDTH * film.HEIGHT)
        cost_s = FPS * self.decode_s * area + LOOKS * self.detect_s * area + ENCODINGS * self.encode_s
        return int(BUSY * cores / cost_s)


def judged(stages: Stages, cores: int, cameras: int) -> Iterator[Finding]:
    """What that means for so many cameras of 1280 x 720."""
    rates = {name[:-2]: 1 / seconds for name, seconds in stages._asdict().items()}
    told = ", ".join(f"{name} {rate:.0f}" for name, rate in rates.items())
    yield good("machine: stages", f"frames a second of 640 x 360, one core: {told}", **rates)
    carried = {size: stages.cameras(*size, cores) for size in SIZES}
    told = ", ".join(f"{count} of {width} x {height}" for (width, height), count in carried.items())
    told = f"with people before all of them: {told}"
    figures = {f"cameras_{width}x{height}": float(count) for (width, height), count in carried.items()}
    if cameras > carried[SIZES[0]]:
        remedy = f"There are {cameras}: lower MAX_FPS or SCALE, choose smaller streams, or take a second machine."
        yield warning("machine: cameras", told, remedy, **figures)
    else:
        yield good("machine: cameras", told, **figures)


def measured(engine: Engine, scale: float) -> Stages:
    """Measure the stages, on one thread each."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.avi"
        film.write(path, film.frames([film.Scene(None, None, FILM_S)]))
        decode_s, frame = _decoded(path)
    face = Face(Box(20, 20, 92, 112), LANDMARKS, 1.0, exact=True)
    return Stages(
        decode_s,
        _seconds(lambda: engine.detect(frame.picture, scale)),
        _seconds(lambda: engine.encode(frame.picture, [face])),
    )


def _decoded(path: Path) -> tuple[float, Frame]:
    """Seconds a frame, and one of them."""
    camera = Camera("film", str(path), Pace.EVERY_FRAME)
    capturing = threading.Thread(target=camera.run, daemon=True)
    began = time.perf_counter()
    capturing.start()
    count = 0
    while isinstance(item := camera.next(FILM_S), Frame):
        frame, count = item, count + 1
    return (time.perf_counter() - began) / count, frame


def _seconds(work: Callable[[], object]) -> float:
    """What it takes, once warm."""
    work()
    count, began = 0, time.perf_counter()
    while (took_s := time.perf_counter() - began) < MEASURED_S:
        work()
        count += 1
    return took_s / count
