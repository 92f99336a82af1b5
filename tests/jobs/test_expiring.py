from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from control_plane.store import alarms, audit, erasures, galleries, identities
from control_plane.store.alarms import AlarmKind
from control_plane.store.blobs import BlobStore
from control_plane.store.db import Database
from faces.consent import Consent
from faces.errors import NotFound
from faces.gallery import IdentityRow
from jobs.expiring import Expiring
from tests.conftest import NOW

DAY = timedelta(days=1)


class Office:
    """The job on a database, with a clock that a test sets."""

    def __init__(self, database: Database, folder: Path, **settings: int) -> None:
        self.database = database
        self.now = NOW
        options = {"identity_days": 0, "notice_days": 14, **settings}
        self.job = Expiring(database, BlobStore(folder), lambda: self.now, **options)

    def person(self, name: str, **fields: Any) -> str:
        with self.database.write() as connection:
            return identities.create(connection, name, [galleries.DEFAULT_GALLERY], NOW, **fields)

    def run(self) -> list[str]:
        """Do all that is due; returns who was erased."""
        with self.database.read() as connection:
            due = self.job.due(connection, self.now, limit=100)
            ending = self.job.ending(connection, self.now, limit=100)
        for identity_id in ending:
            self.job.tell(identity_id)
        for identity_id in due:
            self.job.erase(identity_id)
        return due

    def told(self) -> list[str]:
        with self.database.read() as connection:
            return [a.message for a in alarms.listing(connection) if a.kind is AlarmKind.CONSENT_ENDS]


def test_who_consents_no_more_is_told_of_and_then_erased_and_both_stand_in_the_logs(
    database: Database, tmp_path: Path
) -> None:
    office = Office(database, tmp_path)
    ends = Consent(basis="contract", given_at=NOW, until=NOW + 30 * DAY)
    ada, stays = office.person("Ada", consent=ends), office.person("Eve", consent=Consent(basis="contract"))
    assert (office.run(), office.told()) == ([], [])
    office.now = NOW + 20 * DAY
    for _ in range(3):
        assert office.run() == []
    (told,) = office.told()
    assert ada in told
    assert "Ada" not in told
    office.now = NOW + 30 * DAY
    assert office.run() == [ada]
    assert office.run() == []
    with database.read() as connection:
        with pytest.raises(NotFound):
            identities.get(connection, ada)
        assert identities.get(connection, stays).name == "Eve"
        assert erasures.get(connection, ada).erased_at == office.now
        (row,) = audit.listing(connection)
        assert (row.actor, row.action, row.resource_id) == ("job:expire", "identity.erase", ada)


def test_a_consent_that_is_renewed_erases_nobody_and_its_new_end_is_told_again(
    database: Database, tmp_path: Path
) -> None:
    office = Office(database, tmp_path)
    ada = office.person("Ada", consent=Consent(basis="contract", until=NOW + 5 * DAY))
    office.run()
    with database.write() as connection:
        identities.update(connection, ada, NOW, consent_until=NOW + 50 * DAY)
    office.now = NOW + 10 * DAY
    office.job.erase(ada)
    assert (office.run(), len(office.told())) == ([], 1)
    office.now = NOW + 45 * DAY
    with database.write() as connection:
        alarms.acknowledge(connection, alarms.listing(connection)[0].id, "me", NOW)
    office.run()
    office.run()
    assert len(office.told()) == 2


@pytest.mark.parametrize(("identity_days", "erased"), [(0, False), (30, True)])
def test_who_is_long_past_their_validity_is_erased_where_that_is_set(
    database: Database, tmp_path: Path, identity_days: int, erased: bool
) -> None:
    office = Office(database, tmp_path, identity_days=identity_days)
    ada = office.person("Ada", valid_until=NOW)
    office.now = NOW + 29 * DAY
    assert office.run() == []
    office.now = NOW + 30 * DAY
    assert office.run() == ([ada] if erased else [])


def test_the_end_of_consent_travels_as_the_end_of_validity(database: Database, tmp_path: Path) -> None:
    office = Office(database, tmp_path)
    ada = office.person("Ada", valid_until=NOW + 9 * DAY, consent=Consent(basis="x", until=NOW + 5 * DAY))

    def row() -> IdentityRow:
        with database.read() as connection:
            found = galleries.recomputed_checksum(connection, "default")
            assert found == galleries.position(connection, "default").checksum
            (one,) = (r for r in galleries.snapshot(connection, "default")[1] if isinstance(r, IdentityRow))
            return one

    assert row().valid_until == NOW + 5 * DAY
    with database.write() as connection:
        identities.update(connection, ada, NOW, consent_until=None)
    assert row().valid_until == NOW + 9 * DAY
