"""Films composed from photos: a portrait that moves, zooms and changes light, as before a camera."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from faces.face import Box, Picture

WIDTH, HEIGHT, FPS = 640, 360, 15

Room = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Scene:
    """A photo with the face to be shown, for some seconds; without a photo, an empty room."""

    photo: Picture | None
    face: Box | None
    seconds: float


def frames(scenes: Sequence[Scene], *, seed: int = 0) -> Iterator[Picture]:
    """The film's frames, uint8 of shape (360, 640, 3), RGB; the same seed gives the same film."""
    random = np.random.default_rng(seed)
    for scene in scenes:
        count = round(scene.seconds * FPS)
        for index in range(count):
            yield frame(scene, index / max(1, count - 1), random)


def write(path: Path, pictures: Iterator[Picture]) -> int:
    """Write frames as a film (Motion JPEG, which every OpenCV reads); returns how many."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), FPS, (WIDTH, HEIGHT))
    count = 0
    for count, picture in enumerate(pictures, start=1):  # noqa: B007
        writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    writer.release()
    return count


def frame(scene: Scene, progress: float, random: np.random.Generator) -> Picture:
    """The frame at `progress` (0 to 1) of the way through the room."""
    room = np.full((HEIGHT, WIDTH, 3), 96, np.float32)
    room += np.linspace(-24, 24, WIDTH, dtype=np.float32)[None, :, None]
    if scene.photo is not None and scene.face is not None:
        room = _placed(room, scene.photo, scene.face, progress)
    light = 1.0 + 0.25 * math.sin(2 * math.pi * progress * 1.5)
    noise = 3 * random.standard_normal(room.shape, np.float32)
    picture: Picture = np.clip(room * light + noise, 0, 255).astype(np.uint8)
    return picture


def _placed(room: Room, photo: Picture, face: Box, progress: float) -> Room:
    """The photo laid into the room so that its face walks from one side to the other and comes nearer."""
    size = 70 + 60 * progress
    scale = size / face.height
    cx, cy = face.centre
    x = WIDTH * (0.25 + 0.5 * progress)
    y = HEIGHT * (0.5 + 0.06 * math.sin(4 * math.pi * progress))
    angle = 5 * math.sin(2 * math.pi * progress)
    turn = cv2.getRotationMatrix2D((cx, cy), angle, scale)
    turn[:, 2] += (x - cx, y - cy)
    laid = cv2.warpAffine(photo, turn, (WIDTH, HEIGHT), flags=cv2.INTER_AREA)
    covered = cv2.warpAffine(np.full(photo.shape[:2], 255, np.uint8), turn, (WIDTH, HEIGHT))
    return np.where(covered[:, :, None] > 127, laid.astype(np.float32), room)
