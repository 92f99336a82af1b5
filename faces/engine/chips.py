"""Chips: faces turned upright and brought to one size by their landmarks, as an encoder wants them."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from faces.face import Landmarks, Picture

SIDE: Final = 112

TEMPLATE: Final[Landmarks] = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]], np.float32
)
"""Where the five landmarks lie in a chip of 112 x 112, as SFace was trained."""


def chip(picture: Picture, landmarks: Landmarks) -> Picture:
    """The face in 112 x 112, as cv2.FaceRecognizerSF.alignCrop cuts it."""
    cut: Picture = cv2.warpAffine(picture, similarity(landmarks, TEMPLATE), (SIDE, SIDE), flags=cv2.INTER_LINEAR)
    return cut


def similarity(points: Landmarks, targets: Landmarks) -> npt.NDArray[np.float64]:
    """The 2 x 3 matrix of rotation, scale and shift that brings `points` nearest to `targets` (least squares).

    With points as complex numbers this is a linear fit t = a*p + b, whose a = sum(conj(p) t) / sum(|p|^2) about the
    means.
    """
    p = points[:, 0].astype(np.float64) + 1j * points[:, 1]
    t = targets[:, 0].astype(np.float64) + 1j * targets[:, 1]
    centred = p - p.mean()
    a = np.vdot(centred, t - t.mean()) / max(np.vdot(centred, centred).real, 1e-12)
    b = t.mean() - a * p.mean()
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])
