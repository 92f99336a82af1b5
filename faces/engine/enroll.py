"""From a photo to the encoding that may be enrolled, or the reason why not."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from faces import quality
from faces.encoding import Vector
from faces.engine import Engine, images
from faces.errors import Reason, Refused
from faces.face import Face, Picture

WORKING_SIDES: Final = (640, 320, 1280)
"""Longer side in pixels of the picture that is searched; the next one where the one before shows no face.

YuNet is surest of faces of 20 to 300 px and takes one that fills 1280 px for several; so a close-up is searched at 320,
and a small face in a large picture at 1280.
"""

RIVAL: Final = 0.5
"""A second face this prominent in comparison with the first makes a photo ambiguous.

Refuses 4 of 400 photos of Labeled Faces in the Wild, 65 of which show a bystander at least 0.4 times as large; a limit
of 0.5 on the size alone would refuse 61. The largest face is not the person in 6 of 560 photos, the most prominent is
not in 1.
"""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a photo must satisfy. Sizes of the file and of the picture, and of the face in it."""

    max_bytes: int = images.MAX_BYTES
    max_pixels: int = images.MAX_PIXELS
    min_face_px: int = quality.MIN_FACE_PX_ENROLL
    min_sharpness: float = quality.MIN_SHARPNESS_ENROLL


@dataclass(frozen=True, slots=True, eq=False)
class Enrolled:
    """What a photo yields: the encoding averaged with its mirror image's, the face, its quality and the picture."""

    encoding: Vector
    face: Face
    quality: quality.Quality
    picture: Picture


DEFAULT_LIMITS: Final = Limits()


def enroll(engine: Engine, data: bytes, limits: Limits = DEFAULT_LIMITS) -> Enrolled:
    """The encoding of the one person in a photo.

    Raises Refused: NOT_AN_IMAGE, TOO_LARGE, NO_FACE, SEVERAL_FACES, FACE_TOO_SMALL or TOO_BLURRED.
    """
    picture = images.load(data, max_pixels=limits.max_pixels, max_bytes=limits.max_bytes)
    face = _the_face(engine, picture)
    found = quality.assess(picture, face, engine.sharpness(picture, face))
    _check(found, limits)
    return Enrolled(engine.encode(picture, [face], mirror=True)[0], face, found, picture)


def prominence(picture: Picture, face: Face) -> float:
    """How much a face is what the picture is about: its size in pixels, less towards the corners, where it is 0."""
    height, width = picture.shape[:2]
    x, y = face.box.centre
    off_centre = math.hypot(x / width - 0.5, y / height - 0.5) / math.hypot(0.5, 0.5)
    return face.box.size * max(0.0, 1 - off_centre)


def faces_in(engine: Engine, picture: Picture) -> list[Face]:
    """All faces of a photo, the most prominent first; not exact yet (`Engine.refine`)."""
    return sorted(_search(engine, picture), key=lambda face: -prominence(picture, face))


def _the_face(engine: Engine, picture: Picture) -> Face:
    faces = faces_in(engine, picture)
    rivals = [face for face in faces[1:] if prominence(picture, face) >= RIVAL * prominence(picture, faces[0])]
    if rivals:
        raise Refused(
            Reason.SEVERAL_FACES,
            f"the photo shows {len(rivals) + 1} faces that could be meant",
            remedy="Send a photo of this person alone, or cut the others off.",
            detail={"faces": len(rivals) + 1},
        )
    exact = engine.refine(picture, faces[0]) if faces else None
    if exact is None:
        raise Refused(
            Reason.NO_FACE,
            "no face was found in the photo",
            remedy="Send a photo that shows the face upright, from the front and in even light.",
        )
    return exact


def _search(engine: Engine, picture: Picture) -> list[Face]:
    longest = max(picture.shape[:2])
    for scale in dict.fromkeys(min(1.0, side / longest) for side in WORKING_SIDES):
        if faces := engine.detect(picture, scale):
            return faces
    return []


def _check(found: quality.Quality, limits: Limits) -> None:
    if found.size_px < limits.min_face_px:
        raise Refused(
            Reason.FACE_TOO_SMALL,
            f"the face is {found.size_px} pixels wide; at least {limits.min_face_px} are needed",
            remedy="Send a larger photo, or one taken from nearer.",
            detail={"size_px": found.size_px, "min_face_px": limits.min_face_px},
        )
    if found.sharpness < limits.min_sharpness:
        raise Refused(
            Reason.TOO_BLURRED,
            f"the face is blurred: sharpness {found.sharpness:.2f}, at least {limits.min_sharpness} is needed",
            remedy="Send a photo in focus, taken with a steady hand.",
            detail={"sharpness": round(found.sharpness, 3), "min_sharpness": limits.min_sharpness},
        )
