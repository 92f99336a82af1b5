"""What makes a photo or a probe usable: the thresholds, and the measures that need no model."""

from __future__ import annotations

import numpy as np

from faces.face import Picture

MIN_FACE_PX_ENROLL = 48
"""Shorter side of a face that may be enrolled."""

MIN_FACE_PX_PROBE = 24
"""Shorter side of a face worth encoding on a camera."""

SAME_PERSON_DISTANCE = 0.7
"""A further photo whose nearest own encoding is farther away than this is refused as `not_same_person`."""


def sharpness(chip: Picture) -> float:
    """How sharp an aligned face of 112 x 112 is, 0 (no edges at all) to 1."""
    grey = chip.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    edges = 4 * grey[1:-1, 1:-1] - grey[:-2, 1:-1] - grey[2:, 1:-1] - grey[1:-1, :-2] - grey[1:-1, 2:]
    ratio = float(edges.std()) / max(float(grey.std()), 1.0)
    return min(1.0, ratio)
