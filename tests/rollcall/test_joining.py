"""The command line of an edge that joins: real processes."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from control_plane.store import audit, keys, sites
from control_plane.store.db import utcnow
from edge import credential
from faces.wire import Hello
from rollcall.access import actor, database_of
from rollcall.supervisor import Supervisor
from rollcall.up import Place, free_port, start_centre
from tests import services


def run(*words: object, given: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rollcall", "edge", *map(str, words)],
        input=given,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


def test_an_edge_joins_once_by_a_token_on_its_input_and_is_revoked(tmp_path: Path) -> None:
    place = Place(data=tmp_path / "plane", port=free_port(), stream_port=0)
    with services.environment(), Supervisor(logs=tmp_path / "logs") as supervisor:
        start_centre(supervisor, place)
        token = run("token", "--site", "default", "--data", place.data).stdout.strip()
        joined = run("join", place.url, "--data", tmp_path / "edge", given=f"{token}\n")
        assert joined.returncode == 0, joined.stderr
        path = tmp_path / "edge" / credential.MEMBERSHIP
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        url, held = credential.read(path) or ("", credential.NONE)
        assert url == place.url
        second = run("join", place.url, "--data", tmp_path / "other", ROLLCALL_JOIN_TOKEN=token)
        assert second.returncode == 1
        assert "was used" in second.stderr
        edge_id = (tmp_path / "edge" / "edge-id").read_text().strip()
        with database_of(place.data) as database, database.write() as connection:
            keys.create(connection, keys.Role.ADMIN, utcnow())
        assert run("renew", edge_id, "--data", place.data).returncode == 0
        assert run("revoke", edge_id, "--data", place.data).returncode == 0
        assert run("revoke", "no such edge", "--data", place.data).returncode == 1
        with database_of(place.data) as database, database.read() as connection:
            (key,) = (k for k in keys.listing(connection) if k.id == keys.id_of(held.key or ""))
        assert key.revoked_at is not None
        assert key.edge_id == edge_id


def test_an_edge_is_removed_once_by_its_name_and_the_log_tells_who_did_it(tmp_path: Path) -> None:
    hello = Hello(name="box at the door", version="1", engine="sface", cameras=["door"])
    with database_of(tmp_path) as database, database.write() as connection:
        sites.welcome(connection, "e1", hello, 1, utcnow())
    assert run("remove", "box at the door", "--data", tmp_path).returncode == 0
    second = run("remove", "e1", "--data", tmp_path)
    assert second.returncode == 1
    assert "there is no edge 'e1'" in second.stderr
    with database_of(tmp_path) as database, database.read() as connection:
        assert sites.edge_listing(connection, utcnow()) == []
        (row,) = (row for row in audit.listing(connection) if row.action == "edge.remove")
    assert (row.actor, row.resource_id) == (actor(), "e1")


@pytest.mark.parametrize("url", ["plane.example", "ftp://plane.example"])
def test_a_url_that_is_none_is_refused(tmp_path: Path, url: str) -> None:
    refused = run("join", url, "x", "--data", tmp_path)
    assert refused.returncode == 1
    assert "URL" in refused.stderr


def test_a_control_plane_that_does_not_answer_is_said(tmp_path: Path) -> None:
    refused = run("join", f"http://127.0.0.1:{free_port()}", "x", "--data", tmp_path)
    assert refused.returncode == 1
    assert "cannot be reached" in refused.stderr
