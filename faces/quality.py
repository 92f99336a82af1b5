"""What makes a photo or a probe usable: the thresholds, and the measures that need no model."""

from __future__ import annotations

MIN_FACE_PX_ENROLL = 48
"""Shorter side of a face that may be enrolled."""

MIN_FACE_PX_PROBE = 24
"""Shorter side of a face worth encoding on a camera."""

SAME_PERSON_DISTANCE = 0.7
"""A further photo whose nearest own encoding is farther away than this is refused as `not_same_person`."""
