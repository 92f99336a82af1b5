from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from edge.decide import (
    AMBIGUOUS,
    DOUBTFUL_PROBES,
    SURE_PROBES,
    Announcer,
    Held,
    Judgement,
    Standing,
    Thresholds,
    judge,
    supports,
)
from faces.encoding import DIMENSIONS, Vector, to_bytes
from faces.events import Status
from faces.gallery import EncodingRow, Gallery, IdentityRow, Kind, Row, SettingsRow
from faces.wire import Position

NOON = datetime(2025, 6, 1, 12, 0, tzinfo=UTC)
THRESHOLDS = Thresholds(accept=0.45, named=0.6)


def at_distance(distance: float) -> Vector:
    """A unit vector at a cosine distance from the first axis."""
    vector = np.zeros(DIMENSIONS, np.float32)
    vector[0], vector[1] = 1 - distance, np.sqrt(1 - (1 - distance) ** 2)
    return vector


PROBE = at_distance(0.0)


def gallery(
    name: str, people: dict[str, float], kind: Kind = Kind.ALLOW, th_accept: float | None = None, revision: int = 1
) -> Held:
    """A gallery of people at given distances from PROBE."""
    rows: list[Row] = [SettingsRow(name, name, kind, th_accept)]
    for person, distance in people.items():
        rows += [
            IdentityRow(person, person.title()),
            EncodingRow(person, person, "sface", to_bytes(at_distance(distance))),
        ]
    return Held(name, name, kind, Position(revision, 0), Gallery.of("sface", rows))


@pytest.mark.parametrize(
    ("people", "status", "identity", "distance", "runner_up"),
    [
        ({"ada": 0.3, "bob": 0.9}, Status.PASS, "ada", 0.3, 0.9),
        ({"ada": 0.449}, Status.PASS, "ada", 0.449, None),
        ({"ada": 0.46, "bob": 0.5}, Status.REJECT, "ada", 0.46, 0.5),
        ({"ada": 0.61, "bob": 0.7}, Status.REJECT, None, 0.61, 0.7),
        ({}, Status.REJECT, None, None, None),
    ],
)
def test_one_gallery(
    people: dict[str, float], status: Status, identity: str | None, distance: float | None, runner_up: float | None
) -> None:
    judgement = judge([gallery("staff", people, revision=7)], PROBE, THRESHOLDS, NOON)
    assert (judgement.status, judgement.identity_id) == (status, identity)
    assert judgement.name == (identity.title() if identity else None)
    assert judgement.distance == (None if distance is None else pytest.approx(distance, abs=1e-5))
    assert judgement.runner_up_distance == (None if runner_up is None else pytest.approx(runner_up, abs=1e-5))
    assert judgement.threshold == 0.45
    assert (judgement.gallery_id, judgement.gallery_revision) == (("staff", 7) if people else (None, None))


@pytest.mark.parametrize(
    ("deny", "watch", "allow", "kind", "chosen"),
    [
        (0.4, 0.2, 0.1, Kind.DENY, "deny"),
        (0.5, 0.3, 0.1, Kind.WATCH, "watch"),
        (0.5, 0.5, 0.1, Kind.ALLOW, "allow"),
        (0.5, 0.55, 0.58, None, "deny"),
    ],
)
def test_deny_wins_over_watch_and_watch_over_allow(
    deny: float, watch: float, allow: float, kind: Kind | None, chosen: str
) -> None:
    galleries = [
        gallery("allow", {"ada": allow}),
        gallery("watch", {"bob": watch}, Kind.WATCH),
        gallery("deny", {"eve": deny}, Kind.DENY),
    ]
    judgement = judge(galleries, PROBE, THRESHOLDS, NOON)
    assert (judgement.kind, judgement.gallery_id) == (kind, chosen)
    assert judgement.status is (Status.PASS if kind is Kind.ALLOW else Status.REJECT)


def test_the_runner_up_is_another_person_in_any_gallery() -> None:
    galleries = [gallery("staff", {"ada": 0.2}), gallery("guests", {"ada": 0.21, "bob": 0.5})]
    judgement = judge(galleries, PROBE, THRESHOLDS, NOON)
    assert judgement.identity_id == "ada"
    assert judgement.runner_up_distance == pytest.approx(0.5, abs=1e-5)


