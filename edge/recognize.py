"""From a camera's frames to decisions: detection, tracks, probes, judgements, events. No clock, no thread, no I/O."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import msgspec

from edge.decide import SURE_PROBES, Announcer, Held, Judgement, Thresholds, judge, supports
from edge.frames import Cuts, Evidence, Frame, Sight, Stillness
from edge.funnel import Outcome, is_turned, outcome
from edge.tracks import Probe, Track, Tracker
from faces.encoding import to_bytes
from faces.engine import Engine, images
from faces.events import Event, EventKind, Status, uuid7
from faces.face import Face
from faces.gallery import Kind
from faces.quality import GOOD_FACE_PX, MIN_FACE_PX_PROBE, MIN_SHARPNESS_PROBE
from faces.wire import Seen

LOOK_S, IDLE_LOOK_S = 0.05, 0.09
"""Time from one detection to the next at least, while somebody in sight is not decided, and else. A face hardly moves
meanwhile: of 30 frames a second every second is looked at, or every third; of 10 each."""

STILL_LOOK_S = 1.0
"""Time from one detection to the next while nothing moves, and no probe is due."""

QUICK_S = 0.1
"""Time between probes of a track that is not decided: looks that differ teach more than the same look again."""

SLOW_S, SLOWEST_S = 1.0, 8.0
"""Time between probes of a track that is; a stranger's doubles with each up to the second."""

PROBES_A_LOOK = 3
"""So many faces of one frame are encoded at most, so that a crowd before one camera keeps no other waiting, nor who is
decided by this frame; the others' turn comes with the next."""

HURRY_S = 0.15
"""Where frames come farther apart, the machine is too slow for its cameras, and one face a frame must do: else tracks
are lost between looks, and whoever is taken for somebody new costs yet more."""

BETTER = 1.3
"""A face that has grown by this factor deserves another probe."""

THUMBNAIL_QUALITY = 80


@dataclass(frozen=True, slots=True)
class Policy:
    """The settings that decide: SCALE, COOLDOWN, TH_ACCEPT and THRESHOLD."""

    scale: float
    cooldown_s: float
    thresholds: Thresholds


