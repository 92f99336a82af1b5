from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from control_plane.store import (
    deliveries,
    enrollments,
    failures,
    galleries,
    identifications,
    import_items,
    imports,
    reencodings,
    webhooks,
)
from control_plane.store import identities as people
from control_plane.store.db import Database
from control_plane.store.deliveries import RETRY_AFTER_S, DeliveryState
from control_plane.store.failures import Failure, Kind
from control_plane.store.import_items import NewItem
from control_plane.store.tables import identities, photos, reencoding_refusals
from faces.encoding import FACE_RECOGNITION
from faces.errors import NotFound, Reason
from tests.conftest import NOW
from tests.control_plane.store.test_deliveries import Office

G = galleries.DEFAULT_GALLERY
LATER = NOW + timedelta(days=4)
WHY: dict[str, Any] = {"reason": Reason.INTERNAL, "message": "each attempt broke off"}


@pytest.fixture
def office(database: Database) -> Office:
    return Office(database)


def a_failed_delivery(office: Office, hook: str, **fields: Any) -> str:
    event = office.event(**fields)
    at = NOW
    for wait_s in (*RETRY_AFTER_S, 0):
        assert office.post(at, 500)
        at += timedelta(seconds=wait_s * 1.2)
    (failed,) = [d for d in office.listed(hook, state=DeliveryState.FAILED) if d.event_id == event]
    return failed.id


def a_refused_enrollment(office: Office, **why: Any) -> str:
    made = office.ask(lambda c: enrollments.submit(c, NOW, gallery_id=G, blob="photos/x", sha256="", name="Ann"))
    office.ask(lambda c: enrollments.refuse(c, made, NOW, **(WHY | why)))
    return str(made)


def a_refused_identification(office: Office) -> str:
    made = office.ask(lambda c: identifications.submit(c, NOW, galleries=[G], blob="photos/y"))
    work = office.ask(lambda c: identifications.claim(c, made, "me", NOW))
    office.ask(lambda c: identifications.refuse(c, work, "me", NOW, LATER, **WHY))
    return str(made)


def a_failed_import(office: Office, at: datetime = NOW) -> str:
    made = office.ask(lambda c: imports.submit(c, NOW, gallery_id=G, blob="archives/x"))
    error = {"code": Reason.UNREADABLE_ARCHIVE, "message": "this is no ZIP", "remedy": ""}
    office.ask(lambda c: imports.fail(c, made, at, error))
    return str(made)


def a_photo_that_an_import_gave_up(office: Office) -> str:
    made = office.ask(lambda c: imports.submit(c, NOW, gallery_id=G, blob="archives/y"))
    items = [
        NewItem(seq=0, entry="ann.jpg", gallery_id=G, reason=Reason.NO_FACE, message="no face"),
        NewItem(seq=1, entry="bob.jpg", gallery_id=G, **WHY),
    ]
    office.ask(lambda c: import_items.add(c, made, items))
    return f"{made}:1"


def a_photo_that_a_change_of_the_engine_gave_up(office: Office) -> str:
    made = office.ask(lambda c: reencodings.begin(c, FACE_RECOGNITION, NOW))
    rows = [
        (identities, {"id": "ann", "name": "Ann", "attributes": {}, "hash": 0}),
        (photos, {"id": "p", "identity_id": "ann", "blob": "photos/p", "sha256": "", "quality": {}}),
    ]
    for table, row in rows:
        office.ask(lambda c, t=table, r=row: c.execute(t.insert().values(created_at=NOW, **r)))
    office.ask(lambda c: c.execute(reencoding_refusals.insert().values(reencoding_id=made, photo_id="p", **WHY)))
    office.ask(lambda c: reencodings.plan(c, made, "sface"))
    assert office.ask(lambda c: reencodings.get(c, made)).state is reencodings.State.READY
    return f"{made}:p"


def listed(office: Office, kind: Kind) -> list[Failure]:
    found: list[Failure] = office.ask(lambda c: failures.newest(c, kind, 10))
    return found


def retried(office: Office, *ids: str) -> list[str]:
    return [f.id for f in office.ask(lambda c: failures.retry(c, failures.named(c, ids), LATER))]