@pytest.mark.parametrize(
    ("ada", "bob", "kind", "passes"),
    [
        (0.30, 0.36, Kind.ALLOW, True),
        (0.30, 0.34, Kind.ALLOW, False),
        (0.44, 0.46, Kind.ALLOW, False),
        (0.30, 0.52, Kind.WATCH, True),
    ],
)
@pytest.mark.parametrize("together", [True, False], ids=["one gallery", "two galleries"])
def test_nobody_passes_while_another_who_is_admitted_is_as_near(
    ada: float, bob: float, kind: Kind, passes: bool, together: bool
) -> None:
    staff = {"ada": ada, "bob": bob} if together and kind is Kind.ALLOW else {"ada": ada}
    galleries = [gallery("staff", staff), gallery("others", {} if together else {"bob": bob}, kind)]
    judgement = judge(galleries, PROBE, THRESHOLDS, NOON)
    assert (judgement.status is Status.PASS, judgement.name) == (passes, "Ada")
    assert judgement.reason == (None if passes else AMBIGUOUS)


def test_two_who_are_denied_are_denied_though_they_look_alike() -> None:
    judgement = judge([gallery("no", {"eve": 0.3, "mal": 0.31}, Kind.DENY)], PROBE, THRESHOLDS, NOON)
    assert (judgement.kind, judgement.identity_id) == (Kind.DENY, "eve")


def test_a_gallery_s_own_threshold_decides_for_it() -> None:
    strict = gallery("safe", {"ada": 0.4}, th_accept=0.35)
    assert judge([strict], PROBE, THRESHOLDS, NOON).status is Status.REJECT
    assert judge([strict], PROBE, THRESHOLDS, NOON).threshold == 0.35
    assert judge([strict, gallery("staff", {"ada": 0.4})], PROBE, THRESHOLDS, NOON).gallery_id == "staff"


def test_somebody_whose_time_is_over_is_no_candidate() -> None:
    guest = IdentityRow("ada", "Ada", valid_until=NOON)
    held = Held(
        "g",
        "g",
        Kind.ALLOW,
        Position(1, 0),
        Gallery.of("sface", [guest, EncodingRow("e", "ada", "sface", to_bytes(PROBE))]),
    )
    assert judge([held], PROBE, THRESHOLDS, NOON - timedelta(seconds=1)).status is Status.PASS
    assert judge([held], PROBE, THRESHOLDS, NOON) == Judgement(threshold=0.45)


@pytest.mark.parametrize(
    ("distance", "threshold", "supported"),
    [(0.3, 0.45, True), (0.59, 0.45, True), (0.61, 0.45, False), (0.61, 0.65, True)],
)
def test_a_probe_alone_must_be_near_the_person_recognised(distance: float, threshold: float, supported: bool) -> None:
    galleries = [gallery("guests", {"bob": 0.1}), gallery("staff", {"ada": 0.0, "bob": 0.1})]
    ada = Judgement(kind=Kind.ALLOW, identity_id="ada", threshold=threshold, gallery_id="staff")
    assert supports(galleries, at_distance(distance), ada, THRESHOLDS) is supported


def passed(identity: str = "ada") -> Judgement:
    return Judgement(status=Status.PASS, kind=Kind.ALLOW, identity_id=identity, distance=0.3, threshold=0.45)


STRANGER = Judgement(distance=0.9, threshold=0.45)
DOUBTFUL = Judgement(identity_id="ada", distance=0.5, threshold=0.45)


@pytest.mark.parametrize(
    ("judgement", "probes"), [(passed(), SURE_PROBES), (STRANGER, SURE_PROBES), (DOUBTFUL, DOUBTFUL_PROBES)]
)
def test_an_event_takes_enough_probes(judgement: Judgement, probes: int) -> None:
    announcer, standing = Announcer(5), Standing()
    told = [announcer.probed(standing, judgement, taken, taken * 0.1) for taken in range(1, probes + 3)]
    assert told == [False] * (probes - 1) + [True, False, False]


