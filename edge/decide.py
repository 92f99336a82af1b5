"""What a face's encoding amounts to against the galleries that a site follows, and when that is worth an event."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from faces.encoding import Vector
from faces.events import Status
from faces.gallery import PRECEDENCE, Candidate, Gallery, Kind, Match
from faces.wire import Position

SURE_PROBES = 3
"""Nobody passes, and nobody is called a stranger, on fewer probes than this."""

DOUBTFUL_PROBES = 12
"""So many probes does a face get that is neither near enough to pass nor clearly a stranger's."""

MARGIN = 0.05
"""Nobody passes whose distance is not smaller by this than that of the next person in the gallery."""

AMBIGUOUS = "margin"
"""Why nobody passes who is near enough, when somebody else is as near."""

LEASE_EXPIRED = "lease_expired"
"""Why nobody passes at an edge that has not synced for too long."""


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """A followed gallery as this edge holds it."""

    id: str
    name: str
    kind: Kind
    position: Position
    gallery: Gallery


@dataclass(frozen=True, slots=True)
class Thresholds:
    """`accept`: TH_ACCEPT of the edge or its engine, where a gallery has none of its own. `named`: THRESHOLD."""

    accept: float
    named: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Who a face is. `kind` is that of the gallery which recognised the person, None if none did; a name without it
    is only the nearest. `threshold` is the TH_ACCEPT that decided; `reason` why somebody recognised does not pass."""

    status: Status = Status.REJECT
    kind: Kind | None = None
    identity_id: str | None = None
    name: str | None = None
    distance: float | None = None
    runner_up_distance: float | None = None
    threshold: float
    gallery_id: str | None = None
    gallery_revision: int | None = None
    reason: str | None = None

    @property
    def clear(self) -> bool:
        """Somebody recognised, or too far from everybody to be given a name."""
        return self.kind is not None or self.identity_id is None

    def settled(self, probes: int) -> bool:
        """Whether more probes would hardly change it."""
        return probes >= (SURE_PROBES if self.clear else DOUBTFUL_PROBES)


class _Finding(NamedTuple):
    held: Held
    match: Match
    nearest: Candidate
    threshold: float

    @property
    def near(self) -> bool:
        return self.nearest.distance <= self.threshold


def judge(
    galleries: Iterable[Held], encoding: Vector, thresholds: Thresholds, at: datetime, *, admits: bool = True
) -> Judgement:
    """Merge what all galleries say of one encoding: deny wins over watch, watch over allow, then the nearest. Without
    `admits` nobody passes: the edge's lease has expired."""
    findings = list(_findings(galleries, encoding, thresholds, at))
    accepted = [finding for finding in findings if finding.near]
    if accepted:
        chosen = min(accepted, key=lambda f: (PRECEDENCE.index(f.held.kind), f.nearest.distance))
        if _ambiguous(chosen, findings):
            return _judgement(
                chosen, findings, named=chosen.nearest.distance < thresholds.named, kind=None, ambiguous=True
            )
        return _judgement(chosen, findings, named=True, kind=chosen.held.kind, admits=admits)
    if findings:
        chosen = min(findings, key=lambda f: f.nearest.distance)
        return _judgement(chosen, findings, named=chosen.nearest.distance < thresholds.named, kind=None)
    return Judgement(threshold=thresholds.accept)


def _findings(galleries: Iterable[Held], encoding: Vector, thresholds: Thresholds, at: datetime) -> Iterable[_Finding]:
    for held in galleries:
        (match,) = held.gallery.search(encoding[None, :], at=at)
        settings = held.gallery.settings
        own = settings.th_accept if settings else None
        if match.nearest:
            yield _Finding(held, match, match.nearest, thresholds.accept if own is None else own)


