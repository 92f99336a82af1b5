"""What makes a photo or a probe usable: the thresholds, and the measures that need no model.

Every score is 0 to 1, higher is better. The figures were measured on 400 photos of 80 people (Labeled Faces in the
Wild) with the `sface` engine. "Missed" is the share of photo pairs of one person farther apart than 0.45: 10 % as the
photos are. Only size and sharpness refuse a photo: 1 of the 400, for its sharpness.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from faces.face import Box, Face, Landmarks, Picture

MIN_FACE_PX_ENROLL: Final = 48
"""Shorter side of a face that may be enrolled. Missed when the photos are reduced to faces of 54 px: 11 %, of 36 px:
13 %, of 27 px: 20 %, of 18 px: 52 %."""

MIN_FACE_PX_PROBE: Final = 24
"""Shorter side of a face worth encoding on a camera."""

MIN_SHARPNESS_ENROLL: Final = 0.4
"""Sharpness of a face that may be enrolled: 1 of the 400 photos is refused, which have 0.94 in the median.

Blurred (Gaussian) by 1 px of the aligned face they have 0.63 and 12 % are missed; by 2 px 0.32 and 26 %; by 3 px 0.16
and 63 %. Shaken by a tenth of the face's width they have 0.47 and 33 % are missed.
"""

MIN_SHARPNESS_PROBE: Final = 0.2
"""Sharpness below which a probe is worth nothing: two of three are missed."""

SAME_PERSON_DISTANCE: Final = 0.7
"""A further photo whose nearest own encoding is farther away than this is refused as `not_same_person`."""

GOOD_FACE_PX: Final = 64
WORST_FACE_PX: Final = 16

DARK: Final = (10, 50)
BRIGHT: Final = (180, 245)
"""Mean grey of the face between which brightness falls to 0. At 25 and at 200, 20 to 25 % are missed."""

TURNED_DEG: Final = 40
"""Beyond this a face counts as turned or tilted. Up to 45 degrees no more is missed than from the front, then half."""

_GREY: Final = np.array([0.299, 0.587, 0.114], np.float32)


class Weakness(StrEnum):
    """Why a face is less usable than it could be."""

    SMALL = "small"
    BLURRED = "blurred"
    TURNED = "turned"
    TILTED = "tilted"
    DARK = "dark"
    BRIGHT = "bright"


@dataclass(frozen=True, slots=True)
class Pose:
    """How a head is turned, in degrees, estimated from five landmarks: about 10 degrees exact up to 45.

    `yaw` is positive when the nose points to the picture's right, `pitch` when it points down, `roll` when the head
    leans to the picture's right.
    """

    yaw: float
    pitch: float
    roll: float

    @property
    def score(self) -> float:
        """1 seen from the front, 0 in profile. Roll does not count: alignment undoes it."""
        return max(0.0, math.cos(math.radians(self.yaw))) * max(0.0, math.cos(math.radians(self.pitch)))


@dataclass(frozen=True, slots=True)
class Quality:
    """Four scores from 0 to 1, and what is weak. `size_px` is the shorter side of the face's box."""

    size_px: int
    size: float
    sharpness: float
    pose: float
    brightness: float
    yaw_deg: float
    pitch_deg: float
    roll_deg: float
    weaknesses: tuple[Weakness, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON: numbers to three digits, weaknesses as texts."""
        plain = {name: round(value, 3) if isinstance(value, float) else value for name, value in asdict(self).items()}
        return plain | {"weaknesses": [str(weakness) for weakness in self.weaknesses]}


def assess(picture: Picture, face: Face, sharpness: float) -> Quality:
    """The quality of a face; `sharpness` is the engine's, which has the aligned face."""
    pose, grey = pose_of(face.landmarks), mean_grey(picture, face.box)
    found = {
        Weakness.SMALL: face.box.size < MIN_FACE_PX_ENROLL,
        Weakness.BLURRED: sharpness < MIN_SHARPNESS_ENROLL,
        Weakness.TURNED: abs(pose.yaw) > TURNED_DEG,
        Weakness.TILTED: abs(pose.pitch) > TURNED_DEG,
        Weakness.DARK: grey < sum(DARK) / 2,
        Weakness.BRIGHT: grey > sum(BRIGHT) / 2,
    }
    return Quality(
        size_px=face.box.size,
        size=_between(face.box.size, WORST_FACE_PX, GOOD_FACE_PX),
        sharpness=sharpness,
        pose=pose.score,
        brightness=min(_between(grey, *DARK), 1 - _between(grey, *BRIGHT)),
        yaw_deg=pose.yaw,
        pitch_deg=pose.pitch,
        roll_deg=pose.roll,
        weaknesses=tuple(weakness for weakness, is_so in found.items() if is_so),
    )


def sharpness_of(chip: Picture) -> float:
    """How sharp an aligned face of 112 x 112 is: how much of its gradients a further blur takes away.

    Blurring changes little what is blurred already, whatever the light and contrast (after Crete and others, 2007). The
    direction that loses less counts, so that camera shake is seen.
    """
    grey = (chip @ _GREY)[28:104, 20:92]
    lost = 1 - max(_kept(grey), _kept(grey.T))
    return _between(lost, 0.04, 0.34)


def mean_grey(picture: Picture, box: Box) -> float:
    """The mean grey of the middle half of a face, 0 to 255; 0 outside the picture."""
    height, width = picture.shape[:2]
    inner = box.grown(0.5).clipped(width, height)
    step = max(1, inner.size // 32)
    pixels = picture[inner.y1 : inner.y2 : step, inner.x1 : inner.x2 : step]
    return float((pixels @ _GREY).mean()) if pixels.size else 0.0


def pose_of(landmarks: Landmarks) -> Pose:
    """The pose of a head whose nose tip stands 0.44 eye distances before the plane of eyes and mouth.

    Turning moves the nose along the line of the eyes, nodding moves it between eyes (0) and mouth (1), where it
    stands at 0.56 when the head is level.
    """
    right_eye, left_eye, nose, right_mouth, left_mouth = (complex(x, y) for x, y in landmarks.tolist())
    across = left_eye - right_eye
    distance = max(abs(across), 1e-6)
    eyes, mouth = (right_eye + left_eye) / 2, (right_mouth + left_mouth) / 2
    upright = across.conjugate() / distance
    to_nose = (nose - (eyes + mouth) / 2) * upright
    height = max(((mouth - eyes) * upright).imag, 1e-6)
    nod = ((nose - eyes) * upright).imag / height - 0.56
    yaw, pitch, roll = (
        math.atan2(to_nose.real, 0.44 * distance),
        math.atan(nod / 0.38),
        math.atan2(across.imag, across.real),
    )
    return Pose(math.degrees(yaw), math.degrees(pitch), math.degrees(roll))


def _kept(grey: npt.NDArray[np.float32]) -> float:
    """The share of the gradients along rows that a blur over five rows and columns leaves."""
    sums = np.pad(grey.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    blurred = (sums[5:, 5:] - sums[:-5, 5:] - sums[5:, :-5] + sums[:-5, :-5]) / 25
    before = float(np.abs(np.diff(grey[2:-2, 2:-2], axis=1)).sum())
    return float(np.abs(np.diff(blurred, axis=1)).sum()) / before if before > 0 else 1.0


def _between(value: float, low: float, high: float) -> float:
    """Where `value` lies between `low` (0) and `high` (1)."""
    return min(1.0, max(0.0, (value - low) / (high - low)))
