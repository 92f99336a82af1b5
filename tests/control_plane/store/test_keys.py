from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from control_plane.store import keys
from control_plane.store.db import Database
from control_plane.store.keys import Role
from faces.errors import Conflict, NotFound

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_key_is_stored_as_its_sha256_and_nothing_more(database: Database) -> None:
    with database.write() as connection:
        text = keys.create(connection, Role.VIEWER, NOW, name="wall", sites=["s2", "s1"])
        (found,) = keys.listing(connection)
    assert keys.FORM.fullmatch(text)
    assert found.id == keys.id_of(text)
    assert (found.role, found.name, found.sites) == (Role.VIEWER, "wall", ("s1", "s2"))
    assert found.sha256 == keys.digest(text)
    assert text.split("_")[2] not in repr(found)


def test_two_keys_are_never_alike(database: Database) -> None:
    with database.write() as connection:
        made = {keys.create(connection, Role.ADMIN, NOW) for _ in range(50)}
    assert len({text.split("_")[1] for text in made}) == 50
    assert len({text.split("_")[2] for text in made}) == 50


def test_every_wrong_letter_swap_and_cut_is_told_without_a_look_up(database: Database) -> None:
    with database.write() as connection:
        text = keys.create(connection, Role.ADMIN, NOW)
    for at in range(3, len(text)):
        for letter in "0123456789abcdef":
            changed = text[:at] + letter + text[at + 1 :]
            assert (keys.id_of(changed) is None) == (changed != text)
        swapped = text[: at - 1] + text[at] + text[at - 1] + text[at + 1 :]
        assert keys.id_of(swapped) is None or swapped == text
        assert keys.id_of(text[:at]) is None
    assert keys.id_of(text + "0") is None
    assert keys.id_of(f" {text}") is None
    assert keys.id_of(text.upper()) is None


def test_a_key_is_revoked_once_and_for_good(database: Database) -> None:
    with database.write() as connection:
        key_id = keys.id_of(keys.create(connection, Role.ADMIN, NOW)) or ""
        keys.revoke(connection, key_id, NOW)
        keys.revoke(connection, key_id, NOW + timedelta(days=1))
        assert [k.revoked_at for k in keys.listing(connection)] == [NOW]
        with pytest.raises(NotFound):
            keys.revoke(connection, "nobody", NOW)


def test_the_version_changes_with_every_key_made_revoked_or_taken_and_not_with_use(database: Database) -> None:
    with database.write() as connection:
        seen = [keys.version(connection)]
        key_id = keys.id_of(keys.create(connection, Role.EDGE, NOW, sites=["s"])) or ""
        seen.append(keys.version(connection))
        keys.belong(connection, key_id, "one")
        seen.append(keys.version(connection))
        keys.used(connection, key_id, NOW)
        assert keys.version(connection) == seen[-1]
        keys.revoke(connection, key_id, NOW)
        seen.append(keys.version(connection))
    assert len(set(seen)) == 4


def test_use_is_written_at_most_once_a_minute(database: Database) -> None:
    with database.write() as connection:
        key_id = keys.id_of(keys.create(connection, Role.ADMIN, NOW)) or ""
        for seconds, noted in ((0, 0), (1, 0), (59, 0), (60, 60), (61, 60)):
            keys.used(connection, key_id, NOW + timedelta(seconds=seconds))
            assert keys.listing(connection)[0].last_used_at == NOW + timedelta(seconds=noted)


def test_an_edges_key_belongs_to_the_first_edge(database: Database) -> None:
    with database.write() as connection:
        key_id = keys.id_of(keys.create(connection, Role.EDGE, NOW, sites=["s"])) or ""
        keys.belong(connection, key_id, "one")
        keys.belong(connection, key_id, "one")
        with pytest.raises(Conflict):
            keys.belong(connection, key_id, "other")
        assert keys.listing(connection)[0].edge_id == "one"


def test_a_key_that_has_ended_becomes_nobodys(database: Database) -> None:
    with database.write() as connection:
        key_id = keys.id_of(keys.create(connection, Role.EDGE, NOW, sites=["s"])) or ""
        keys.belong(connection, key_id, "one")
        keys.revoke(connection, key_id, NOW)
        with pytest.raises(Conflict, match="has ended"):
            keys.belong(connection, key_id, "one")
