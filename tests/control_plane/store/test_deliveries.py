from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
import sqlalchemy as sa

from control_plane.store import alarms, deliveries, events, galleries, webhooks
from control_plane.store.alarms import AlarmKind
from control_plane.store.db import Database
from control_plane.store.deliveries import RETRY_AFTER_S, Attempt, Delivery, DeliveryState, Outcome
from control_plane.store.tables import delivery_attempts
from faces.errors import NotFound
from faces.events import Event, Status, uuid7
from tests.conftest import NOW

SECOND, DAY = timedelta(seconds=1), timedelta(days=1)


class Office:
    """One database's webhooks, with receivers that answer as a test says."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def hook(self, **wanted: Any) -> str:
        with self.database.write() as connection:
            return webhooks.create(connection, "http://h/", [Status.PASS], NOW, **wanted).id

    def event(self, at: datetime = NOW, **fields: Any) -> str:
        event = Event(id=uuid7(at, os.urandom(10)), camera="door", captured_at=at, status=Status.PASS, **fields)
        with self.database.write() as connection:
            events.append(connection, [event], site_id="default", edge_id="e", now=at)
        return str(event.id)

    def sound(self, at: datetime = NOW, subject: str = "x") -> None:
        with self.database.write() as connection:
            alarms.sound(connection, AlarmKind.DENIED_PERSON, subject, "a message", at)

    def due(self, at: datetime = NOW, **kind: Any) -> list[str]:
        with self.database.read() as connection:
            return deliveries.due(connection, at, **kind) + deliveries.due_slow(connection, at, **kind)

    def post(self, at: datetime, status: int | None = 200, **how: Any) -> bool:
        """What is first due is posted, and the receiver answers this; False if nothing is."""
        for row in self.due(at):
            with self.database.write() as connection:
                lane = deliveries.claim(connection, row, "me", at, slow=False)
                lane = lane or deliveries.claim(connection, row, "me", at, slow=True)
                assert lane is not None
                error = None if status and 200 <= status < 300 else "no"
                attempt = Attempt(at=at, duration_ms=how.pop("duration_ms", 1), status=status, error=error)
                work = deliveries.batch(connection, lane.webhook_id, at, 1)
                deliveries.settle(connection, lane, [Outcome(work=w, attempt=attempt, **how) for w in work], at)
            return True
        return False

    def listed(self, webhook_id: str, **which: Any) -> list[Delivery]:
        with self.database.read() as connection:
            return deliveries.listing(connection, webhook_id, **which)

    def shown(self, webhook_id: str) -> webhooks.Webhook:
        with self.database.read() as connection:
            return webhooks.get(connection, webhook_id)

    def alarms(self) -> list[str]:
        with self.database.read() as connection:
            return [a.kind for a in alarms.listing(connection)]

    def ask(self, work: Callable[..., Any], *given: Any) -> Any:
        with self.database.write() as connection:
            return work(connection, *given)


@pytest.fixture
def office(database: Database) -> Office:
    return Office(database)


def test_a_failed_delivery_is_due_again_by_the_schedule_until_it_is_used_up(office: Office) -> None:
    hook, now, waits = office.hook(), NOW, []
    office.event()
    for _ in range(20):
        if not office.post(now, 500, jitter=0.5):
            break
        (found,) = office.listed(hook)
        waits.append((found.due_at - now).total_seconds())
        now = max(now, found.due_at)
    assert waits[:-1] == [pytest.approx(s * 1.05) for s in (5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)]
    assert (found.state, found.attempts, found.last_status) == (DeliveryState.FAILED, 10, 500)
    tried = office.ask(deliveries.attempts, hook, found.id)
    assert [a.status for a in tried] == [500] * 10
    assert [(b.at - a.at).total_seconds() for a, b in pairwise(tried)] == waits[:-1]


def test_a_delivered_delivery_is_never_due_again(office: Office) -> None:
    hook = office.hook()
    office.event()
    assert office.post(NOW, 204)
    (found,) = office.listed(hook, state=DeliveryState.DELIVERED)
    assert (found.attempts, found.last_status, found.finished_at) == (1, 204, NOW)
    assert office.due(NOW + 29 * DAY) == []


def test_a_receiver_is_delivered_to_by_one_run_at_a_time(office: Office) -> None:
    office.hook()
    office.event()
    office.event()
    (row,) = office.due()
    assert office.ask(lambda c: deliveries.claim(c, row, "one", NOW, slow=False)) is not None
    assert office.due() == []
    assert office.ask(lambda c: deliveries.claim(c, row, "two", NOW, slow=False)) is None
    later = NOW + deliveries.LEASE
    assert office.ask(lambda c: deliveries.claim(c, row, "two", later, slow=False)) is not None


def test_each_receiver_is_due_by_the_delivery_that_waits_longest(office: Office) -> None:
    first, second = office.hook(), office.hook()
    office.event(NOW)
    office.event(NOW + SECOND)
    heads = office.due(NOW + SECOND)
    assert heads == sorted((min(office.listed(h), key=lambda d: d.due_at).id for h in (first, second)), key=heads.index)
    office.post(NOW + SECOND)
    assert len(set(office.due(NOW + SECOND)) - set(heads)) == 1
    assert len(office.due(NOW + SECOND, limit=1)) == 1


@pytest.mark.parametrize("wait_s", [7, 7200, 10 * 86400])
def test_a_retry_after_pauses_the_receiver_and_is_bounded(office: Office, wait_s: int) -> None:
    office.hook()
    office.event()
    office.event()
    office.post(NOW, 429, retry_after_s=wait_s)
    pause = min(timedelta(seconds=wait_s), DAY)
    assert office.due(NOW + pause - SECOND) == []
    assert len(office.due(NOW + pause)) == 1


def test_a_receiver_that_says_it_is_gone_is_switched_off(office: Office) -> None:
    hook = office.hook()
    office.event()
    office.event()
    office.post(NOW, 410)
    assert (office.shown(hook).enabled, office.shown(hook).disabled_because) == (False, "gone")
    assert office.alarms() == ["webhook_disabled"]
    office.event()
    assert len(office.listed(hook)) == 2
    assert office.due(NOW + DAY) == []
    office.ask(webhooks.change, hook, {"enabled": True})
    assert office.shown(hook).disabled_because is None
    assert len(office.due(NOW + DAY)) == 1


def test_five_days_of_nothing_but_failure_switch_a_webhook_off_and_raise_an_alarm(office: Office) -> None:
    hook, other = office.hook(), office.hook(alarms=True, sites=["default"])
    office.ask(webhooks.change, other, {"cameras": ["none"]})
    for day in range(6):
        office.event(NOW + day * DAY)
        assert office.shown(hook).enabled
        office.post(NOW + day * DAY, None)
    found = office.shown(hook)
    assert (found.enabled, found.disabled_because, found.failing_since) == (False, "failing", NOW)
    assert office.alarms() == ["webhook_disabled"]
    assert [d.alarm_id is not None for d in office.listed(other)] == [True]


def test_one_success_in_five_days_is_enough(office: Office) -> None:
    hook = office.hook()
    for day in range(9):
        office.event(NOW + day * DAY)
        office.post(NOW + day * DAY, 200 if day == 4 else 500)
    assert office.shown(hook).enabled
    assert office.alarms() == []


def test_a_slow_receiver_is_left_to_the_slow_threads_until_it_is_quick(office: Office) -> None:
    office.hook()
    for _ in range(3):
        office.event()

    def due(slow: bool) -> int:
        query = deliveries.due_slow if slow else deliveries.due
        return len(office.ask(query, NOW))

    office.post(NOW, None, duration_ms=15_000)
    assert (due(slow=False), due(slow=True)) == (0, 1)
    (row,) = office.due()
    assert office.ask(lambda c: deliveries.claim(c, row, "me", NOW, slow=False)) is None
    office.post(NOW, 200, duration_ms=3)
    assert (due(slow=False), due(slow=True)) == (1, 0)


def test_a_run_that_was_overtaken_takes_nothing_back(office: Office) -> None:
    hook = office.hook()
    office.event()
    (row,) = office.due()

    def overtaken(connection: sa.Connection) -> None:
        lane = deliveries.claim(connection, row, "one", NOW, slow=False)
        work = deliveries.batch(connection, hook, NOW, 9)
        assert lane is not None
        good = Attempt(at=NOW, duration_ms=1, status=200, error=None)
        bad = Attempt(at=NOW, duration_ms=1, status=None, error="no")
        deliveries.settle(connection, lane, [Outcome(work=w, attempt=good) for w in work], NOW)
        deliveries.settle(connection, lane, [Outcome(work=w, attempt=bad) for w in work], NOW)

    office.ask(overtaken)
    (found,) = office.listed(hook)
    assert found.state is DeliveryState.DELIVERED


def test_a_webhook_that_is_deleted_meanwhile_harms_no_run(office: Office) -> None:
    hook = office.hook()
    office.event()
    (row,) = office.due()

    def deleted(connection: sa.Connection) -> None:
        lane = deliveries.claim(connection, row, "one", NOW, slow=False)
        work = deliveries.batch(connection, hook, NOW, 9)
        assert lane is not None
        webhooks.delete(connection, hook)
        gone = Attempt(at=NOW, duration_ms=1, status=410, error="no")
        deliveries.settle(connection, lane, [Outcome(work=w, attempt=gone) for w in work], NOW)
        assert deliveries.due(connection, NOW) == []
        with pytest.raises(NotFound):
            webhooks.delete(connection, hook)

    office.ask(deleted)


def test_what_is_replayed_is_due_once_more_with_the_whole_schedule(office: Office) -> None:
    hook = office.hook()
    event = office.event()
    office.post(NOW)
    (row,) = office.listed(hook)
    for named in (row.id, event):
        assert office.ask(deliveries.replay, hook, [named], NOW + DAY).queued == 1
        assert office.post(NOW + DAY, 500)
        (found,) = office.listed(hook)
        assert (found.state, found.due_at) == (DeliveryState.PENDING, NOW + DAY + RETRY_AFTER_S[0] * SECOND)
    assert found.attempts == 3
    with pytest.raises(NotFound):
        office.ask(deliveries.replay, hook, ["nonsense"], NOW)


def test_an_event_of_before_the_webhook_can_be_told_by_name(office: Office) -> None:
    early = office.event()
    erased = office.event(identity_id="gone", name=None)
    hook = office.hook()
    assert office.ask(deliveries.replay, hook, [early], NOW).queued == 1
    assert [d.event_id for d in office.listed(hook)] == [early]
    with pytest.raises(NotFound):
        office.ask(deliveries.replay, hook, [erased], NOW)


def test_a_range_is_replayed_by_what_the_webhook_wants_told_before_or_not(office: Office) -> None:
    before = office.event(NOW, name="Ann")
    hook = office.hook(galleries=[galleries.DEFAULT_GALLERY], alarms=True)
    office.event(NOW + DAY, name="Ann")
    inside = [office.event(NOW + d * DAY, name="Ann", gallery_id=galleries.DEFAULT_GALLERY) for d in (1, 2)]
    office.event(NOW + 3 * DAY, name="Ann", gallery_id=galleries.DEFAULT_GALLERY)
    office.sound(NOW + 2 * DAY)
    office.event(NOW + DAY, identity_id="erased", name=None, gallery_id=galleries.DEFAULT_GALLERY)
    for _ in range(4):
        office.post(NOW + 3 * DAY)
    assert office.due(NOW + 9 * DAY) == []
    replayed = office.ask(deliveries.replay_range, hook, NOW + DAY, NOW + 3 * DAY, NOW + 9 * DAY)
    assert (replayed.queued, replayed.next_since) == (3, None)
    pending = office.listed(hook, state=DeliveryState.PENDING)
    assert {d.event_id for d in pending} == {*inside, None}
    assert before not in {d.event_id for d in office.listed(hook)}


def test_a_long_range_is_replayed_in_parts(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries, "MOST_REPLAYED", 2)
    told = [office.event(NOW + n * DAY) for n in range(5)]
    hook, since, parts = office.hook(), NOW, 0
    while since is not None:
        since = office.ask(deliveries.replay_range, hook, since, NOW + 9 * DAY, NOW).next_since
        parts += 1
    assert (parts, sorted(d.event_id or "" for d in office.listed(hook))) == (3, sorted(told))


def test_what_was_finished_long_ago_is_forgotten_with_its_attempts(office: Office) -> None:
    hook = office.hook()
    for n in range(3):
        office.event(NOW + n * DAY)
    office.post(NOW + 2 * DAY)
    office.post(NOW + 3 * DAY)
    late = NOW + 2 * DAY + deliveries.KEPT + SECOND
    assert len(office.ask(deliveries.old, late)) == 1
    assert office.ask(deliveries.forget, late) == 1
    assert office.ask(deliveries.old, late) == []
    assert [d.state for d in office.listed(hook)] == ["delivered", "pending"]
    assert len(office.ask(lambda c: c.execute(sa.select(delivery_attempts)).all())) == 1


def test_attempts_are_those_of_a_delivery_of_the_webhook(office: Office) -> None:
    hook, other = office.hook(), office.hook()
    office.event()
    (row,) = office.listed(hook)
    assert office.ask(deliveries.attempts, hook, row.id) == []
    with pytest.raises(NotFound):
        office.ask(deliveries.attempts, other, row.id)
