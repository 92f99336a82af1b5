from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from control_plane.store import keys, sites
from control_plane.store.keys import Role
from faces.errors import Invalid, NotFound
from rollcall import access
from rollcall.access import ends
from rollcall.cli import cli

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def run(*words: str) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(cli, ["keys", *words])


def held(data: Path) -> list[keys.Key]:
    with access.database_of(data) as database, database.read() as connection:
        return keys.listing(connection)


def test_a_key_is_printed_once_alone_on_its_line_and_listed_without_its_secret(tmp_path: Path) -> None:
    made = run("create", "--role", "viewer", "--name", "wall", "--expires", "90d", "--data", str(tmp_path))
    text = made.stdout.strip()
    assert keys.id_of(text)
    (found,) = held(tmp_path)
    assert (found.role, found.name, found.sites) == (Role.VIEWER, "wall", None)
    assert found.expires_at is not None
    assert found.expires_at - found.created_at == timedelta(days=90)
    listed = run("list", "--data", str(tmp_path)).output
    assert found.id in listed
    assert "in force" in listed
    assert text.split("_")[2] not in listed


def test_a_key_is_revoked_by_its_id(tmp_path: Path) -> None:
    run("create", "--role", "admin", "--data", str(tmp_path))
    (found,) = held(tmp_path)
    assert run("revoke", found.id, "--data", str(tmp_path)).exit_code == 0
    assert held(tmp_path)[0].revoked_at is not None
    assert isinstance(run("revoke", "000000000000", "--data", str(tmp_path)).exception, NotFound)


def test_a_site_is_named_by_id_or_name_and_must_be_there(tmp_path: Path) -> None:
    with access.database_of(tmp_path) as database, database.write() as connection:
        berlin = sites.create(connection, "Berlin", [], NOW)
    for place in ("Berlin", berlin):
        assert run("create", "--role", "viewer", "--site", place, "--data", str(tmp_path)).exit_code == 0
    assert {key.sites for key in held(tmp_path)} == {(berlin,)}
    failed = run("create", "--role", "viewer", "--site", "Bonn", "--data", str(tmp_path))
    assert isinstance(failed.exception, NotFound)
    assert len(held(tmp_path)) == 2


def test_an_edges_key_is_for_one_site(tmp_path: Path) -> None:
    for places in ((), ("--site", "default", "--site", "x")):
        assert isinstance(run("create", "--role", "edge", *places, "--data", str(tmp_path)).exception, Invalid)
    assert run("create", "--role", "edge", "--site", "default", "--data", str(tmp_path)).exit_code == 0


@pytest.mark.parametrize(
    ("told", "end"),
    [
        ("", None),
        ("90d", NOW + timedelta(days=90)),
        ("12h", NOW + timedelta(hours=12)),
        ("30m", NOW + timedelta(minutes=30)),
        ("2026-04-01", datetime(2026, 4, 1, tzinfo=UTC)),
    ],
)
def test_a_key_ends_when_it_is_told_to(told: str, end: datetime | None) -> None:
    assert ends(told, NOW) == end


@pytest.mark.parametrize("told", ["0d", "soon", "-1d", "5", "2026-02-30", "2026-03-01", "2020-01-01"])
def test_an_end_that_is_none_is_refused(told: str) -> None:
    with pytest.raises(Invalid, match="--expires"):
        ends(told, NOW)


def test_the_all_in_ones_own_key_is_made_once_and_only_its_user_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "console.key"
    with access.database_of(tmp_path) as database, database.write() as connection:
        assert not access.needed(connection)
        first, second = (access.own_key(connection, path, Role.VIEWER, NOW) for _ in range(2))
        assert first == second
        keys.revoke(connection, keys.id_of(first) or "", NOW)
        assert access.own_key(connection, path, Role.VIEWER, NOW) == first
        path.write_text("rc_something else\n")
        third = access.own_key(connection, path, Role.VIEWER, NOW)
        assert third != first
        assert access.needed(connection)
    assert path.read_text().strip() == third
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_commands_send_the_key_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ROLLCALL_KEY", raising=False)
    assert access.credentials() == {}
    monkeypatch.setenv("ROLLCALL_KEY", "rc_x")
    assert access.credentials() == {"Authorization": "Bearer rc_x"}
