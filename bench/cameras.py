"""Whether one small machine carries eight cameras: how soon events come, what each camera gets, what an idle one costs.

`python -m bench.cameras --json`. The edge runs in this process, control plane and worker beside it. Every camera plays
the film at its own pace, each from another part of it; an idle camera decodes the film too, but shows a still scene,
with a sensor's noise: decoding a film in which nothing moves costs less.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import cycle
from pathlib import Path
from typing import Any, ClassVar, TypeAlias
from unittest.mock import patch

import cv2
import numpy as np
import numpy.typing as npt
import requests

from bench.edge import PORTRAITS
from bench.machine import describe
from bench.river import DATA, register
from edge.__main__ import Edge
from edge.camera import Camera
from edge.cameras import Lens
from edge.config import Config
from edge.frames import Sight
from edge.source import ONE_THREAD
from faces import engine as engines
from faces.engine import Engine
from rollcall.supervisor import Supervisor
from rollcall.up import Place, free_port, start_centre

Pixels: TypeAlias = npt.NDArray[np.uint8]

FILM = DATA / "video" / "stage.mp4"
FILM_S = 9.17
CAMERAS = 8
NOISE = 3.0
"""Standard deviation of the idle scene's noise, 0 to 255."""

SETTLE_S = 3.0
"""What is measured begins so long after the last camera."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--cameras", type=int, default=CAMERAS, help="how many")
    parser.add_argument("--seconds", type=float, default=3 * FILM_S, help="how long each of both is measured")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = {**describe(), **measure(Path(folder), arguments.cameras, arguments.seconds)}
    print(json.dumps(figures, indent=2) if arguments.json else "\n".join(f"{k}: {v}" for k, v in figures.items()))


def measure(folder: Path, cameras: int, seconds: float) -> dict[str, Any]:
    engine = engines.load(threads=1)
    with Supervisor(logs=folder / "logs") as supervisor:
        place = Place(data=folder, port=free_port(), stream_port=0)
        start_centre(supervisor, place)
        for file, name in PORTRAITS.items():
            register(place, name, (DATA / "portraits" / file).read_bytes())
        return {
            "cameras": cameras,
            "seconds": round(seconds, 1),
            **busy(folder / "busy", place, engine, cameras, seconds),
            **idle(folder / "idle", place, engine, seconds),
        }


def busy(folder: Path, place: Place, engine: Engine, cameras: int, seconds: float) -> dict[str, Any]:
    """Have so many cameras show different parts of the film."""
    witness = Witness()
    with watching(folder, place, engine, cameras, witness) as lenses:
        time.sleep(SETTLE_S)
        dropped = [lens.camera.dropped for lens in lenses]
        spent, began = time.process_time(), time.monotonic()
        witness.counting = True
        time.sleep(seconds)
        witness.counting = False
        took_s = time.monotonic() - began
        cores = (time.process_time() - spent) / took_s
        dropped = [lens.camera.dropped - before for lens, before in zip(lenses, dropped, strict=True)]
        time.sleep(1.0)
        arrived_ms = list(_arrived_ms(place, witness.decided))
    fps = sorted(count / took_s for count in witness.looked.values())
    return {
        "events": len(witness.took_ms),
        "capture_to_event_ms": _spread(witness.took_ms),
        "capture_to_control_plane_ms": _spread(arrived_ms),
        "processed_fps_min": round(fps[0], 2) if len(fps) == cameras else 0.0,
        "processed_fps_max": round(fps[-1], 2),
        "dropped_share": round(sum(dropped) / (sum(dropped) + witness.looked.total()), 4),
        "edge_cores": round(cores, 3),
        "named": dict(witness.named),
    }


def idle(folder: Path, place: Place, engine: Engine, seconds: float) -> dict[str, Any]:
    """Have one camera show a scene in which nothing moves, then four: what three more cost is the cameras' alone."""
    cores = {}
    pictures = scene(engine)
    for cameras in (1, 4):
        with (
            patch.object(Camera, "_open", lambda _: Still(pictures)),
            watching(folder / str(cameras), place, engine, cameras, Witness()),
        ):
            time.sleep(SETTLE_S)
            spent, decoding, began = time.process_time(), Still.spent_s, time.monotonic()
            time.sleep(seconds)
            took_s = time.monotonic() - began
            cores[cameras] = (time.process_time() - spent) / took_s
            decoding_cores = (Still.spent_s - decoding) / took_s
    return {
        "idle_camera_core_share": round((cores[4] - cores[1]) / 3, 4),
        "idle_camera_of_that_decoding": round(decoding_cores / 4, 4),
        "idle_edge_core_share": round(cores[1], 4),
    }


