from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from control_plane.passwords import Passwords
from control_plane.store import audit, users
from faces.errors import Conflict, Invalid, NotFound
from rollcall import access
from rollcall.cli import cli

GOOD = "correct horse battery"
OTHER = "staple under the door"


def run(data: Path, *words: str, said: str = f"{GOOD}\n") -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(cli, ["users", *words, "--data", str(data)], input=said)


def known(data: Path, name: str) -> users.Known:
    with access.database_of(data) as database, database.read() as connection:
        found = users.named(connection, name)
    assert found is not None
    return found


def test_the_first_administrator_is_made_here_by_a_password_that_is_piped_in(tmp_path: Path) -> None:
    done = run(tmp_path, "create", "ann", "--role", "admin")
    assert (done.exit_code, GOOD in done.output) == (0, False)
    ann = known(tmp_path, "ann")
    assert (ann.user.role, ann.user.sites) == ("admin", None)
    assert Passwords().fits(GOOD, ann.password)
    listed = run(tmp_path, "list").output
    assert "ann" in listed
    assert "argon2" not in listed
    with pytest.raises(Conflict):
        raise run(tmp_path, "create", "ANN", "--role", "viewer").exception or AssertionError


def test_a_password_is_no_argument_and_a_weak_or_missing_one_makes_no_user(tmp_path: Path) -> None:
    assert run(tmp_path, "create", "ann", "--role", "admin", "--password", GOOD).exit_code == 2
    for said in ("\n", "", "short\n"):
        assert isinstance(run(tmp_path, "create", "ann", "--role", "admin", said=said).exception, Invalid)
    with access.database_of(tmp_path) as database, database.read() as connection:
        assert users.listing(connection) == []


def test_a_user_is_bound_to_sites_changed_shut_out_and_let_in_again(tmp_path: Path) -> None:
    assert run(tmp_path, "create", "bob", "--role", "viewer", "--site", "default").exit_code == 0
    bob = known(tmp_path, "bob")
    assert bob.user.sites == ("default",)
    assert run(tmp_path, "change", "bob").exit_code == 2
    assert run(tmp_path, "change", "bob", "--role", "operator").exit_code == 0
    assert (known(tmp_path, "bob").user.role, known(tmp_path, "bob").user.sites) == ("operator", ("default",))
    assert run(tmp_path, "change", "bob", "--all-sites").exit_code == 0
    assert known(tmp_path, "bob").user.sites is None
    assert run(tmp_path, "disable", "BOB").exit_code == 0
    assert known(tmp_path, "bob").user.disabled_at is not None
    assert run(tmp_path, "enable", "bob").exit_code == 0
    assert known(tmp_path, "bob").user.disabled_at is None
    assert run(tmp_path, "password", "bob", said=f"{OTHER}\n").exit_code == 0
    assert Passwords().fits(OTHER, known(tmp_path, "bob").password)
    with access.database_of(tmp_path) as database, database.read() as connection:
        rows = audit.listing(connection)
    done = ["create", "change", "change", "disable", "enable", "change_password"]
    assert [(row.action, row.resource_id) for row in rows] == [(f"user.{what}", bob.user.id) for what in done]
    assert all(row.actor.startswith("cli:") for row in rows)


def test_who_is_not_there_is_told(tmp_path: Path) -> None:
    for words in (("disable", "x"), ("enable", "x"), ("password", "x"), ("change", "x", "--role", "admin")):
        assert isinstance(run(tmp_path, *words).exception, NotFound)
    missing = run(tmp_path, "create", "x", "--role", "admin", "--site", "Atlantis")
    assert isinstance(missing.exception, NotFound)