def test_all_that_failed_for_good_is_listed_and_no_answer_to_who_sent_a_photo(office: Office) -> None:
    hook = office.hook()
    a_refused_enrollment(office, reason=Reason.NO_FACE)
    expected = {
        Kind.DELIVERY: a_failed_delivery(office, hook),
        Kind.ENROLLMENT: a_refused_enrollment(office),
        Kind.IDENTIFICATION: a_refused_identification(office),
        Kind.IMPORT: a_failed_import(office),
        Kind.IMPORT_PHOTO: a_photo_that_an_import_gave_up(office),
        Kind.REENCODED_PHOTO: a_photo_that_a_change_of_the_engine_gave_up(office),
    }
    office.event()
    assert office.ask(failures.counts) == dict.fromkeys(Kind, 1)
    found = {kind: listed(office, kind) for kind in Kind}
    assert {kind: [f.id for f in of_kind] for kind, of_kind in found.items()} == {k: [i] for k, i in expected.items()}
    assert {f.id for f in office.ask(failures.named, list(expected.values()))} == set(expected.values())
    (delivery,), (archive,) = found[Kind.DELIVERY], found[Kind.IMPORT]
    assert (delivery.message, delivery.attempts) == (f"webhook {hook}: no", len(RETRY_AFTER_S) + 1)
    assert (archive.reason, archive.message) == ("unreadable_archive", "this is no ZIP")
    assert {f.reason for kind in (Kind.ENROLLMENT, Kind.IMPORT_PHOTO) for f in found[kind]} == {"internal"}
    retriable = {kind for kind, (failure,) in found.items() if failure.obstacle is None}
    assert retriable == {Kind.DELIVERY, Kind.REENCODED_PHOTO}


def test_the_newest_come_first_and_no_more_than_asked_for(office: Office) -> None:
    second, first = a_failed_import(office, LATER), a_failed_import(office)
    assert [f.id for f in listed(office, Kind.IMPORT)] == [second, first]
    assert [f.id for f in office.ask(failures.newest, Kind.IMPORT, 1)] == [second]


def test_a_delivery_is_due_once_more_by_a_retry_and_by_a_second_one_no_more(office: Office) -> None:
    hook = office.hook()
    failed = a_failed_delivery(office, hook)
    (seen,) = office.ask(failures.named, [failed])
    assert retried(office, failed) == [failed]
    assert office.post(LATER)
    assert retried(office, failed) == []
    # Somebody who has seen it fail comes too late.
    assert office.ask(failures.retry, [seen], LATER) == []
    assert [d.state for d in office.listed(hook)] == [DeliveryState.DELIVERED]
    assert not office.post(LATER)


def test_what_failed_to_be_told_of_somebody_erased_is_told_no_more(office: Office) -> None:
    person = office.ask(lambda c: people.create(c, "Ann", [G], NOW))
    hook = office.hook()
    failed = a_failed_delivery(office, hook, identity_id=person, name="Ann")
    (seen,) = office.ask(failures.named, [failed])
    office.ask(lambda c: people.erase(c, person, NOW))
    assert [f.obstacle for f in listed(office, Kind.DELIVERY)] == [failures.ERASED]
    assert office.ask(failures.retry, [seen], LATER) == []
    with pytest.raises(NotFound):
        office.ask(deliveries.replay, hook, [failed], LATER)


def test_what_fails_anew_has_the_whole_schedule_before_it(office: Office) -> None:
    failed = a_failed_delivery(office, office.hook())
    retried(office, failed)
    assert office.post(LATER, 500)
    assert office.ask(failures.counts) == {}
    assert office.post(LATER + timedelta(seconds=6))


def test_to_a_webhook_that_is_switched_off_nothing_is_retried(office: Office) -> None:
    hook = office.hook()
    failed = a_failed_delivery(office, hook)
    office.ask(webhooks.change, hook, {"enabled": False})
    assert [f.obstacle for f in listed(office, Kind.DELIVERY)] == [failures.SWITCHED_OFF]
    assert retried(office, failed) == []
    office.ask(webhooks.change, hook, {"enabled": True})
    assert retried(office, failed) == [failed]


def test_a_change_of_the_engine_that_was_ready_goes_on_with_the_photo(office: Office) -> None:
    photo = a_photo_that_a_change_of_the_engine_gave_up(office)
    reencoding_id = photo.partition(":")[0]
    assert retried(office, photo) == [photo]
    assert retried(office, photo) == []
    office.ask(reencodings.plan, reencoding_id, "sface")
    (chunk,) = office.ask(reencodings.due, LATER)
    assert [p.id for p in office.ask(reencodings.claim, chunk, "me", LATER).photos] == ["p"]


def test_a_change_of_the_engine_that_is_over_stays_as_it_is(office: Office) -> None:
    photo = a_photo_that_a_change_of_the_engine_gave_up(office)
    (seen,) = listed(office, Kind.REENCODED_PHOTO)
    office.ask(reencodings.cancel, photo.partition(":")[0])
    assert [f.obstacle for f in listed(office, Kind.REENCODED_PHOTO)] == [failures.OVER]
    # Also for who has seen it while it was under way.
    assert office.ask(failures.retry, [seen], LATER) == []


def test_pages_hold_each_once_in_order_and_only_what_can_be_retried(office: Office) -> None:
    hook = office.hook()
    failed = sorted(a_failed_delivery(office, hook) for _ in range(3))
    first = office.ask(failures.page, Kind.DELIVERY, "", 2)
    rest = office.ask(failures.page, Kind.DELIVERY, first[-1].id, 2)
    assert [f.id for f in first + rest] == failed
    a_failed_import(office)
    assert office.ask(failures.page, Kind.IMPORT, "") == []
