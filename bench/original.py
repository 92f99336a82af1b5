"""The original's loop, as a baseline: every frame through HOG on the full grey picture, 68 landmarks and the
`face_recognition` encoding of every face, a search person by person, and the frame as JPEG in base64 in JSON."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import dlib
import face_recognition_models as weights
import numpy as np
import numpy.typing as npt

from edge.frames import Frame
from faces.face import Picture

ACCEPT, THRESHOLD = 0.45, 0.6
JPEG_QUALITY = 70


@dataclass
class Original:
    """The loop, its people, and who passed at which frame. Its pictures are BGR, which its encoder takes for RGB."""

    people: dict[str, npt.NDArray[np.float64]] = field(default_factory=dict)
    passed: list[tuple[int, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._detect = dlib.get_frontal_face_detector()
        self._landmarks = dlib.shape_predictor(weights.pose_predictor_model_location())
        self._encoder = dlib.face_recognition_model_v1(weights.face_recognition_model_location())

    @classmethod
    def of(cls, portraits: Path, names: Mapping[str, str]) -> Original:
        """With these people, by the names of their photos' files: one encoding each, the last photo's that shows just
        one face."""
        original = cls()
        for file, name in names.items():
            faces = original._faces(np.asarray(cv2.imread(str(portraits / file)), np.uint8))
            if len(faces) == 1:
                original.people[name] = faces[0][1]
        return original

    def play(self, turn: Sequence[Frame]) -> list[str]:
        return [self.look(frame) for frame in turn]

    def look(self, frame: Frame) -> str:
        """What it sends to its stream for this frame."""
        message: dict[str, Any] = {"type": "face_event", "status": "NO_FACE", "timestamp": int(time.time())}
        for box, encoding in self._faces(frame.picture):
            name, distance = self._search(encoding)
            status = "PASS" if distance <= ACCEPT else "REJECT"
            message |= {"name": name, "distance": round(distance, 4), "status": status, "box": box}
            if status == "PASS":
                self.passed.append((frame.number, name))
        _, jpeg = cv2.imencode(".jpg", frame.picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        return json.dumps(message | {"frame": base64.b64encode(jpeg.tobytes()).decode()})

    def _faces(self, bgr: Picture) -> list[tuple[list[int], npt.NDArray[np.float64]]]:
        grey = cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY)
        return [(_corners(place), self._encoding(bgr, grey, place)) for place in self._detect(grey)]

    def _encoding(self, bgr: Picture, grey: Picture, place: Any) -> npt.NDArray[np.float64]:
        return np.array(self._encoder.compute_face_descriptor(bgr, self._landmarks(grey, place)))

    def _search(self, encoding: npt.NDArray[np.float64]) -> tuple[str, float]:
        nearest, least = "UNKNOWN", 999.0
        for name, known in self.people.items():
            distance = float(np.linalg.norm(encoding - known))
            if distance < least:
                nearest, least = name, distance
        return nearest if least < THRESHOLD else "UNKNOWN", least


def _corners(place: Any) -> list[int]:
    return [place.left(), place.top(), place.right(), place.bottom()]
