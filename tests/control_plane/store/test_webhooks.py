from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from control_plane.store import alarms, deliveries, events, galleries, sites, webhooks
from control_plane.store.alarms import AlarmKind
from control_plane.store.db import Database
from control_plane.store.webhooks import Webhook
from faces.errors import Invalid, NotFound
from faces.events import Event, EventKind, Status, uuid7
from tests.conftest import NOW

SECOND = timedelta(seconds=1)
SITE = sites.DEFAULT_SITE


def event(**fields: Any) -> Event:
    values: dict[str, Any] = {"camera": "door", "captured_at": NOW, "status": Status.PASS, "gallery_id": "g1"}
    return Event(id=uuid7(NOW, bytes(10)), **{**values, **fields})


def hook(**fields: Any) -> Webhook:
    values: dict[str, Any] = {
        "id": "w", "url": "http://h/", "statuses": [Status.PASS], "sites": [], "cameras": [], "galleries": [],
        "alarms": False, "enabled": True, "disabled_because": None, "failing_since": None, "created_at": NOW,
    }  # fmt: skip
    return Webhook(**{**values, **fields})


@pytest.mark.parametrize(
    ("filters", "wanted"),
    [
        ({}, True),
        ({"statuses": [Status.REJECT]}, False),
        ({"statuses": []}, False),
        ({"sites": [SITE]}, True),
        ({"sites": ["elsewhere"]}, False),
        ({"cameras": ["door", "gate"]}, True),
        ({"cameras": ["gate"]}, False),
        ({"galleries": ["g1"]}, True),
        ({"galleries": ["g2"]}, False),
        ({"galleries": ["g1"], "cameras": ["gate"]}, False),
    ],
)
def test_an_event_is_wanted_where_every_filter_lets_it_through(filters: dict[str, Any], wanted: bool) -> None:
    assert hook(**filters).wants(event(), SITE) is wanted
    assert not hook(**filters).wants(event(kind=EventKind.CAMERA_LOST, status=None), SITE)


@pytest.mark.parametrize(("status", "wanted"), [(Status.PASS, False), (Status.REJECT, True)])
def test_a_sighting_is_told_to_those_who_ask_for_whom_no_gate_let_in(status: Status, wanted: bool) -> None:
    seen = event(kind=EventKind.SIGHTING, status=None, reason="watch")
    assert hook(statuses=[status]).wants(seen, SITE) is wanted
    assert not hook(statuses=[status], galleries=["g2"]).wants(seen, SITE)


@pytest.mark.parametrize(
    ("filters", "site", "gallery", "wanted"),
    [
        ({}, None, None, False),
        ({"alarms": True}, None, None, True),
        ({"alarms": True, "sites": ["s"]}, "s", None, True),
        ({"alarms": True, "sites": ["s"]}, "t", None, False),
        ({"alarms": True, "sites": ["s"]}, None, None, True),
        ({"alarms": True, "galleries": ["g"]}, "s", "h", False),
        ({"alarms": True, "cameras": ["c"]}, "s", "h", True),
    ],
)
def test_an_alarm_is_wanted_where_its_site_and_gallery_are(
    filters: dict[str, Any], site: str | None, gallery: str | None, wanted: bool
) -> None:
    assert hook(**filters).wants_alarm(site, gallery) is wanted


def test_an_alarm_is_told_once_while_it_is_open(database: Database) -> None:
    with database.write() as connection:
        asks = webhooks.create(connection, "http://h/1", [], NOW, alarms=True)
        webhooks.create(connection, "http://h/2", [Status.PASS], NOW)
        off = webhooks.create(connection, "http://h/3", [], NOW, alarms=True)
        webhooks.change(connection, off.id, {"enabled": False})
        for _ in range(2):
            alarms.sound(connection, AlarmKind.DENIED_PERSON, "x", "a message", NOW, site_id=SITE)
        (alarm,) = alarms.listing(connection)
        told = [d for h in webhooks.listing(connection) for d in deliveries.listing(connection, h.id)]
        assert [(d.webhook_id, d.alarm_id, d.event_id) for d in told] == [(asks.id, alarm.id, None)]


def test_a_secret_is_kept_beside_its_successor_for_a_while(database: Database) -> None:
    with database.write() as connection:
        made = webhooks.create(connection, "http://h/", [Status.PASS], NOW)
        assert webhooks.secrets(connection, made.id, NOW) == [made.secret]
        second = webhooks.rotate(connection, made.id, 10 * SECOND, NOW + SECOND)
        assert second.old_valid_until == NOW + 11 * SECOND
        assert webhooks.secrets(connection, made.id, NOW + 10 * SECOND) == [second.secret, made.secret]
        assert webhooks.secrets(connection, made.id, NOW + 11 * SECOND) == [second.secret]
        third = webhooks.rotate(connection, made.id, 10 * SECOND, NOW + 2 * SECOND)
        assert webhooks.secrets(connection, made.id, NOW + 2 * SECOND) == [third.secret, second.secret]
        assert len({made.secret, second.secret, third.secret}) == 3
        assert made.secret not in repr(made)
        assert second.secret not in repr(second)
        with pytest.raises(NotFound):
            webhooks.rotate(connection, "nonsense", SECOND, NOW)


def test_a_webhook_that_would_be_told_nothing_is_refused(database: Database) -> None:
    with database.write() as connection:
        made = webhooks.create(connection, "http://h/", [], NOW, alarms=True, sites=[SITE])
        for changed in ({"alarms": False}, {"sites": ["nowhere"]}, {"galleries": ["nothing"]}):
            with pytest.raises(Invalid):
                webhooks.change(connection, made.id, changed)
        after = webhooks.change(connection, made.id, {"galleries": [galleries.DEFAULT_GALLERY], "url": "http://i/"})
        assert (after.url, after.sites, after.galleries) == ("http://i/", [SITE], [galleries.DEFAULT_GALLERY])
        assert webhooks.change(connection, made.id, {}) == after


def test_each_webhook_with_something_to_be_told_is_named_once(database: Database) -> None:
    told = [event(), Event(id=uuid7(NOW, b"1234567890"), camera="d", captured_at=NOW, status=Status.PASS)]
    with database.write() as connection:
        for _ in range(2):
            webhooks.create(connection, "http://h/", [Status.PASS], NOW)
        events.append(connection, told, site_id=SITE, edge_id="e", now=NOW)
        found = webhooks.pending_of(connection, [str(e.id) for e in told])
        hooks = {
            d.webhook_id
            for h in webhooks.listing(connection)
            for d in deliveries.listing(connection, h.id)
            if d.id in found
        }
        assert (len(found), len(hooks)) == (2, 2)
        assert webhooks.pending_of(connection, ["nonsense"]) == []
