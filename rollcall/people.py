"""A folder of people (a folder a person, or a file a person) as encodings, every photo accounted for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from faces.encoding import Matrix
from faces.engine import Engine
from faces.engine.enroll import enroll
from faces.errors import NotFound, Refused
from rollcall.evaluation import Person

PHOTOS = frozenset({".jpg", ".jpeg", ".png", ".webp"})


@dataclass(frozen=True, slots=True)
class Folder:
    """Whom a folder holds: people with the encodings of their good photos, and how many photos failed for what."""

    people: tuple[Person, ...]
    photos: int
    refused: Counter[str]


def photos_in(folder: Path) -> dict[str, list[Path]]:
    """Photos by person, in the order of their names: of `ann/1.jpg` and of `ann.jpg` the person is `ann`.

    Raises NotFound if there are none.
    """
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in PHOTOS and path.is_file():
            person = path.stem if path.parent == folder else path.parent.name
            found.setdefault(person, []).append(path)
    if not found:
        raise NotFound(f"there is no photo in {folder}", remedy="Give a folder with one folder of photos a person.")
    return found


def encode(engine: Engine, folder: Path, *, threads: int, on_photo: Callable[[], None]) -> Folder:
    """Encode every photo as enrolment does. `on_photo` is called for each, from any thread."""
    listed = photos_in(folder)
    refused: Counter[str] = Counter()

    def one(path: Path) -> Matrix | str:
        try:
            return enroll(engine, path.read_bytes()).encoding
        except Refused as refusal:
            return str(refusal.reason)
        finally:
            on_photo()

    people = []
    with ThreadPoolExecutor(threads) as pool:
        outcomes = {name: list(pool.map(one, paths)) for name, paths in listed.items()}
    for name, found in outcomes.items():
        refused.update(o for o in found if isinstance(o, str))
        people.append(Person(name, _stack([o for o in found if not isinstance(o, str)])))
    return Folder(tuple(people), sum(map(len, listed.values())), refused)


def _stack(encodings: Sequence[Matrix]) -> Matrix:
    return np.stack(encodings) if encodings else np.empty((0, 128), np.float32)