class Recognizer:
    """One camera's recognition. `randomness` gives random bytes for the events' ids; `funnel` counts what becomes of
    the faces."""

    def __init__(
        self,
        engine: Engine,
        camera: str,
        policy: Policy,
        randomness: Callable[[int], bytes],
        funnel: Counter[Outcome] | None = None,
        keeps_probes: Callable[[], bool] = lambda: False,
    ) -> None:
        self.funnel: Counter[Outcome] = Counter() if funnel is None else funnel
        self.model = engine.model
        self._engine = engine
        self._camera = camera
        self._policy = policy
        self._randomness = randomness
        self._keeps_probes = keeps_probes
        self._tracker = Tracker(engine.model)
        self._announcer = Announcer(policy.cooldown_s)
        self._cuts = Cuts()
        self._stillness = Stillness()
        self.still = False
        """Whether nothing moved in the frame taken last, nor was due: little is to be expected of the next."""
        self._looked = self._given = -math.inf
        self._galleries: Sequence[Held] = ()
        self._admits = True

    def look(self, frame: Frame, galleries: Sequence[Held], *, admits: bool = True) -> Sight:
        """Take the next frame, by the galleries as they are now; `admits` while the lease on them lasts."""
        cut = self._cuts.at(frame.picture)
        before, self._given = self._given, frame.moment
        self._adopt(galleries, admits, frame)
        self.still = self._stillness.at(frame.picture) and self._waits(frame.moment)
        if self.still:
            self._tracker.stay(frame.moment)
        if not cut and self._fresh(frame.moment):
            return Sight(frame, _all_seen(self._tracker.in_sight), ())
        self._looked = frame.moment
        self._stillness.looked()
        faces = [
            face
            for face in self._engine.detect(frame.picture, self._policy.scale)
            if face.box.clipped(*frame.size).size > 0
        ]
        tracks = self._tracker.update(faces, frame.moment)
        if cut:
            for track in tracks:
                track.doubtful = True
        events: list[Event] = []
        due = sorted((track for track in tracks if self._due(track, frame.moment)), key=_urgency)
        most = PROBES_A_LOOK if frame.moment - before < HURRY_S else 1
        shown = [self._probe(track, frame, events) if track in due[:most] else track for track in tracks]
        for track in self._tracker.gone(frame.moment):
            events += self._end(track)
        return Sight(frame, _all_seen(shown), tuple(events))

    def conclude(self) -> list[Event]:
        """End all tracks: the camera shows nothing any more."""
        return [event for track in list(self._tracker.tracks) for event in self._end(track)]

    def _fresh(self, moment: float) -> bool:
        """Whether the last detection may stand for this moment too."""
        undecided = any(not track.decided for track in self._tracker.in_sight)
        pause_s = STILL_LOOK_S if self.still else LOOK_S if undecided else IDLE_LOOK_S
        return 0 <= moment - self._looked < pause_s

    def _waits(self, moment: float) -> bool:
        """Whether everybody is in sight who was there lately, and no probe of anybody is due."""
        here = self._tracker.in_sight
        return len(here) == len(self._tracker.tracks) and not any(self._due(track, moment) for track in here)

    def _adopt(self, galleries: Sequence[Held], admits: bool, frame: Frame) -> None:
        """Judge everybody in sight anew if the galleries, or the lease on them, have changed. Who is recognised then is
        due for a probe, at once."""
        if galleries is self._galleries and admits == self._admits:
            return
        self._galleries, self._admits = galleries, admits
        self._looked = -math.inf
        for track in self._tracker.tracks:
            if track.probes:
                self._announcer.changed(track.standing, self._judge(track, frame))

    def _judge(self, track: Track, frame: Frame) -> Judgement:
        return judge(self._galleries, track.mean, self._policy.thresholds, frame.captured_at, admits=self._admits)

    def _due(self, track: Track, moment: float) -> bool:
        """Whether a probe is worth its cost."""
        if moment >= track.next_probe:
            return True
        judgement = track.standing.judgement
        if track.failures or judgement is None:
            return False
        grown = track.evidence is not None and track.face.box.size > BETTER * track.evidence.box.size
        return track.doubtful or grown or self._announcer.due(judgement, moment)

    def _probe(self, track: Track, frame: Frame, events: list[Event]) -> Track:
        """Take a probe and what follows from it; returns the track that the face belongs to then."""
        face = track.face if track.face.exact else self._engine.refine(frame.picture, track.face)
        quality = self._quality(frame, face) if face else Outcome.NOT_CLEAR
        if face is None or isinstance(quality, Outcome):
            track.weak[str(quality)] += 1
            track.next_probe = frame.moment + min(SLOW_S, QUICK_S * 2**track.failures)
            track.failures += 1
            return track
        judgement = track.standing.judgement
        in_doubt = judgement is not None and not judgement.clear
        encoding = self._engine.encode(frame.picture, [face], mirror=in_doubt)[0]
        if track.is_other(encoding):
            if not track.doubtful:
                track.doubtful = True
                return track
            events += self._end(track)
            track = self._tracker.start(track.face, frame.moment)
        evidence = Evidence.of(frame, face.box)
        track.add(Probe(encoding, quality), evidence)
        track.weak[Outcome.TURNED] += is_turned(face)
        judgement = self._judge(track, frame)
        if judgement.kind and not supports(self._galleries, encoding, judgement, self._policy.thresholds):
            track.doubtful = True
        elif self._announcer.probed(track.standing, judgement, track.taken, frame.moment):
            events.append(self._event(track, judgement, evidence))
        track.next_probe = frame.moment + _pause_s(judgement, track.taken)
        return track

    def _quality(self, frame: Frame, face: Face) -> float | Outcome:
        """How good a look at a face this is: sharp, and large. Or why it is worth no encoding."""
        size = face.box.clipped(*frame.size).size
        if size < MIN_FACE_PX_PROBE:
            return Outcome.TOO_SMALL
        sharpness = self._engine.sharpness(frame.picture, face)
        return sharpness * min(1.0, size / GOOD_FACE_PX) if sharpness >= MIN_SHARPNESS_PROBE else Outcome.TOO_BLURRED

    def _end(self, track: Track) -> list[Event]:
        self._tracker.end(track)
        self.funnel[outcome(track)] += 1
        judgement, evidence = track.standing.judgement, track.evidence
        if judgement and evidence and self._announcer.ended(track.standing, track.taken):
            return [self._event(track, judgement, evidence)]
        return []

    def _event(self, track: Track, judgement: Judgement, evidence: Evidence) -> Event:
        return Event(
            id=uuid7(evidence.captured_at, self._randomness(10)),
            kind=EventKind.SIGHTING if judgement.kind is Kind.WATCH else EventKind.DECISION,
            camera=self._camera,
            captured_at=evidence.captured_at,
            track=track.id,
            status=None if judgement.kind is Kind.WATCH else judgement.status,
            identity_id=judgement.identity_id,
            name=judgement.name,
            distance=judgement.distance,
            runner_up_distance=judgement.runner_up_distance,
            box=evidence.box,
            picture=evidence.size,
            engine=self._engine.name,
            gallery_id=judgement.gallery_id,
            gallery_revision=judgement.gallery_revision,
            threshold=judgement.threshold,
            reason=judgement.reason,
            thumbnail=images.jpeg(evidence.thumbnail, THUMBNAIL_QUALITY),
            probe=self._kept_probe(track, judgement),
        )

    def _kept_probe(self, track: Track, judgement: Judgement) -> bytes | msgspec.UnsetType:
        """What is kept of a stranger, where the site says so."""
        if judgement.status is not Status.REJECT or judgement.identity_id is not None or not self._keeps_probes():
            return msgspec.UNSET
        return to_bytes(track.mean)


def _pause_s(judgement: Judgement, probes: int) -> float:
    """Time to the next probe of a track that was judged so after so many. A stranger is seldom anybody else later."""
    if not judgement.settled(probes):
        return QUICK_S
    if judgement.kind is not None:
        return SLOW_S
    return min(SLOWEST_S, SLOW_S * 2.0 ** min(probes - SURE_PROBES, 8))


def _urgency(track: Track) -> tuple[float, int]:
    """Whose probe comes first: of whom nothing is known, then who is nearest to somebody enrolled; the larger face."""
    judgement = track.standing.judgement
    if judgement is None:
        return -1.0, -track.face.box.area_px
    return math.inf if judgement.distance is None else judgement.distance, -track.face.box.area_px


def _importance(track: Track) -> tuple[bool, int]:
    return not track.standing.recognised, -track.face.box.area_px


def _all_seen(tracks: Iterable[Track]) -> tuple[Seen, ...]:
    return tuple(_seen(track) for track in sorted(tracks, key=_importance))


def _seen(track: Track) -> Seen:
    judgement = track.standing.judgement
    box = track.face.box
    if judgement is None or track.doubtful or track.taken < SURE_PROBES:
        return Seen(box=box, status=Status.REJECT, track=track.id)
    return Seen(
        box=box,
        status=judgement.status,
        name=judgement.name,
        identity_id=judgement.identity_id,
        distance=judgement.distance,
        track=track.id,
    )
