from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from control_plane.store import access, keys, sign_ins, users
from control_plane.store.db import Connection, Database
from control_plane.store.keys import Role
from control_plane.store.sign_ins import MOST, USED_EVERY, Lasting
from faces.errors import Conflict, Invalid, NotFound

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LASTING = Lasting(timedelta(hours=1), timedelta(hours=3))


def signed_in(connection: Connection, user_id: str, now: datetime = NOW) -> str:
    """A new sign-in's id."""
    return sign_ins.id_of(sign_ins.create(connection, user_id, now, LASTING)) or ""


@pytest.mark.parametrize("again", ["ann", " ANN ", "Ａｎｎ"])
def test_a_name_is_one_users_however_it_is_written(database: Database, again: str) -> None:
    with database.write() as connection:
        ann = users.create(connection, "Ann", Role.VIEWER, "hash", NOW, sites=["s2", "s1"])
        assert (ann.sites, ann.disabled_at, ann.signed_in_at) == (("s1", "s2"), None, None)
        found = users.named(connection, again)
        assert found is not None
        assert found == (ann, "hash")
        with pytest.raises(Conflict):
            users.create(connection, again, Role.ADMIN, "x", NOW)
    assert "hash" not in repr(ann)


@pytest.mark.parametrize("role", [Role.EDGE, Role.INTEGRATOR])
def test_a_user_is_no_program(database: Database, role: Role) -> None:
    with database.write() as connection, pytest.raises(Invalid):
        users.create(connection, "Ann", role, "hash", NOW)


def test_who_is_not_there_is_not_found(database: Database) -> None:
    with database.write() as connection:
        assert users.named(connection, "Ann") is None
        for work in (users.get, users.enable):
            with pytest.raises(NotFound):
                work(connection, "u1")
        with pytest.raises(NotFound):
            users.set_password(connection, "u1", "x")


def test_of_a_cookie_only_its_sha256_is_kept(database: Database) -> None:
    with database.write() as connection:
        ann = users.create(connection, "Ann", Role.VIEWER, "hash", NOW)
        text = sign_ins.create(connection, ann.id, NOW, LASTING, address="10.0.0.1", agent="x" * 500)
        (kept,) = sign_ins.listing(connection, ann.id)
    assert kept.id == sign_ins.id_of(text)
    assert kept.sha256 == sign_ins.digest(text)
    assert text.partition(".")[2] not in repr(kept)
    assert (kept.address, kept.agent, kept.ends_at) == ("10.0.0.1", "x" * 200, NOW + LASTING.idle)


def test_a_sign_in_goes_on_while_it_is_used_and_not_beyond_its_last_moment(database: Database) -> None:
    with database.write() as connection:
        ann = users.create(connection, "Ann", Role.VIEWER, "hash", NOW)
        here = signed_in(connection, ann.id)
        version = sign_ins.version(connection)
        sign_ins.used(connection, here, NOW + USED_EVERY - timedelta(seconds=1), LASTING)
        assert sign_ins.version(connection) == version
        for hour in range(1, 6):
            sign_ins.used(connection, here, NOW + timedelta(hours=hour / 2), LASTING)
        (kept,) = sign_ins.listing(connection)
        assert kept.used_at == NOW + timedelta(hours=2.5)
        assert kept.ends_at == NOW + LASTING.whole
        assert sign_ins.version(connection) == version + 5


def test_what_ends_a_users_sign_ins_leaves_those_of_others(database: Database) -> None:
    with database.write() as connection:
        ann, bob = (users.create(connection, name, Role.VIEWER, "hash", NOW) for name in ("Ann", "Bob"))
        bobs = signed_in(connection, bob.id)

        def after(kept: str | None = None) -> list[str]:
            signed_in(connection, ann.id)
            return [kept or "", bobs] if kept else [bobs]

        for work in (
            lambda: users.set_password(connection, ann.id, "other"),
            lambda: users.change(connection, ann.id, role=Role.ADMIN, sites=["s1"]),
            lambda: users.disable(connection, ann.id, NOW),
        ):
            signed_in(connection, ann.id)
            before = sign_ins.version(connection)
            work()
            assert list(sign_ins.by_id(connection)) == [bobs]
            assert sign_ins.version(connection) != before
        here, _there = (signed_in(connection, ann.id) for _ in range(2))
        users.set_password(connection, ann.id, "third", keep=here)
        assert set(sign_ins.by_id(connection)) == {here, bobs}
        with pytest.raises(NotFound):
            sign_ins.end(connection, ann.id, bobs)
        sign_ins.end(connection, ann.id, here)
        assert not sign_ins.exists(connection, here)
        changed = users.get(connection, ann.id)
        assert (changed.role, changed.sites, changed.disabled_at) == (Role.ADMIN, ("s1",), NOW)


def test_sign_ins_that_ended_are_cleared_away_and_a_user_has_no_more_than_the_newest(database: Database) -> None:
    with database.write() as connection:
        ann = users.create(connection, "Ann", Role.VIEWER, "hash", NOW)
        signed_in(connection, ann.id)
        late = NOW + LASTING.idle
        made = [signed_in(connection, ann.id, late + timedelta(seconds=n)) for n in range(MOST + 3)]
        assert set(sign_ins.by_id(connection)) == set(made[3:])


def test_a_password_that_was_changed_meanwhile_is_not_hashed_back(database: Database) -> None:
    with database.write() as connection:
        ann = users.create(connection, "Ann", Role.VIEWER, "old", NOW)
        users.rehash(connection, ann.id, "old", "newer")
        users.rehash(connection, ann.id, "old", "lost")
        assert users.password_of(connection, ann.id) == "newer"


def test_access_is_the_same_value_until_somebody_may_or_may_no_more(database: Database) -> None:
    with database.write() as connection:
        nobody = access.read(connection)
        assert access.read(connection, nobody) is nobody
        assert not nobody.asked_for
        keys.create(connection, Role.EDGE, NOW, sites=["default"])
        edges = access.read(connection, nobody)
        assert (edges is nobody, edges.asked_for, edges.somebody) == (False, False, False)
        ann = users.create(connection, "Ann", Role.VIEWER, "hash", NOW)
        with_ann = access.read(connection, edges)
        assert (with_ann.asked_for, with_ann.somebody) == (True, True)
        here = signed_in(connection, ann.id)
        assert access.read(connection, with_ann).sign_ins[here].user_id == ann.id
        users.disable(connection, ann.id, NOW)
        without = access.read(connection, with_ann)
        assert (without.asked_for, without.somebody, without.sign_ins) == (True, False, {})
        users.enable(connection, ann.id)
        assert access.read(connection, without).somebody