def test_somebody_who_stays_passes_again_after_each_cooldown() -> None:
    announcer, standing = Announcer(1.0), Standing()
    told = [n / 30 for n in range(91) if announcer.probed(standing, passed(), 9, n / 30)]
    assert told == [0, 1, 2, 3]


def test_the_cooldown_is_each_identity_s_own_and_outlives_the_track() -> None:
    announcer = Announcer(5)
    assert announcer.probed(Standing(), passed("ada"), 3, 0.0)
    assert announcer.probed(Standing(), passed("bob"), 3, 0.1)
    assert not announcer.probed(Standing(), passed("ada"), 3, 4.9)
    assert announcer.probed(Standing(), passed("ada"), 3, 5.0)


def test_somebody_denied_is_an_event_after_each_cooldown_too() -> None:
    announcer, standing = Announcer(5), Standing()
    denied = Judgement(kind=Kind.DENY, identity_id="eve", distance=0.3, threshold=0.45)
    assert [announcer.probed(standing, denied, 3, moment) for moment in (0, 4, 5)] == [True, False, True]


def test_a_slow_pass_is_not_preceded_by_a_reject() -> None:
    announcer, standing = Announcer(5), Standing()
    assert not any(announcer.probed(standing, DOUBTFUL, taken, taken * 0.1) for taken in range(1, DOUBTFUL_PROBES))
    assert announcer.probed(standing, passed(), DOUBTFUL_PROBES, 2.0)
    assert not announcer.probed(standing, DOUBTFUL, 20, 3.0), "nor followed by one"
    assert not announcer.ended(standing, 20)


def test_a_stranger_s_track_is_one_event_even_at_its_end() -> None:
    announcer, standing = Announcer(5), Standing()
    assert announcer.probed(standing, STRANGER, SURE_PROBES, 0.0)
    assert not announcer.ended(standing, SURE_PROBES)


@pytest.mark.parametrize(("probes", "told"), [(SURE_PROBES - 1, False), (SURE_PROBES, True)])
def test_a_doubtful_track_that_ends_is_a_stranger_s_if_there_were_enough_looks(probes: int, told: bool) -> None:
    announcer, standing = Announcer(5), Standing()
    for taken in range(1, probes + 1):
        announcer.probed(standing, DOUBTFUL, taken, taken * 0.1)
    assert announcer.ended(standing, probes) is told


def test_a_track_without_a_probe_ends_without_an_event() -> None:
    assert not Announcer(5).ended(Standing(), 0)


def test_somebody_erased_while_in_sight_is_a_stranger_from_then_on() -> None:
    announcer, standing = Announcer(1), Standing()
    assert announcer.probed(standing, passed(), 3, 0.0)
    announcer.changed(standing, STRANGER)
    assert announcer.probed(standing, STRANGER, 4, 2.0), "one REJECT"
    assert not announcer.probed(standing, STRANGER, 5, 4.0)


def test_a_rejected_stranger_who_is_enrolled_passes() -> None:
    announcer, standing = Announcer(1), Standing()
    assert announcer.probed(standing, STRANGER, 3, 0.0)
    announcer.changed(standing, passed())
    assert announcer.probed(standing, passed(), 4, 0.5)


@pytest.mark.parametrize(
    ("kind", "status", "reason"),
    [
        (Kind.ALLOW, Status.REJECT, "lease_expired"),
        (Kind.DENY, Status.REJECT, "deny"),
        (Kind.WATCH, Status.REJECT, "watch"),
    ],
)
def test_without_a_lease_nobody_passes_and_deny_and_watch_keep_working(kind: Kind, status: Status, reason: str) -> None:
    held = gallery("people", {"ada": 0.2}, kind)
    judgement = judge([held], PROBE, THRESHOLDS, NOON, admits=False)
    assert (judgement.status, judgement.reason) == (status, reason)
    assert (judgement.kind, judgement.name, judgement.identity_id) == (kind, "Ada", "ada")
    assert judge([held], PROBE, THRESHOLDS, NOON).reason == (None if kind is Kind.ALLOW else kind.value)
    stranger = judge([gallery("people", {"ada": 0.9}, kind)], PROBE, THRESHOLDS, NOON, admits=False)
    assert (stranger.status, stranger.reason) == (Status.REJECT, None)
