from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.decide import Held, Judgement
from edge.funnel import Outcome, is_turned, outcome, summed
from edge.recognize import Policy, Recognizer
from edge.tracks import Track
from faces.engine import Engine, images
from faces.face import Box, Face, Picture
from faces.gallery import Kind
from faces.wire import Funnel

from .test_recognize import NOBODY, POLICY, frames_of

STRANGER = Judgement(threshold=0.45)
LIKE_HER = Judgement(identity_id="i1", name="Ada", distance=0.5, threshold=0.45)
AS_LIKE = Judgement(identity_id="i1", name="Ada", distance=0.4, threshold=0.45, reason="margin")
LATE = Judgement(kind=Kind.ALLOW, identity_id="i1", threshold=0.45, reason="lease_expired")


def test_every_outcome_is_a_field_of_what_is_told() -> None:
    assert tuple(str(reason) for reason in Outcome) == Funnel.__struct_fields__
    assert summed(Counter({Outcome.RECOGNISED: 2, Outcome.TURNED: 1})) == Funnel(recognised=2, turned=1)


@pytest.mark.parametrize(
    ("judgement", "recognised", "taken", "weak", "reason"),
    [
        (None, False, 0, {}, Outcome.TOO_BRIEF),
        (None, False, 0, {"too_small": 3, "not_clear": 1}, Outcome.TOO_SMALL),
        (None, False, 0, {"too_blurred": 1}, Outcome.TOO_BLURRED),
        (None, False, 0, {"not_clear": 2}, Outcome.NOT_CLEAR),
        (STRANGER, False, 2, {}, Outcome.TOO_BRIEF),
        (STRANGER, False, 2, {"turned": 2}, Outcome.TURNED),
        (STRANGER, False, 3, {}, Outcome.NO_CANDIDATE),
        (STRANGER, False, 3, {"turned": 2}, Outcome.TURNED),
        (STRANGER, False, 4, {"turned": 2}, Outcome.NO_CANDIDATE),
        (LIKE_HER, False, 12, {"too_small": 40}, Outcome.NOT_NEAR),
        (AS_LIKE, False, 12, {"turned": 12}, Outcome.MARGIN),
        (LIKE_HER, True, 12, {}, Outcome.RECOGNISED),
        (LATE, True, 3, {}, Outcome.LEASE_EXPIRED),
    ],
)
def test_whoever_was_not_recognised_was_not_for_one_reason(
    judgement: Judgement | None, recognised: bool, taken: int, weak: dict[str, int], reason: Outcome
) -> None:
    track = Track(1, "sface", Face(Box(0, 0, 9, 9), np.zeros((5, 2), np.float32), 0.9, True), 0.0)
    track.standing.judgement, track.standing.recognised = judgement, recognised
    track.taken, track.weak = taken, Counter(weak)
    assert outcome(track) is reason


def test_a_head_in_profile_is_turned() -> None:
    front = np.array([[40, 50], [80, 50], [60, 72], [45, 95], [75, 95]], np.float32)
    aside = front + np.array([[0, 0], [0, 0], [30, 0], [0, 0], [0, 0]], np.float32)
    box = Box(20, 20, 100, 120)
    assert not is_turned(Face(box, front, 0.9, True))
    assert is_turned(Face(box, aside, 0.9, True))


def test_the_film_s_people_are_counted(engine: Engine, data: Path, held: tuple[Held, ...]) -> None:
    recognizer = Recognizer(engine, "stage", POLICY, os.urandom)
    tracks = set()
    for frame in frames_of(data / "video" / "stage.mp4")[82:]:
        tracks |= {seen.track for seen in recognizer.look(frame, held).seen}
    recognizer.conclude()
    assert recognizer.funnel.total() == len(tracks)
    assert recognizer.funnel[Outcome.RECOGNISED] >= 2
    assert recognizer.funnel[Outcome.NO_CANDIDATE] + recognizer.funnel[Outcome.TURNED] >= 3, "the audience"


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda picture: images.scaled(picture, 0.06), Outcome.TOO_SMALL),
        (lambda picture: np.asarray(cv2.GaussianBlur(picture, (0, 0), 9)), Outcome.TOO_BLURRED),
    ],
)
def test_a_spoilt_picture_is_the_reason(engine: Engine, data: Path, spoil: object, reason: Outcome) -> None:
    portrait = images.load((data / "portraits" / "biden.jpg").read_bytes())
    picture: Picture = spoil(portrait)  # type: ignore[operator]
    frame = frames_of(data / "video" / "signer-2.mkv")[0]
    recognizer = Recognizer(engine, "stage", Policy(1.0, 1.0, POLICY.thresholds), os.urandom)
    for number in range(20):
        recognizer.look(replace(frame, moment=number / 10, picture=picture), NOBODY)
    recognizer.conclude()
    assert recognizer.funnel == {reason: 1}