def scene(engine: Engine) -> list[Pixels]:
    """A scene without a face, as a camera shows it again and again: each time with other noise."""
    there, picture = cv2.VideoCapture(str(FILM)).read()
    picture = picture[::-1]
    if not there or engine.detect(picture[..., ::-1]):
        raise RuntimeError(f"{FILM} shows no scene without a face upside down")
    chance = np.random.default_rng(0)
    return [np.clip(picture + chance.normal(0, NOISE, picture.shape), 0, 255).astype(np.uint8) for _ in range(15)]


class Still:
    """The film's decoder, which does all its work and gives other pictures. `spent_s`: of the processor, by all."""

    spent_s: ClassVar[float] = 0.0

    def __init__(self, pictures: Sequence[Pixels]) -> None:
        self._film = cv2.VideoCapture(str(FILM), cv2.CAP_FFMPEG, ONE_THREAD)
        self._pictures = cycle(pictures)
        self.get, self.release = self._film.get, self._film.release

    def grab(self) -> bool:
        """Decode a frame; after the last one the first, for a camera is not opened again every few seconds."""
        began = time.thread_time()
        there = self._film.grab() or (self._film.set(cv2.CAP_PROP_POS_FRAMES, 0) and self._film.grab())
        Still.spent_s += time.thread_time() - began
        return there

    def retrieve(self) -> tuple[bool, Pixels]:
        began = time.thread_time()
        there, _ = self._film.retrieve()
        Still.spent_s += time.thread_time() - began
        return there, next(self._pictures)


@dataclass
class Witness:
    """What the edge sees, and how long after the frame that decided it an event is on the disk."""

    counting: bool = False
    looked: Counter[str] = field(default_factory=Counter)
    named: Counter[str] = field(default_factory=Counter)
    took_ms: list[float] = field(default_factory=list)
    decided: dict[str, datetime] = field(default_factory=dict)
    _taking: threading.Lock = field(default_factory=threading.Lock)

    def offer(self, sight: Sight) -> None:
        if not self.counting:
            return
        now = time.monotonic()
        with self._taking:
            self.looked[sight.frame.camera] += 1
            for event in sight.events:
                self.took_ms.append(1000 * (now - sight.frame.moment))
                self.decided[str(event.id)] = sight.frame.captured_at
                self.named[f"{event.status} {event.name}"] += 1


@contextmanager
def watching(folder: Path, place: Place, engine: Engine, cameras: int, witness: Witness) -> Iterator[list[Lens]]:
    """An edge whose cameras come one after the other, as its file names them."""
    folder.mkdir(parents=True)
    file = folder / "rollcall-edge.toml"
    settings = {"EDGE_CONFIG": str(file), "DATA_DIR": str(folder / "edge"), "CONTROL_PLANE_URL": place.url}
    file.write_text(film_cameras(1))
    edge = Edge(Config.read(settings), engine)
    edge._viewers.append(witness)
    running = threading.Thread(target=edge.run)
    running.start()
    try:
        for number in range(2, cameras + 1):
            time.sleep(FILM_S / cameras)
            file.write_text(film_cameras(number))
            edge.change(Config.read(settings))
        yield edge._cameras.lenses
    finally:
        edge.stop()
        running.join()


def film_cameras(count: int) -> str:
    """The edge's file: so many cameras that play the film again and again."""
    return "".join(f'[[camera]]\nname = "camera {n}"\nsource = "{FILM}"\nloop = "loop"\n' for n in range(1, count + 1))


def _arrived_ms(place: Place, decided: Mapping[str, datetime]) -> Iterator[float]:
    """How long after the frame that decided it each of these events was in the control plane's log."""
    for key, captured_at in decided.items():
        found = requests.get(f"{place.url}/v1/events/{key}", timeout=10).json()
        yield 1000 * (datetime.fromisoformat(found["arrived_at"]) - captured_at).total_seconds()


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {f"p{share}": round(float(np.percentile(values, share)), 1) for share in (50, 95, 100)}


if __name__ == "__main__":
    main()
