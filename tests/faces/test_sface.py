"""The default engine tells real people apart."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from faces.encoding import DIMENSIONS, Matrix, distances
from faces.engine import Engine, images
from faces.engine.sface import SFaceEngine
from faces.face import Face, Picture


def portrait(engine: Engine, path: Path) -> tuple[Picture, Face]:
    picture = images.load(path.read_bytes())
    face = engine.refine(picture, engine.detect(picture, min(1.0, 640 / max(picture.shape)))[0])
    assert face is not None
    return picture, face


@pytest.fixture(scope="module")
def people(engine: Engine, data: Path) -> Matrix:
    """Encodings of 5 photos of each of 10 people, in that order."""
    folders = sorted((data / "people").iterdir())[:10]
    rows = []
    for path in (path for folder in folders for path in sorted(folder.iterdir())):
        picture, face = portrait(engine, path)
        rows.append(engine.encode(picture, [face])[0])
    return np.stack(rows)


def test_encodings_are_128_float32_of_unit_length(people: Matrix) -> None:
    assert people.shape == (50, DIMENSIONS)
    assert people.dtype == np.float32
    assert np.abs(np.linalg.norm(people, axis=1) - 1).max() < 1e-5


def test_one_person_lies_below_the_threshold_and_others_above(engine: Engine, data: Path) -> None:
    names = ["obama.jpg", "obama2.jpg", "biden.jpg", "lin-manuel-miranda.png", "alex-lacamoire.png"]
    shots = [portrait(engine, data / "portraits" / name) for name in names]
    encodings = np.concatenate([engine.encode(picture, [face], mirror=True) for picture, face in shots])
    between = distances(engine.model, encodings, encodings)
    same = between[0, 1]
    others = between[np.triu_indices(5, 1)][1:]
    assert same < engine.th_accept < others.min()
    assert others.min() > 0.6


def test_no_two_people_of_ten_are_taken_for_one_another(engine: Engine, people: Matrix) -> None:
    between = distances(engine.model, people, people)
    who = np.repeat(np.arange(10), 5)
    same = (who[:, None] == who[None]) & ~np.eye(50, dtype=bool)
    assert between[who[:, None] != who[None]].min() > engine.th_accept
    assert (between[same] <= engine.th_accept).mean() > 0.8


def test_averaging_with_the_mirror_image_brings_photos_of_one_person_nearer(
    engine: Engine, data: Path, people: Matrix
) -> None:
    mirrored = []
    for folder in sorted((data / "people").iterdir())[:10]:
        picture, face = portrait(engine, min(folder.iterdir()))
        mirrored.append(engine.encode(picture, [face], mirror=True)[0])
    means = [
        np.mean([distances(engine.model, firsts[i : i + 1], people[5 * i + 1 : 5 * i + 5]) for i in range(10)])
        for firsts in (np.stack(mirrored), people[::5])
    ]
    assert means[0] < means[1]
    assert np.abs(np.linalg.norm(mirrored, axis=1) - 1).max() < 1e-5


def test_several_faces_are_encoded_in_the_order_given(engine: Engine, data: Path) -> None:
    picture = images.load((data / "portraits" / "two_people.jpg").read_bytes())
    faces = engine.detect(picture)
    both = engine.encode(picture, faces)
    assert both.shape == (2, DIMENSIONS)
    assert np.array_equal(both[1], engine.encode(picture, faces[1:])[0])
    assert engine.encode(picture, []).shape == (0, DIMENSIONS)


def test_a_blurred_face_is_less_sharp(engine: Engine, data: Path) -> None:
    picture, face = portrait(engine, data / "people" / "Bill_Clinton" / "Bill_Clinton_0001.jpg")
    soft = images.resized(images.resized(picture, 40, 40), 250, 250)
    assert engine.sharpness(soft, face) < 0.4 < engine.sharpness(picture, face) <= 1


def test_threads_share_one_engine_and_get_the_same_encodings(engine: Engine, data: Path) -> None:
    picture, face = portrait(engine, data / "portraits" / "obama.jpg")
    alone = engine.encode(picture, [face])
    with ThreadPoolExecutor(4) as pool:
        shared = list(pool.map(lambda _: engine.encode(picture, [face]), range(16)))
    assert all(np.array_equal(alone, other) for other in shared)


def test_other_threads_run_while_a_face_is_encoded(
    engine: SFaceEngine, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that holds the GIL throughout its 8 ms would let the ticking thread tick once, at its end."""
    picture, face = portrait(engine, data / "portraits" / "obama.jpg")
    stop, ticks, run = threading.Event(), 0, engine._encoder.run
    during: list[int] = []

    def tick() -> None:
        nonlocal ticks
        while not stop.wait(0.0005):
            ticks += 1

    def counted(*asked: Any) -> Any:
        before = ticks
        found = run(*asked)
        during.append(ticks - before)
        return found

    monkeypatch.setattr(engine._encoder, "run", counted)
    thread = threading.Thread(target=tick)
    thread.start()
    until = time.monotonic() + 60
    while np.median(during or [0]) <= 1 and time.monotonic() < until:
        during.clear()
        for _ in range(20):
            engine.encode(picture, [face])
    stop.set()
    thread.join()
    assert np.median(during) > 1


def test_an_engine_keeps_to_its_threads_also_in_matrix_products() -> None:
    code = (
        "from faces import engine; engine.load(threads=1); import threadpoolctl;"
        "print(*{p['num_threads'] for p in threadpoolctl.threadpool_info() if p['user_api'] == 'blas'})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() in (["1"], [])
