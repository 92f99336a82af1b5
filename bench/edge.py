"""How many more frames a second the edge takes than the original's loop, whom it names, and how soon.

`python -m bench.edge --json`. A film with every frame offered, one thread. Both take turns of a second of film, so that
both see the machine in the same state and neither finds the processor's caches filled by the other at each frame. Each
is charged with the decoding, which happens once.
"""

from __future__ import annotations

import argparse
import json
import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count, islice
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import cv2
import numpy as np

from bench.machine import describe
from bench.original import THRESHOLD, Original
from edge.decide import Held, Thresholds
from edge.frames import Frame, Sight
from edge.recognize import Policy, Recognizer
from faces import engine as engines
from faces import quality
from faces.encoding import Matrix, to_bytes
from faces.engine import Engine
from faces.engine.enroll import enroll
from faces.events import Event, Status
from faces.face import Box, Face, Picture
from faces.gallery import EncodingRow, Gallery, IdentityRow, Kind, Row
from faces.wire import Position, Seen

P = ParamSpec("P")
T = TypeVar("T")

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
MIRANDA, LACAMOIRE, OBAMA = "Lin-Manuel Miranda", "Alex Lacamoire", "Barack Obama"
PORTRAITS = {
    "alex-lacamoire.png": LACAMOIRE,
    "biden.jpg": "Joe Biden",
    "lin-manuel-miranda.png": MIRANDA,
    "obama.jpg": OBAMA,
    "obama2.jpg": OBAMA,
}
SHOWN = ((range(20), {MIRANDA, LACAMOIRE}), (range(82, 211), {MIRANDA}), (range(211, 275), {OBAMA}))
"""Whom the frames of the film show of those enrolled."""

MUST = ((range(82, 211), MIRANDA), (range(211, 275), OBAMA))
"""Who must be named when."""

TURN = 30
"""Frames that one plays before it is the other's turn."""

SCALE, COOLDOWN_S = 0.5, 1.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--frames", type=int, help="how many frames of the film; else all")
    arguments = parser.parse_args()
    figures = {**describe(), "threads": 1, "inputs": str(DATA), **measure(DATA, arguments.frames)}
    print(json.dumps(figures, indent=2) if arguments.json else "\n".join(f"{k}: {v}" for k, v in figures.items()))


def measure(data: Path, limit: int | None = None) -> dict[str, Any]:
    """Play the film to both."""
    engine, original = engines.load(threads=1), Original.of(data / "portraits", PORTRAITS)
    timed = Timed(engine)
    policy = Policy(SCALE, COOLDOWN_S, Thresholds(accept=engine.th_accept, named=THRESHOLD))
    recognizer = Recognizer(timed, "stage", policy, os.urandom)
    held, witness = (_held(engine, data / "portraits"),), Witness(engine)
    ours_s = theirs_s = 0.0
    for turn in turns(data / "video" / "stage.mp4", timed.spent, limit):
        theirs_s += _seconds(original.play, turn)[0]
        took_s, sights = _seconds(play, recognizer, turn, held)
        ours_s += took_s
        witness.saw(sights)
    decode_s = timed.spent["decode"]
    timed.spent["rest"] = ours_s - sum(timed.spent[stage] for stage in ("detect", "refine", "encode"))
    return {
        "frames": witness.frames,
        "ratio_frames_per_s": round((decode_s + theirs_s) / (decode_s + ours_s), 2),
        "decode_only_ratio": round((decode_s + ours_s) / decode_s, 2),
        **named(witness.passed),
        "decided_after_s": witness.decided_after_s,
        "passed_at_frames": witness.passed_at_frames,
        "frames_per_s": {
            "ours": round(witness.frames / (decode_s + ours_s), 1),
            "original": round(witness.frames / (decode_s + theirs_s), 1),
            "decode_only": round(witness.frames / decode_s, 1),
        },
        "ms_per_frame": {stage: round(1000 * spent / witness.frames, 3) for stage, spent in timed.spent.items()},
        "calls": dict(timed.calls),
        "original": named(original.passed),
    }


def play(recognizer: Recognizer, turn: Sequence[Frame], held: Sequence[Held]) -> list[Sight]:
    """What the edge sees in these frames, whose colours it turns to RGB as its camera does."""
    return [recognizer.look(replace(f, picture=cv2.cvtColor(f.picture, cv2.COLOR_BGR2RGB)), held) for f in turn]


def turns(path: Path, spent: dict[str, float], limit: int | None) -> Iterator[list[Frame]]:
    """The film in turns. The pictures are BGR, as OpenCV decoded them."""
    frames = _film(path, spent)
    while turn := list(islice(frames, TURN if limit is None else min(TURN, limit))):
        limit = limit if limit is None else limit - len(turn)
        yield turn