def _judgement(
    chosen: _Finding,
    findings: Sequence[_Finding],
    *,
    named: bool,
    kind: Kind | None,
    admits: bool = True,
    ambiguous: bool = False,
) -> Judgement:
    held, _, nearest, threshold = chosen
    others = [c.distance for f in findings for c in f.match if c and c.identity_id != nearest.identity_id]
    return Judgement(
        status=Status.PASS if kind is Kind.ALLOW and admits else Status.REJECT,
        kind=kind,
        identity_id=nearest.identity_id if named else None,
        name=nearest.name if named else None,
        distance=nearest.distance,
        runner_up_distance=min(others, default=None),
        threshold=threshold,
        gallery_id=held.id,
        gallery_revision=held.position.revision,
        reason=AMBIGUOUS if ambiguous else _reason(kind, admits),
    )


def _ambiguous(chosen: _Finding, findings: Sequence[_Finding]) -> bool:
    """Whether two who are admitted are about equally near. Who is denied or watched is that under either name."""
    if chosen.held.kind is not Kind.ALLOW:
        return False
    admitted = [c for f in findings if f.held.kind is Kind.ALLOW for c in f.match if c]
    others = [c.distance for c in admitted if c.identity_id != chosen.nearest.identity_id]
    return min(others, default=math.inf) - chosen.nearest.distance < MARGIN


def _reason(kind: Kind | None, admits: bool) -> str | None:
    if kind is Kind.ALLOW:
        return None if admits else LEASE_EXPIRED
    return kind.value if kind else None


def supports(galleries: Iterable[Held], encoding: Vector, judgement: Judgement, thresholds: Thresholds) -> bool:
    """Whether this one encoding could be of the person who was recognised by the mean of many.

    The mean remembers who was there before: nobody may pass on what another one looked like.
    """
    limit = max(judgement.threshold, thresholds.named)
    own = [
        held.gallery.nearest_distances(encoding[None, :], judgement.identity_id or "")
        for held in galleries
        if held.id == judgement.gallery_id
    ]
    return any(bool((distances <= limit).any()) for distances in own)


@dataclass(slots=True)
class Standing:
    """How far one track is: what was last judged of it, and whether it was recognised or sent as a stranger's."""

    judgement: Judgement | None = None
    recognised: bool = False
    rejected: bool = False


@dataclass(slots=True)
class Announcer:
    """Which judgements become events on one camera: somebody recognised, each COOLDOWN seconds an identity; a stranger
    once a track, and not before it is sure."""

    cooldown_s: float
    _last: dict[str | None, float] = field(default_factory=dict)

    def due(self, judgement: Judgement, moment: float) -> bool:
        """Whether this is somebody recognised whose cooldown is over."""
        last = self._last.get(judgement.identity_id)
        # Times of frames are sums of fractions: a cooldown of whole frames is over at that frame.
        over = last is None or not 0 <= moment - last < self.cooldown_s - 1e-6
        return judgement.kind is not None and over

    def probed(self, standing: Standing, judgement: Judgement, probes: int, moment: float) -> bool:
        """Take the judgement after a probe; tells whether it is an event."""
        standing.judgement = judgement
        if not judgement.settled(probes):
            return False
        if judgement.kind is None:
            return self._reject(standing)
        standing.recognised = True
        if not self.due(judgement, moment):
            return False
        self._last[judgement.identity_id] = moment
        return True

    def changed(self, standing: Standing, judgement: Judgement) -> None:
        """Take the judgement by galleries that have changed. No event: that takes a new probe."""
        standing.judgement = judgement
        standing.recognised = standing.recognised and judgement.kind is not None

    def ended(self, standing: Standing, probes: int) -> bool:
        """Whether the end of a track is an event: of a stranger who has had none."""
        judgement = standing.judgement
        return probes >= SURE_PROBES and judgement is not None and judgement.kind is None and self._reject(standing)

    def _reject(self, standing: Standing) -> bool:
        due = not (standing.recognised or standing.rejected)
        standing.rejected = standing.rejected or due
        return due
