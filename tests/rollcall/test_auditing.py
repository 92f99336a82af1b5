from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner, Result

from control_plane.store import audit, keys
from rollcall import access
from rollcall.access import database_of
from rollcall.auditing import Tampered
from rollcall.cli import cli


def run(*words: str) -> Result:
    return CliRunner(env={"COLUMNS": "250"}).invoke(cli, list(words))


def test_keys_and_tokens_made_on_the_command_line_are_in_the_log(tmp_path: Path) -> None:
    data = ("--data", str(tmp_path))
    text = run("keys", "create", "--role", "admin", *data).stdout.strip()
    key_id = keys.id_of(text) or ""
    run("keys", "revoke", key_id, *data)
    token = run("edge", "token", "--site", "default", *data).stdout.strip()
    with database_of(tmp_path) as database, database.read() as connection:
        found = [(row.actor, row.action, row.resource_id) for row in audit.listing(connection)]
    who = access.actor()
    assert who.startswith("cli:")
    assert found == [
        (who, "key.create", key_id),
        (who, "key.revoke", key_id),
        (who, "site.make_join_token", "default"),
    ]
    shown = run("audit", "show", *data).output
    assert key_id in shown
    assert text not in shown
    assert token not in shown
    assert "key.revoke" in run("audit", "show", "--about", key_id, "--last", "1", *data).output


def test_verify_prints_a_head_and_names_the_row_that_was_touched(tmp_path: Path) -> None:
    data = ("--data", str(tmp_path))
    for _ in range(3):
        run("keys", "create", "--role", "admin", *data)
    first = run("audit", "verify", *data)
    head = first.stdout.strip()
    assert first.exit_code == 0
    assert head.startswith("3:")
    run("keys", "create", "--role", "viewer", *data)
    assert run("audit", "verify", "--head", head, *data).exit_code == 0
    with database_of(tmp_path) as database, database.write() as connection:
        connection.exec_driver_sql("DROP TRIGGER audit_no_update")
        connection.exec_driver_sql("UPDATE audit SET actor = 'cli:nobody' WHERE position = 2")
    failed = run("audit", "verify", *data).exception
    assert isinstance(failed, Tampered)
    assert "row 2" in failed.message
