"""Trials of whole tracks: somebody walks past a camera, and the edge says who it is, or nobody.

The films are composed from photos that are not enrolled. They run through the edge's own recogniser, which takes its
probes by its own schedule in the film's time.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import combinations
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec
import numpy as np

from edge.decide import SURE_PROBES, Held, Thresholds
from edge.frames import Frame
from edge.recognize import Policy, Recognizer
from faces.encoding import Matrix, Vector, to_bytes
from faces.engine import Engine, images
from faces.engine.enroll import WORKING_SIDES, enroll, prominence
from faces.errors import Refused
from faces.events import Event, Status
from faces.face import Box, Face, Picture
from faces.gallery import EncodingRow, Gallery, IdentityRow, Key, Kind, Row
from faces.wire import Position
from rollcall import film

T = TypeVar("T")

FILMED = 2
"""Photos of which a film is made."""

FRAMES = 18
INTERVAL_S = 0.11
"""Two seconds of film. Few frames a second are the cheapest: the recogniser takes no more than ten probes in one."""

TURN = 3
"""Frames after which the other photo is shown."""

SURROUNDINGS = 2.0
"""How many times as large as the face the filmed part of a photo is: no bystander walks along."""

FACE_PX = 200
"""Height of a filmed photo's face at most, in the photo: more than a film shows."""

SCALE, THRESHOLD = 0.5, 0.6
"""The edge's defaults."""

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """One photo. `encoding` is None where enrolment refuses it, for `refusal`; `scene` where no face is found."""

    file: str
    encoding: Vector | None
    refusal: str | None
    scene: film.Scene | None


@dataclass(frozen=True, slots=True)
class Subject:
    """One person with their photos."""

    name: str
    shots: tuple[Shot, ...]


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One film before one gallery. `named`: who passed, if anybody did; somebody it was not, if several did.

    `nearest`, `distance` and `runner_up_distance` are those of the event with the least distance; `probes` counts the
    encodings that were taken.
    """

    person: str
    files: tuple[str, ...]
    enrolled: bool
    named: str | None
    nearest: str | None
    distance: float | None
    runner_up_distance: float | None
    probes: int

    @property
    def failed(self) -> bool:
        """Somebody enrolled was not recognised, or a stranger was."""
        return self.named != (self.person if self.enrolled else None)

    @property
    def why(self) -> str:
        if self.named is not None:
            return f"taken for {self.named}"
        return "too far" if self.probes >= SURE_PROBES else "too few usable probes"


def shoot(engine: Engine, path: Path) -> Shot:
    """A photo as enrolment takes it, and as it is filmed."""
    data = path.read_bytes()
    try:
        found = enroll(engine, data)
    except Refused as refusal:
        return Shot(path.name, None, str(refusal.reason), _refused_scene(engine, data))
    return Shot(path.name, found.encoding, None, _scene(found.picture, found.face.box))


def splits(photos: int) -> list[tuple[int, ...]]:
    """Every choice of `photos` of a person's `photos + FILMED`, to be enrolled; the others are filmed."""
    return list(combinations(range(photos + FILMED), photos))


def gallery(model: str, subjects: Sequence[Subject], split: Sequence[int]) -> Gallery:
    """Everybody all of whose photos of this split can be enrolled."""
    rows: list[Row] = []
    for subject in subjects:
        encodings = [subject.shots[i].encoding for i in split]
        if all(encoding is not None for encoding in encodings):
            rows.append(IdentityRow(id=subject.name, name=subject.name))
            rows += [
                EncodingRow(f"{subject.name}/{i}", subject.name, model, to_bytes(encoding))
                for i, encoding in enumerate(encodings)
                if encoding is not None
            ]
    return Gallery.of(model, rows)


def of_person(engine: Engine, subject: Subject, split: Sequence[int], known: Gallery, distance: float) -> list[Trial]:
    """The film of the photos that are not enrolled, before the gallery (if the person is in it), and before it without
    the person."""
    shots = [shot for i, shot in enumerate(subject.shots) if i not in split]
    galleries = [known] if subject.name in known.identities else []
    galleries.append(known.changed((), [Key("identity", subject.name)]))
    return trials(engine, subject.name, shots, galleries, distance)


