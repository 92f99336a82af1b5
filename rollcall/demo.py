"""The demo: a person is enrolled from two photos and walks past a camera, and so does a stranger."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests
from rich.console import Console

from faces.engine import load
from faces.engine.images import load as load_image
from faces.errors import RollcallError
from rollcall import film, portraits
from rollcall.feed import events, line
from rollcall.supervisor import Supervisor
from rollcall.up import Place, start_centre, start_edge

PERSON = "Barack Obama"
CAMERA = "entrance"
QUIET_AFTER_S = 3.0
"""How long after the film's end the last events may take to arrive."""


class DemoFailed(RollcallError):
    """A step of the demo did not go as it must."""

    code = "demo_failed"


def run(place: Place, console: Console, *, keep: bool = False) -> None:
    """Play the demo once, or until interrupted if `keep`. Its data folder is made anew."""
    shutil.rmtree(place.data, ignore_errors=True)
    with console.status("Fetching the photos"):
        photos = portraits.fetch()
    with console.status("Composing the camera's film"):
        path = place.data / "entrance.avi"
        seconds = film.write(path, film.frames(_scenes(photos))) / film.FPS
    with Supervisor(logs=place.data / "logs") as supervisor:
        with console.status("Starting control plane and worker"):
            start_centre(supervisor, place)
        for name in ("obama.jpg", "obama2.jpg"):
            console.print(f"Enrolling [bold]{PERSON}[/] from {name}: {_register(place, name, photos[name])}")
        console.print(f"\nDashboard: [link={place.url}]{place.url}[/]  (live picture, events, people)")
        console.print(f"Camera '{CAMERA}', {seconds:.0f} s: {PERSON} (another photo), then a stranger.\n")
        start_edge(supervisor, place, _camera(path, keep), restart=keep)
        _summarise(console, list(_watch(supervisor, place, console)), place)


def _scenes(photos: dict[str, bytes]) -> list[film.Scene]:
    engine = load()
    scenes = [film.Scene(None, None, 1.0)]
    for name, seconds in (("obama3.jpg", 6.0), ("biden.jpg", 6.0)):
        picture = load_image(photos[name])
        scenes += [film.Scene(picture, engine.detect(picture)[0].box, seconds), film.Scene(None, None, 1.0)]
    return scenes


def _camera(path: Path, keep: bool) -> dict[str, str]:
    once = {"VIDEO_LOOP": "loop"} if keep else {"VIDEO_LOOP": "once", "EXIT_AT_END": "true"}
    return {"VIDEO_SOURCE": str(path), "VIDEO_PACE": "realtime", "CAMERA": CAMERA, "COOLDOWN": "2", **once}


def _register(place: Place, filename: str, photo: bytes) -> str:
    answer = requests.post(
        f"{place.url}/register", data={"name": PERSON}, files={"image": (filename, photo)}, timeout=60
    )
    told: dict[str, Any] = answer.json()
    if not told.get("success"):
        raise DemoFailed(f"{filename} was not enrolled: {told.get('message') or told}")
    return str(told["message"])


def _watch(supervisor: Supervisor, place: Place, console: Console) -> Iterator[dict[str, Any]]:
    """Print and yield events until the camera's film is over and nothing more arrives."""
    ended_at: float | None = None
    for event in events(place.url):
        supervisor.check()
        if event is not None:
            console.print(line(event))
            yield event
        if supervisor.ended("edge"):
            ended_at = ended_at or time.monotonic()
            if time.monotonic() - ended_at > QUIET_AFTER_S:
                break


def _summarise(console: Console, seen: list[dict[str, Any]], place: Place) -> None:
    decisions = [e for e in seen if e.get("status")]
    passes = [e for e in decisions if e["status"] == "PASS" and e["name"] == PERSON]
    wrong = [e for e in decisions if e["status"] == "PASS" and e["name"] != PERSON]
    rejects = [e for e in decisions if e["status"] == "REJECT"]
    console.rule("Summary")
    if passes:
        nearest = min(e["distance"] for e in passes)
        console.print(f"{PERSON}: recognised {len(passes)} times, nearest distance {nearest:.3f} (limit 0.45).")
    console.print(f"Strangers: {len(rejects)} turned away, {len(wrong)} let in by mistake.")
    console.print(
        f"Everything it knows lies in {place.data}. Your own camera: .venv/bin/python -m rollcall up --camera 0"
    )
    if not passes or wrong or not rejects:
        raise DemoFailed("the demo did not end as it should", remedy=f"The logs are in {place.data / 'logs'}.")
