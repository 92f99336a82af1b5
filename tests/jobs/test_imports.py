"""An import from archive to outcomes, on real faces."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from control_plane.store import enrollments, galleries, identities, import_chunks, import_items, imports
from control_plane.store.db import Database
from control_plane.store.imports import State
from control_plane.store.tables import imports as imports_table
from faces.engine import Engine
from faces.errors import Conflict, Reason
from faces.gallery import Kind, SettingsRow
from jobs.admission import Admission
from jobs.looking import Looking
from tests.conftest import NOW

G = galleries.DEFAULT_GALLERY


def test_every_photo_of_an_archive_gets_its_own_outcome(office: Any, portraits: dict[str, bytes]) -> None:
    done = office.take(
        {
            "biden.jpg": portraits["biden"],
            "obama/1.jpg": portraits["obama"],
            "obama/2.jpg": portraits["obama2"],
            "obama/again.jpg": portraits["obama"],
            "stranger.jpg": portraits["obama"],
            "pair.jpg": portraits["two_people"],
            "broken.png": b"not a picture",
            "notes.txt": b"hello",
        }
    )
    assert (done.state, done.accepted, done.duplicates, done.refused, done.pending) == (State.DONE, 3, 1, 3, 0)
    assert done.skipped == {"other": 1}
    assert office.people() == {"biden": 1, "obama": 2}
    assert office.outcomes(done.id) == {
        "biden.jpg": "accepted",
        "obama/1.jpg": "accepted",
        "obama/2.jpg": "accepted",
        "obama/again.jpg": "duplicate",
        "stranger.jpg": "look_alike",
        "pair.jpg": "several_faces",
        "broken.png": "not_an_image",
    }
    refused = next(i for i in office.items(done.id) if i.entry == "stranger.jpg")
    assert (refused.detail["name"], refused.detail["distance"]) == ("obama", 0)
    assert not [f for f in office.files() if f.startswith("archives")]
    office.checksum()


def test_the_same_archive_again_adds_nothing(office: Any, portraits: dict[str, bytes]) -> None:
    archive = {"biden.jpg": portraits["biden"], "obama.jpg": portraits["obama"]}
    office.take(archive)
    files, checksum = office.files(), office.checksum()
    again = office.take(archive)
    assert (again.accepted, again.duplicates) == (0, 2)
    assert (office.files(), office.checksum()) == (files, checksum)


def test_a_manifest_says_more_than_the_names_do(office: Any, portraits: dict[str, bytes]) -> None:
    manifest = (
        "file,name,external_id,valid_until,floor\r\n"
        'deep/er/a.jpg,"Biden, Joe",b-1,2031-05-01,3\r\n'
        "b.jpg,,o-1,,\r\n"
        "missing.jpg,Nobody,,,\r\n"
        "c.jpg,Lin,,some day,\r\n"
    )
    done = office.take(
        {
            "deep/er/a.jpg": portraits["biden"],
            "b.jpg": portraits["obama"],
            "c.jpg": portraits["lin-manuel-miranda"],
            "manifest.csv": manifest.encode(),
        }
    )
    assert office.outcomes(done.id) == {
        "deep/er/a.jpg": "accepted",
        "b.jpg": "accepted",
        "c.jpg": "bad_manifest",
        "missing.jpg": "bad_manifest",
    }
    with office.database.read() as connection:
        biden, obama = identities.listing(connection)
    assert (biden.name, biden.external_id, biden.attributes) == ("Biden, Joe", "b-1", {"floor": "3"})
    assert biden.valid_until == datetime(2031, 5, 1, 23, 59, 59, 999999, UTC)
    assert (obama.name, obama.external_id) == ("b", "o-1")


def test_an_external_id_says_who_it_is_whatever_the_name(office: Any, portraits: dict[str, bytes]) -> None:
    office.take({"o.jpg": portraits["obama"], "manifest.csv": b"file,name,external_id\no.jpg,Barack,o-1\n"})
    office.take({"x.jpg": portraits["obama2"], "manifest.csv": b"file,name,external_id\nx.jpg,B. Obama,o-1\n"})
    assert office.people() == {"Barack": 2}


def test_a_manifest_brings_consent_and_without_it_nobody_comes_in_where_it_is_required(
    sqlite: Database, tmp_path: Path, engine: Engine, office_type: Any, portraits: dict[str, bytes]
) -> None:
    office = office_type(sqlite, tmp_path / "blobs", engine, require_consent=True)
    manifest = (
        b"file,name,consent_basis,consent_given_at,consent_until\n"
        b"o.jpg,Barack,contract,2026-01-01,2999-12-31\n"
        b"b.jpg,Joe,,,\n"
        b"l.jpg,Lin,contract,,2020-01-01\n"
        b"a.jpg,Alex,,2026-01-01,\n"
    )
    files = {"o": "obama", "b": "biden", "l": "lin-manuel-miranda", "a": "alex-lacamoire"}
    archive = {f"{short}.jpg": portraits[name] for short, name in files.items()}
    for asked in ({"dry_run": True}, {}):
        done = office.take({**archive, "manifest.csv": manifest}, **asked)
        assert office.outcomes(done.id) == {
            "o.jpg": "accepted",
            "b.jpg": "consent_missing",
            "l.jpg": "consent_missing",
            "a.jpg": "bad_manifest",
        }
    with sqlite.read() as connection:
        (barack,) = identities.listing(connection)
    assert (barack.consent_basis, barack.valid_until) == ("contract", None)
    assert f"{barack.consent_given_at:%Y-%m-%d %H:%M}" == "2026-01-01 00:00"
    assert f"{barack.consent_until:%Y-%m-%d %H:%M}" == "2999-12-31 23:59"
    office.checksum()


@pytest.mark.parametrize("photo", ["obama", "obama2"], ids=["the same photo", "another photo"])
def test_somebody_known_comes_into_the_manifests_gallery_until_that_is_undone(
    office: Any, portraits: dict[str, bytes], photo: str
) -> None:
    office.ask(galleries.create, SettingsRow("guests", "Guests", Kind.ALLOW), datetime.now(UTC))
    office.take({"o.jpg": portraits["obama"], "manifest.csv": b"file,name,external_id\no.jpg,Barack,o-1\n"})
    before = office.people(), office.files(), office.checksum()
    manifest = b"file,external_id,gallery\no.jpg,o-1,guests\n"
    done = office.take({"o.jpg": portraits[photo], "manifest.csv": manifest})

    def guests() -> list[str]:
        with office.database.read() as connection:
            assert galleries.position(connection, "guests").checksum == galleries.recomputed_checksum(
                connection, "guests"
            )
            return [i.name for i in identities.listing(connection, gallery_id="guests")]

    assert (done.refused, guests()) == (0, ["Barack"])
    office.undo(done.id)
    assert guests() == []
    assert (office.people(), office.files()) == before[:2]
    office.checksum()


def test_a_dry_run_reports_everything_and_changes_nothing(office: Any, portraits: dict[str, bytes]) -> None:
    office.take({"Barack.jpg": portraits["obama"]})
    files, checksum = office.files(), office.checksum()
    archive = {
        "double.jpg": portraits["obama2"],
        "joe.jpg": portraits["biden"],
        "joe/same.jpg": portraits["biden"],
        "twin.jpg": portraits["biden"],
        "wall.jpg": portraits["two_people"],
    }
    found = office.take(archive, dry_run=True)
    assert (found.state, found.dry_run) == (State.DONE, True)
    expected = {
        "double.jpg": "look_alike",
        "joe.jpg": "accepted",
        "joe/same.jpg": "duplicate",
        "twin.jpg": "look_alike",
        "wall.jpg": "several_faces",
    }
    assert office.outcomes(found.id) == expected
    details = {i.entry: i.detail for i in office.items(found.id)}
    assert details["double.jpg"]["name"] == "Barack"
    assert (details["twin.jpg"]["name"], details["twin.jpg"]["entry"]) == ("joe", "joe.jpg")
    assert (office.people(), office.files(), office.checksum()) == ({"Barack": 1}, files, checksum)
    assert office.outcomes(office.take(archive).id) == expected
    with pytest.raises(Conflict), office.database.write() as connection:
        imports.reopen(connection, found.id)


def test_a_dry_run_that_broke_off_comes_to_the_same_end(
    office: Any, people: dict[str, list[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("control_plane.store.imports.PAGE", 2)
    archive = {f"{name}/{n}.jpg": photo for name, photos in people.items() for n, photo in enumerate(photos[:2])}
    whole = office.outcomes(office.take(archive, dry_run=True).id)
    broken = office.hand_in(archive, dry_run=True)
    office.planning.run(broken)
    for key in office.due(import_chunks.due):
        office.looking.run(key)
        office.admitting.run(broken)
    assert office.outcomes(office.work(broken).id) == whole


def test_an_operator_accepts_look_alikes_one_or_all(office: Any, portraits: dict[str, bytes]) -> None:
    done = office.take({"a.jpg": portraits["obama"], "b.jpg": portraits["obama2"], "c.jpg": portraits["obama"]})
    assert (done.accepted, done.refused) == (1, 2)

    def accept(seqs: list[int]) -> None:
        office.ask(imports.reopen, done.id)
        office.ask(import_items.accept, done.id, seqs)
        assert office.work(done.id).state is State.DONE

    accept([1])
    assert office.people() == {"a": 1, "b": 1}
    with office.database.read() as connection:
        assert import_items.acceptable(connection, done.id) == [2]
    accept([2])
    assert office.people() == {"a": 1, "b": 1, "c": 1}
    assert office.undo(done.id).state is State.UNDONE
    assert (office.people(), office.files()) == ({}, set())


def test_photos_that_are_accepted_after_all_while_the_import_ends_are_enrolled(
    office: Any, portraits: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    row = office.hand_in({"a.jpg": portraits["obama"], "b.jpg": portraits["obama2"]})
    office.planning.run(row)
    office.looking.run(row)
    delete = office.blobs.delete

    def accept_meanwhile(names: Iterable[str | None]) -> None:
        """The archive is deleted once nothing is left to admit, and before the import is done."""
        delete(names)
        if office.outcomes(row)["b.jpg"] == "look_alike":
            office.ask(import_items.accept, row, [1])

    monkeypatch.setattr(office.blobs, "delete", accept_meanwhile)
    office.admitting.run(row)
    assert office.work(row).state is State.DONE
    assert office.people() == {"a": 1, "b": 1}


def test_photos_for_a_gallery_that_is_deleted_meanwhile_are_refused(office: Any, portraits: dict[str, bytes]) -> None:
    office.ask(galleries.create, SettingsRow("staff", "Our staff"), NOW)
    manifest = b"file,name,gallery\na.jpg,Barack,Our staff\nb.jpg,Joe,default\n"
    row = office.hand_in({"a.jpg": portraits["obama"], "b.jpg": portraits["biden"], "manifest.csv": manifest})
    office.planning.run(row)
    office.ask(galleries.delete, "staff")
    assert office.work(row).state is State.DONE
    assert office.outcomes(row) == {"a.jpg": "bad_manifest", "b.jpg": "accepted"}


def test_an_import_that_is_forced_takes_look_alikes(office: Any, portraits: dict[str, bytes]) -> None:
    done = office.take({"a.jpg": portraits["obama"], "b.jpg": portraits["obama2"]}, force=True)
    assert done.accepted == 2


def test_the_archives_order_decides_whoever_encodes_first(
    office: Any, portraits: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_chunks, "SIZE", 1)
    monkeypatch.setattr("jobs.planning.BATCH", 2)
    names = ("first.jpg", "second.jpg", "third.jpg")
    row = office.hand_in(dict(zip(names, (portraits[n] for n in ("obama", "obama2", "biden")), strict=True)))
    office.planning.run(row)
    office.ask(import_chunks.claim, row, "slow", datetime.now(UTC))
    office.looking.run(row)
    office.looking.run(row)
    office.admitting.run(row)
    assert (office.people(), office.due(imports.admissible)) == ({}, [])
    expire(office)
    office.work(row)
    assert office.outcomes(row) == {"first.jpg": "accepted", "second.jpg": "look_alike", "third.jpg": "accepted"}


def test_an_encoder_goes_on_from_chunk_to_chunk_until_its_time_is_up(
    office: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_chunks, "SIZE", 2)
    monkeypatch.setattr("jobs.planning.BATCH", 2)
    row = office.hand_in({f"{n}.jpg": b"x" for n in range(6)})
    office.planning.run(row)
    office.looking.run(row)
    assert list(office.outcomes(row).values()) == ["not_an_image"] * 2 + ["planned"] * 4
    Looking(office.database, office.blobs, office.engine, lambda: datetime.now(UTC), stay=timedelta(minutes=1)).run(row)
    assert set(office.outcomes(row).values()) == {"not_an_image"}


def test_an_import_is_due_for_as_many_encoders_as_it_has_chunks_but_for_no_more_than_are_woken(
    office: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_chunks, "SIZE", 2)
    monkeypatch.setattr("jobs.planning.BATCH", 2)
    row = office.hand_in({f"{n}.jpg": b"x" for n in range(6)})
    office.planning.run(row)
    assert office.due(partial(import_chunks.due, wake=2)) == [f"{row}:0", f"{row}:1"]
    assert len(office.due(import_chunks.due)) == 3
    office.ask(import_chunks.claim, row, "one", datetime.now(UTC))
    assert len(office.due(import_chunks.due)) == 2


def test_a_page_is_one_range_of_revisions(office: Any, people: dict[str, list[bytes]]) -> None:
    with office.database.read() as connection:
        before = galleries.position(connection, G).revision
    row = office.hand_in({f"{name}.jpg": photos[0] for name, photos in people.items()})
    office.planning.run(row)
    for key in office.due(import_chunks.due):
        office.looking.run(key)
    office.admitting.run(row)
    with office.database.read() as connection:
        after = galleries.position(connection, G).revision
        page = galleries.page(connection, G, before)
    assert after - before == 2 * len(people)
    assert (page.more, len(page.put)) == (False, 2 * len(people))


def test_a_photo_on_which_workers_die_costs_itself_alone(
    office: Any, portraits: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    from jobs import looking

    class Died(BaseException):
        pass

    def dies(engine: Any, data: bytes, limits: Any) -> Any:
        if data == b"poison":
            raise Died
        return real(engine, data, limits)

    real = looking.enroll
    monkeypatch.setattr(looking, "enroll", dies)
    row = office.hand_in({"a.jpg": portraits["biden"], "bad.jpg": b"poison", "c.jpg": portraits["obama"]})
    office.planning.run(row)
    deaths = 0
    while office.shown(row).pending:
        try:
            office.looking.run(f"{row}:0")
            office.admitting.run(row)
        except Died:
            deaths += 1
            expire(office)
    assert deaths == 1 + looking.MAX_ATTEMPTS
    assert office.outcomes(row) == {"a.jpg": "accepted", "bad.jpg": "internal", "c.jpg": "accepted"}


def expire(office: Any) -> None:
    """As if the leases of a dead worker had run out."""
    from control_plane.store.tables import import_chunks
    from control_plane.store.tables import imports as table

    with office.database.write() as connection:
        for leased in (import_chunks, table):
            connection.execute(leased.update().values(lease_until=None))


def test_a_worker_that_lost_its_lease_writes_nothing(
    office: Any, portraits: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    from jobs import looking

    row = office.hand_in({"a.jpg": portraits["biden"]})
    office.planning.run(row)
    real = looking.enroll

    def stolen(*arguments: Any) -> Any:
        found = real(*arguments)
        with office.database.write() as connection:
            later = datetime.now(UTC) + 2 * import_chunks.LEASE
            assert import_chunks.claim(connection, row, "a thief", later)
        return found

    monkeypatch.setattr(looking, "enroll", stolen)
    office.looking.run(f"{row}:0")
    assert office.outcomes(row) == {"a.jpg": "planned"}


def test_planning_twice_adds_each_photo_once(office: Any) -> None:
    row = office.hand_in({f"{n}.jpg": b"x" for n in range(20)})
    office.planning.run(row)
    office.planning.run(row)
    assert office.shown(row).total == 20


def test_a_plan_that_broke_off_goes_on_where_it_was(office: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    row = office.hand_in({f"{n}.jpg": b"x" for n in range(40)})
    monkeypatch.setattr("jobs.planning.BATCH", 16)
    calls = []

    def breaks(*arguments: Any) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        real(*arguments)

    real = import_items.add
    monkeypatch.setattr(import_items, "add", breaks)
    with pytest.raises(KeyboardInterrupt):
        office.planning.run(row)
    assert office.shown(row).total == 16
    expire(office)
    office.planning.run(row)
    assert [i.entry for i in office.items(row)] == [f"{n}.jpg" for n in range(40)]


@pytest.mark.parametrize("junk", [b"", b"PK\x03\x04 truncated", b"x" * 1000])
def test_what_is_no_archive_is_a_failed_import(office: Any, junk: bytes) -> None:
    failed = office.take(junk)
    assert (failed.state, failed.error["code"]) == (State.FAILED, Reason.UNREADABLE_ARCHIVE)
    assert office.files() == set()


def test_an_archive_without_photos_is_done_at_once(office: Any) -> None:
    done = office.take({"notes.txt": b"hello", "more.zip": b"PK"})
    assert (done.state, done.total, done.skipped) == (State.DONE, 0, {"other": 2})
    assert office.files() == set()


def test_hostile_29_a_person_erased_during_their_import_does_not_come_back(
    office: Any, portraits: dict[str, bytes]
) -> None:
    row = office.hand_in({"a/1.jpg": portraits["obama"], "a/2.jpg": portraits["obama2"], "b.jpg": portraits["biden"]})
    office.planning.run(row)
    monkey = pytest.MonkeyPatch()
    with monkey.context() as patched:
        patched.setattr("control_plane.store.imports.PAGE", 1)
        office.looking.run(f"{row}:0")
        admit, office.admitting._admit = office.admitting._admit, lambda *a: admit(*a) and False
        office.admitting.run(row)
        office.admitting._admit = admit
    assert office.people() == {"a": 1}
    with office.database.write() as connection:
        (person,) = identities.listing(connection)
        identities.erase(connection, person.id, datetime.now(UTC))
    expire(office)
    done = office.work(row)
    assert office.people() == {"b": 1}
    assert [str(i.reason or i.state) for i in office.items(row)] == ["accepted", "identity_erased", "accepted"]
    assert office.items(row)[0].name is None
    assert done.state is State.DONE


def test_a_single_photo_is_due_beside_a_long_import(office: Any) -> None:
    row = office.hand_in({f"{n}.jpg": b"x" for n in range(200)})
    office.planning.run(row)
    with office.database.write() as connection:
        single = enrollments.submit(
            connection, datetime.now(UTC), gallery_id=G, blob="photos/01", sha256="0", name="Ann"
        )
    assert office.due(enrollments.due) == [single]


def test_a_photo_that_workers_die_of_while_admitting_it_is_refused_alone(
    office: Any, portraits: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    row = office.hand_in(
        {"a.jpg": portraits["biden"], "b.jpg": portraits["obama"], "c.jpg": portraits["alex-lacamoire"]}
    )
    office.planning.run(row)
    for chunk in office.due(import_chunks.due):
        office.looking.run(chunk)
    decide = Admission.decide

    def deadly(self: Admission, connection: Any, candidates: Any, *others: Any) -> Any:
        if any(candidate.name == "b" for candidate in candidates):
            raise KeyboardInterrupt
        return decide(self, connection, candidates, *others)

    monkeypatch.setattr(Admission, "decide", deadly)
    deaths = 0
    while office.shown(row).state is State.RUNNING:
        try:
            office.admitting.run(row)
        except KeyboardInterrupt:
            deaths += 1
            office.ask(lambda c: c.execute(imports_table.update().values(lease_until=None)))
    assert (office.outcomes(row), deaths) == ({"a.jpg": "accepted", "b.jpg": "internal", "c.jpg": "accepted"}, 6)