def trials(
    engine: Engine, name: str, shots: Sequence[Shot], galleries: Sequence[Gallery], distance: float
) -> list[Trial]:
    """One film before each gallery; none if a photo shows no face. Whoever is within `distance` passes."""
    scenes = [shot.scene for shot in shots if shot.scene is not None]
    if len(scenes) < len(shots):
        return []
    files = tuple(shot.file for shot in shots)
    # Everybody is reported once a film.
    policy = Policy(SCALE, FRAMES * INTERVAL_S, Thresholds(accept=distance, named=THRESHOLD))
    pictures = list(_render(scenes))
    remembering = Remembering(engine, frozenset(map(id, pictures)))
    return [_trial(remembering, pictures, name, files, known, policy) for known in galleries]


@dataclass
class Remembering:
    """The engine, computing but once what several galleries make it be asked of the same frames (known by `id`)."""

    engine: Engine
    frames: frozenset[int]
    encoded: int = 0
    _known: dict[tuple[Any, ...], Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.name, self.model, self.th_accept = self.engine.name, self.engine.model, self.engine.th_accept

    def detect(self, picture: Picture, scale: float = 1.0) -> list[Face]:
        return self._once(picture, ("detect", scale), lambda: self.engine.detect(picture, scale))

    def refine(self, picture: Picture, face: Face) -> Face | None:
        return self._once(picture, ("refine", face.box), lambda: self.engine.refine(picture, face))

    def encode(self, picture: Picture, faces: Sequence[Face], *, mirror: bool = False) -> Matrix:
        self.encoded += len(faces)
        what = ("encode", mirror, *(face.landmarks.tobytes() for face in faces))
        return self._once(picture, what, lambda: self.engine.encode(picture, faces, mirror=mirror))

    def sharpness(self, picture: Picture, face: Face) -> float:
        what = ("sharpness", face.landmarks.tobytes())
        return self._once(picture, what, lambda: self.engine.sharpness(picture, face))

    def _once(self, picture: Picture, what: tuple[Any, ...], work: Callable[[], T]) -> T:
        if id(picture) not in self.frames:
            return work()
        key = (id(picture), *what)
        if key not in self._known:
            self._known[key] = work()
        return cast(T, self._known[key])


def _trial(
    engine: Remembering, pictures: Sequence[Picture], name: str, files: tuple[str, ...], known: Gallery, policy: Policy
) -> Trial:
    before = engine.encoded
    events = _play(engine, pictures, known, policy)
    passed = {event.name for event in events if event.status is Status.PASS}
    surest = min(events, key=lambda event: math.inf if event.distance is None else event.distance, default=None)
    return Trial(
        person=name,
        files=files,
        enrolled=name in known.identities,
        named=next(iter(sorted(passed - {name} or passed, key=str)), None),
        nearest=surest.name if surest else None,
        distance=surest.distance if surest else None,
        runner_up_distance=surest.runner_up_distance if surest else None,
        probes=engine.encoded - before,
    )


def _play(engine: Engine, pictures: Sequence[Picture], known: Gallery, policy: Policy) -> list[Event]:
    held = (Held("people", "people", Kind.ALLOW, Position(1, 0), known),)
    recognizer = Recognizer(engine, "camera", policy, os.urandom)
    events: list[Event] = []
    for number, picture in enumerate(pictures):
        moment = number * INTERVAL_S
        at = BEGAN + timedelta(seconds=moment)
        events += recognizer.look(Frame("camera", number, at, moment, picture), held).events
    return events + recognizer.conclude()


def _render(scenes: Sequence[film.Scene]) -> Iterator[Picture]:
    """The person walks through the room, as one photo and the other in turn."""
    random = np.random.default_rng(0)
    for number in range(FRAMES):
        yield film.frame(scenes[number // TURN % len(scenes)], number / (FRAMES - 1), random)


def _refused_scene(engine: Engine, data: bytes) -> film.Scene | None:
    try:
        picture = images.load(data)
    except Refused:
        return None
    found = engine.detect(picture, min(1.0, WORKING_SIDES[0] / max(picture.shape)))
    face = max(found, key=lambda face: prominence(picture, face), default=None)
    return _scene(picture, face.box) if face else None


def _scene(picture: Picture, box: Box) -> film.Scene:
    """The face with its surroundings, no larger than a film needs it."""
    height, width = picture.shape[:2]
    area = box.grown(SURROUNDINGS).clipped(width, height)
    cut = picture[area.y1 : area.y2, area.x1 : area.x2]
    factor = min(1.0, FACE_PX / max(1, box.height))
    within = (box.x1 - area.x1, box.y1 - area.y1, box.x2 - area.x1, box.y2 - area.y1)
    return film.Scene(images.scaled(cut, factor).copy(), Box(*(round(edge * factor) for edge in within)), 0.0)
