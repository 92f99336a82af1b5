"""What became of the faces that a camera followed: whoever was not recognised was not for a reason."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from edge.decide import AMBIGUOUS, LEASE_EXPIRED, SURE_PROBES
from edge.tracks import Track
from faces.face import Face
from faces.quality import TURNED_DEG, pose_of
from faces.wire import Funnel


class Outcome(StrEnum):
    """Of a track; the names are the fields of a Funnel, which says what they mean."""

    RECOGNISED = "recognised"
    TOO_SMALL = "too_small"
    TOO_BLURRED = "too_blurred"
    TURNED = "turned"
    NOT_CLEAR = "not_clear"
    TOO_BRIEF = "too_brief"
    NO_CANDIDATE = "no_candidate"
    NOT_NEAR = "not_near"
    MARGIN = "margin"
    LEASE_EXPIRED = "lease_expired"


def is_turned(face: Face) -> bool:
    """Whether the head is turned so far that half of the probes are missed."""
    pose = pose_of(face.landmarks)
    return max(abs(pose.yaw), abs(pose.pitch)) > TURNED_DEG


def outcome(track: Track) -> Outcome:
    """What became of a track that has ended."""
    judgement, weak = track.standing.judgement, track.weak
    if judgement is not None and judgement.reason == LEASE_EXPIRED:
        return Outcome.LEASE_EXPIRED
    if track.standing.recognised:
        return Outcome.RECOGNISED
    if judgement is None or track.taken < SURE_PROBES:
        return Outcome(weak.most_common(1)[0][0]) if weak else Outcome.TOO_BRIEF
    if judgement.reason == AMBIGUOUS:
        return Outcome.MARGIN
    if 2 * weak[Outcome.TURNED] > track.taken:
        return Outcome.TURNED
    return Outcome.NOT_NEAR if judgement.identity_id is not None else Outcome.NO_CANDIDATE


def summed(counts: Mapping[Outcome, int]) -> Funnel:
    """The counts as they are told to the control plane."""
    return Funnel(**{str(reason): count for reason, count in counts.items()})
