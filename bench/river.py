"""How quickly the all-in-one answers and reacts: enrolment, recognition of the newly enrolled, erasure.

`python -m bench.river --json` needs no baseline: its figures are promises in seconds, on the machine it names.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import requests

from bench.machine import describe
from faces import engine as engines
from faces.engine import images
from rollcall import film
from rollcall.feed import events
from rollcall.supervisor import Supervisor
from rollcall.up import Place, free_port, start_centre, start_edge

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
PHOTOS = 50
ROUNDS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = {**describe(), "photos": PHOTOS, "rounds": ROUNDS, **measure(Path(folder))}
    print(json.dumps(figures, indent=2) if arguments.json else "\n".join(f"{k}: {v}" for k, v in figures.items()))


def measure(folder: Path) -> dict[str, Any]:
    with Supervisor(logs=folder / "logs") as supervisor:
        place = Place(data=folder, port=free_port(), stream_port=0)
        start_centre(supervisor, place)
        photo = (DATA / "portraits" / "biden.jpg").read_bytes()
        start_camera(supervisor, place, photo, folder / "walk.avi", cooldown_s=0.1)
        answered = [register(place, path.stem, path.read_bytes()) for path in _photos(PHOTOS)]
        recognised, forgotten = zip(*(_round(place, photo) for _ in range(ROUNDS)), strict=True)
    return {
        "register_p50_s": round(float(np.percentile(answered, 50)), 4),
        "register_p95_s": round(float(np.percentile(answered, 95)), 4),
        "enrolled_to_pass_max_s": round(max(recognised), 3),
        "erased_to_last_pass_max_s": round(max(forgotten), 3),
    }


def register(place: Place, name: str, photo: bytes) -> float:
    """Seconds until `POST /register` answered."""
    began = time.perf_counter()
    answer = requests.post(f"{place.url}/register", data={"name": name}, files={"image": ("p.jpg", photo)}, timeout=60)
    took = time.perf_counter() - began
    if answer.status_code not in (200, 422):
        raise RuntimeError(answer.text)
    return took


def _round(place: Place, photo: bytes) -> tuple[float, float]:
    """Seconds from the answer of an enrolment to the person's first PASS, and of an erasure to their last."""
    register(place, "Joe Biden", photo)
    enrolled = time.time()
    stream = _passes(place)
    first = next(moment for moment in stream if moment is not None)
    requests.post(f"{place.url}/unregister", data={"name": "Joe Biden"}, timeout=30).raise_for_status()
    erased, last = time.time(), 0.0
    while time.time() < erased + 4:
        last = next(stream) or last
    return first - enrolled, max(0.0, last - erased)


def _passes(place: Place) -> Iterator[float | None]:
    """When each PASS from now on arrived here; None in between."""
    newest = requests.get(f"{place.url}/v1/events", params={"order": "newest", "limit": "1"}, timeout=10).json()[
        "items"
    ]
    for event in events(place.url, after=newest[0]["position"] if newest else 0, every_s=0.05):
        passed = event is not None and event["status"] == "PASS"
        yield time.time() if passed else None


def start_camera(supervisor: Supervisor, place: Place, photo: bytes, path: Path, *, cooldown_s: float) -> None:
    """Have an edge watch the face of a photo, without end."""
    picture = images.load(photo)
    scene = film.Scene(picture, engines.load().detect(picture)[0].box, 30.0)
    film.write(path, film.frames([scene]))
    start_edge(supervisor, place, {"VIDEO_SOURCE": str(path), "VIDEO_LOOP": "loop", "COOLDOWN": str(cooldown_s)})


def _photos(count: int) -> list[Path]:
    return [sorted(person.iterdir())[0] for person in sorted((DATA / "people").iterdir())[:count]]


if __name__ == "__main__":
    main()
