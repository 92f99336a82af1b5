"""How much faster the engines encode a face than the `face_recognition` library, and how equal to it.

`python -m bench.engine --json`. The baseline is the library itself: `face_recognition.face_encodings` for equality, and
its encoder on the same aligned faces for time. One thread; the encoders take turns face by face, so that all see the
machine in the same state; times are medians.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import face_recognition
import numpy as np
import numpy.typing as npt
from face_recognition import api as library

from bench.machine import describe
from faces.encoding import FACE_RECOGNITION
from faces.engine import HOG, images
from faces.engine.chips import chip
from faces.engine.resnet import ResNetEngine
from faces.engine.sface import SFaceEngine
from faces.face import Face, Picture

PEOPLE = Path(__file__).resolve().parents[2] / "shared" / "data" / "people"
FACES = 200
WARM_UP = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--people", type=Path, default=PEOPLE, help="folder of photos, a folder a person")
    parser.add_argument("--faces", type=int, default=FACES, help="how many faces")
    arguments = parser.parse_args()
    figures = {
        **describe(),
        "threads": 1,
        "inputs": str(arguments.people),
        **measure(arguments.people, arguments.faces),
    }
    print(json.dumps(figures, indent=2) if arguments.json else "\n".join(f"{k}: {v}" for k, v in figures.items()))


def measure(people: Path, count: int) -> dict[str, Any]:
    dlib_engine, sface = ResNetEngine.load(FACE_RECOGNITION, detector=HOG), SFaceEngine.load()
    times: list[tuple[float, float, float]] = []
    differences: list[float] = []
    for picture, face in islice(_faces(dlib_engine, people), count + WARM_UP):
        aligned = dlib_engine.chip(picture, face)
        differences.append(float(np.abs(dlib_engine.encode(picture, [face])[0] - _by_the_library(picture, face)).max()))
        times.append(
            (
                _seconds(library.face_encoder.compute_face_descriptor, aligned),
                _seconds(dlib_engine.encode_chip, aligned),
                _seconds(sface.encode_chip, chip(picture, face.landmarks)),
            )
        )
    theirs, ours, sface_s = np.median(times[WARM_UP:], axis=0)
    return {
        "faces": len(times) - WARM_UP,
        "max_abs_difference": max(differences),
        "ratio_face_recognition": round(theirs / ours, 2),
        "ratio_sface": round(theirs / sface_s, 2),
        "library_ms": round(theirs * 1000, 2),
        "face_recognition_ms": round(ours * 1000, 2),
        "sface_ms": round(sface_s * 1000, 2),
    }


def _faces(engine: ResNetEngine, people: Path) -> Iterator[tuple[Picture, Face]]:
    """Each photo with its largest face, where the library's own detector finds one."""
    for path in sorted(people.glob("*/*.jpg")):
        picture = images.load(path.read_bytes())
        if found := engine.detect(picture):
            yield picture, found[0]


def _by_the_library(picture: Picture, face: Face) -> npt.NDArray[np.float64]:
    """The library's encoding of a face at the place where its detector found it."""
    place = (face.box.y1, face.box.x2 - 1, face.box.y2 - 1, face.box.x1)
    (encoding,) = face_recognition.face_encodings(picture, [place])
    return np.asarray(encoding)


def _seconds(encode: Callable[[Picture], object], aligned: Picture) -> float:
    began = time.perf_counter()
    encode(aligned)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