def _film(path: Path, spent: dict[str, float]) -> Iterator[Frame]:
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    interval_s, began = 1 / capture.get(cv2.CAP_PROP_FPS), datetime.now(UTC)
    for number in count():
        took_s, (there, bgr) = _seconds(capture.read)
        if not there:
            break
        spent["decode"] += took_s
        moment = number * interval_s
        yield Frame("stage", number, began + timedelta(seconds=moment), moment, bgr)
    capture.release()


def named(passed: Sequence[tuple[int, str]]) -> dict[str, Any]:
    """Who was named where they had to be, and where they were not to be seen. `passed`: frame numbers and names."""
    must = {name for numbers, name in MUST if any(number in numbers and name == who for number, who in passed)}
    wrong = {who for number, who in passed if not any(number in numbers and who in names for numbers, names in SHOWN)}
    return {"rightly_named": sorted(must), "wrongly_named": sorted(wrong)}


@dataclass
class Timed:
    """The engine, with the seconds spent and the calls made by stage."""

    engine: Engine
    spent: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    calls: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.name, self.model, self.th_accept = self.engine.name, self.engine.model, self.engine.th_accept

    def detect(self, picture: Picture, scale: float = 1.0) -> list[Face]:
        return self._timed("detect", self.engine.detect, picture, scale)

    def refine(self, picture: Picture, face: Face) -> Face | None:
        return self._timed("refine", self.engine.refine, picture, face)

    def encode(self, picture: Picture, faces: Sequence[Face], *, mirror: bool = False) -> Matrix:
        self.calls["mirrored"] += mirror
        return self._timed("encode", self.engine.encode, picture, faces, mirror=mirror)

    def sharpness(self, picture: Picture, face: Face) -> float:
        return self.engine.sharpness(picture, face)

    def _timed(self, stage: str, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        took_s, result = _seconds(work, *args, **kwargs)
        self.spent[stage] += took_s
        self.calls[stage] += 1
        return result


@dataclass
class Witness:
    """What the recogniser said of the film, and since when it could have known: the first frame of each track whose
    face was worth a probe."""

    engine: Engine
    frames: int = 0
    passed: list[tuple[int, str]] = field(default_factory=list)
    decided_after_s: dict[str, float] = field(default_factory=dict)
    _usable: dict[int, float] = field(default_factory=dict)
    _decided: set[int] = field(default_factory=set)

    @property
    def passed_at_frames(self) -> dict[str, list[int]]:
        names = dict.fromkeys(who for _, who in self.passed)
        return {name: [number for number, who in self.passed if who == name] for name in names}

    def saw(self, sights: Sequence[Sight]) -> None:
        for sight in sights:
            self.frames += 1
            for seen in sight.seen:
                self._looked(seen, sight.frame)
            for event in sight.events:
                if event.status is Status.PASS:
                    self._took(event, sight.frame)

    def _looked(self, seen: Seen, frame: Frame) -> None:
        if seen.track is not None and seen.track not in self._usable and self._is_usable(frame, Box(*seen.box)):
            self._usable[seen.track] = frame.moment

    def _took(self, event: Event, frame: Frame) -> None:
        assert event.name is not None
        assert event.track is not None
        self.passed.append((frame.number, event.name))
        if event.track not in self._decided:
            self._decided.add(event.track)
            after_s = round(frame.moment - self._usable[event.track], 3)
            self.decided_after_s[event.name] = max(after_s, self.decided_after_s.get(event.name, 0.0))

    def _is_usable(self, frame: Frame, box: Box) -> bool:
        face = self.engine.refine(frame.picture, Face(box, np.zeros((5, 2), np.float32), 1.0, exact=False))
        if face is None or face.box.clipped(*frame.size).size < quality.MIN_FACE_PX_PROBE:
            return False
        return self.engine.sharpness(frame.picture, face) >= quality.MIN_SHARPNESS_PROBE


def _held(engine: Engine, portraits: Path) -> Held:
    """A site's one gallery, of the portraits."""
    rows: list[Row] = [IdentityRow(id=name, name=name) for name in set(PORTRAITS.values())]
    for file, name in PORTRAITS.items():
        encoding = enroll(engine, (portraits / file).read_bytes()).encoding
        rows.append(EncodingRow(file, name, engine.model, to_bytes(encoding)))
    return Held("portraits", "portraits", Kind.ALLOW, Position(1, 0), Gallery.of(engine.model, rows))


def _seconds(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> tuple[float, T]:
    began = time.perf_counter()
    result = work(*args, **kwargs)
    return time.perf_counter() - began, result


if __name__ == "__main__":
    main()
