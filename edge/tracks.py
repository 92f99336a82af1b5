"""Tracks: one face followed through frames, and the probes taken of it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from edge.decide import Standing
from edge.frames import Evidence
from faces.encoding import COSINE_MODELS, EUCLIDEAN_MODELS, Vector, distances, mean_encoding
from faces.face import Box, Face

KEPT_PROBES = 12
"""The best probes of a track, which its mean is made of."""

FORGET_S = 1.0
"""A track ends when its face was not seen for so long."""

REACH = 0.8
"""How far, in sizes of itself, a face may move from frame to frame."""

SURE_OVERLAP = 0.4
GAP_S = 0.25
"""A face that overlaps its last place by less, or comes after a longer gap, may be another person's."""


OTHER_PERSON = dict.fromkeys(COSINE_MODELS, 0.7) | dict.fromkeys(EUCLIDEAN_MODELS, 0.55)
"""By model: farther than this from the mean of a track's probes, a probe shows somebody else.

Measured against means of 3 on 40 people (Labeled Faces in the Wild): of the same person 0 and 0.5 % are farther, of
others all but 1.5 and 0.2 %. A cosine distance of 0.6 would already part one person's looks in a film.
"""


class Probe(NamedTuple):
    """An encoding of a track's face, and how good a look it was (higher is better)."""

    encoding: Vector
    quality: float


@dataclass(slots=True, eq=False)
class Track:
    """One face followed. Times are in seconds of the frames' clock.

    `doubtful`: it may have become another person's. `failures`: looks in a row that gave no probe. `taken`: probes
    ever taken, of which the best are kept. `weak`: looks that gave no probe, or one of a face that is turned away, by
    reason. `evidence`: the best look so far.
    """

    id: int
    model: str
    face: Face
    seen: float
    doubtful: bool = False
    next_probe: float = -math.inf
    failures: int = 0
    taken: int = 0
    weak: Counter[str] = field(default_factory=Counter)
    probes: list[Probe] = field(default_factory=list)
    evidence: Evidence | None = None
    standing: Standing = field(default_factory=Standing)

    @property
    def mean(self) -> Vector:
        """What the kept probes agree on; there must be one."""
        return mean_encoding(self.model, np.stack([probe.encoding for probe in self.probes]))

    @property
    def decided(self) -> bool:
        """Whether more probes would hardly change who this is."""
        judgement = self.standing.judgement
        return judgement is not None and not self.doubtful and judgement.settled(self.taken)

    def is_other(self, encoding: Vector) -> bool:
        """Whether this encoding is clearly of somebody else than the probes are."""
        if not self.probes:
            return False
        distance = distances(self.model, encoding[None, :], self.mean[None, :])[0, 0]
        return bool(distance > OTHER_PERSON[self.model])

    def add(self, probe: Probe, evidence: Evidence) -> None:
        """Keep the probe, at the cost of the worst one where there are many."""
        if all(probe.quality > kept.quality for kept in self.probes):
            self.evidence = evidence
        self.taken += 1
        self.failures, self.doubtful = 0, False
        self.probes.append(probe)
        if len(self.probes) > KEPT_PROBES:
            qualities = [kept.quality for kept in self.probes]
            del self.probes[qualities.index(min(qualities))]


class Tracker:
    """The tracks of one camera. `in_sight`: those whose faces were there at the last detection."""

    def __init__(self, model: str) -> None:
        self.tracks: list[Track] = []
        self.in_sight: list[Track] = []
        self._model = model
        self._last_id = 0

    def update(self, faces: Sequence[Face], moment: float) -> list[Track]:
        """The track of each face, in the same order; new ones for faces that follow nobody."""
        found: dict[int, Track] = {}
        taken: set[int] = set()
        for _, index, track in sorted(self._pairs(faces), key=lambda pair: -pair[0]):
            if index not in found and track.id not in taken:
                taken.add(track.id)
                found[index] = track
                _follow(track, faces[index], moment)
        self.in_sight = [found.get(index) or self.start(face, moment) for index, face in enumerate(faces)]
        return list(self.in_sight)

    def stay(self, moment: float) -> None:
        """Nothing has moved since the last detection: who was there then is still there."""
        for track in self.in_sight:
            track.seen = moment

    def start(self, face: Face, moment: float) -> Track:
        """A new track."""
        self._last_id += 1
        track = Track(self._last_id, self._model, face, moment)
        self.tracks.append(track)
        return track

    def end(self, track: Track) -> None:
        self.tracks.remove(track)
        self.in_sight = [other for other in self.in_sight if other is not track]

    def gone(self, moment: float) -> list[Track]:
        """The tracks whose faces were not seen for a while."""
        return [track for track in self.tracks if moment - track.seen > FORGET_S]

    def _pairs(self, faces: Sequence[Face]) -> list[tuple[float, int, Track]]:
        pairs = [
            (_affinity(track.face.box, face.box), index, track)
            for index, face in enumerate(faces)
            for track in self.tracks
        ]
        return [pair for pair in pairs if pair[0] > 0]


def _follow(track: Track, face: Face, moment: float) -> None:
    jumped = track.face.box.overlap(face.box) < SURE_OVERLAP or moment - track.seen > GAP_S
    track.doubtful = track.doubtful or jumped
    track.face, track.seen = face, moment


def _affinity(before: Box, now: Box) -> float:
    """How well the boxes of two frames go together; 0: not at all."""
    smaller, larger = sorted((max(before.size, 1), max(now.size, 1)))
    away = math.dist(before.centre, now.centre) / larger
    if larger > 2 * smaller or away >= REACH:
        return 0.0
    return before.overlap(now) + REACH - away
