"""The OpenAPI document is true: schemathesis, with all its checks, against the running product."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from control_plane.config import SETTINGS as CONTROL_PLANE
from control_plane.store import keys
from control_plane.store.db import Database, utcnow
from control_plane.store.keys import Role
from control_plane.store.sites import DEFAULT_SITE
from faces import wire
from rollcall.supervisor import Supervisor
from rollcall.up import Place, free_port, start_centre
from tests import services

ROOT = Path(__file__).parents[2]
EDGE = {wire.EDGE_HEADER: "edge-1", wire.WIRE_HEADER: str(wire.WIRE)}
SETTINGS = """
headers = {{ Authorization = "Bearer {admin}" }}
continue-on-failure = true
request-timeout = 20
[warnings]
fail-on = ["missing_auth"]
[generation]
no-shrink = true
database = "none"
[checks]
enabled = true
[checks.positive_data_acceptance]
# What a photo or an archive shows (422), or what there is already (409, 410), no schema can say.
expected-statuses = ["2xx", 401, 403, 404, 409, 410, 422, 429]
[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 409, 410, 413, 415, 421, 422, 426, 429]
# Of the people who are there nobody was erased.
[[operations]]
include-name = "GET /v1/identities/{{id}}/erasure"
checks.ensure_resource_availability.enabled = false
# One edge leaves for good, and the others go on.
[[operations]]
include-name = "DELETE /v1/edges/{{id}}/credential"
parameters = {{ id = "edge-2" }}
[[operations]]
include-name = "DELETE /v1/edges/{{id}}"
parameters = {{ id = "edge-2" }}
[[operations]]
include-name = "POST /v1/edge/join"
headers = {{ Authorization = "Bearer {join}" }}
# An event that is none is refused alone: the batch is accepted, and its verdict says so. Where nothing but headers can
# be wrong, those given here take the place of the wrong ones.
[[operations]]
include-name = {lenient}
headers = {{ Authorization = "Bearer {edge}", {named} }}
checks.negative_data_rejection.enabled = false
[[operations]]
include-name = {of_edges}
headers = {{ Authorization = "Bearer {edge}", {named} }}
"""


@pytest.fixture(params=services.DATABASES)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'data' / 'rollcall.db'}"
        return
    with services.migrated_postgres() as url:
        yield url


@pytest.fixture
def place(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """Control plane and worker on an empty database."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    for limited in CONTROL_PLANE:
        if limited.name.startswith("LIMIT_"):
            monkeypatch.setenv(limited.name, "off")
    with Supervisor(logs=tmp_path / "logs") as supervisor:
        place = Place(data=tmp_path / "data", port=free_port(), stream_port=0)
        start_centre(supervisor, place)
        yield place
        assert "Traceback" not in (tmp_path / "logs" / "control_plane.log").read_text()


def make_keys(database_url: str, url: str) -> dict[str, str]:
    """A key of an administrator and one of an edge that has introduced itself."""
    database = Database(database_url)
    with database.write() as connection:
        made = {
            "admin": keys.create(connection, Role.ADMIN, utcnow()),
            "edge": keys.create(connection, Role.EDGE, utcnow(), sites=[DEFAULT_SITE]),
        }
    database.close()
    deadline = time.monotonic() + 10
    while requests.get(f"{url}/v1/sites", timeout=10).status_code != 401:
        assert time.monotonic() < deadline, "the keys were not noticed"
    url, administrator = f"{url}/v1", {"Authorization": f"Bearer {made['admin']}"}
    made["join"] = requests.post(f"{url}/sites/default/join-tokens", headers=administrator, timeout=10).json()["token"]
    hello = wire.encode(wire.Hello(name="box", version="1", engine="sface", cameras=["door"]))
    headers = {**EDGE, "Authorization": f"Bearer {made['edge']}", "Content-Type": wire.MSGPACK}
    assert requests.put(f"{url}/edges/edge-1", data=hello, headers=headers, timeout=10).status_code == 200
    return made


def settings(url: str, made: dict[str, str]) -> str:
    paths = requests.get(f"{url}/openapi.json", timeout=10).json()["paths"].items()
    operations = [(f"{method.upper()} {path}", found) for path, methods in paths for method, found in methods.items()]
    of_edges = [name for name, operation in operations if operation["x-rollcall-needs"] == "edge"]
    of_headers = [name for name, operation in operations if name in of_edges and "requestBody" not in operation]
    named = ", ".join(f'"{name}" = "{value}"' for name, value in EDGE.items())
    return SETTINGS.format(**made, of_edges=of_edges, lenient=["POST /v1/events", *of_headers], named=named)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    "how", ["--seed=1 --max-examples=2", pytest.param("--max-examples=300", marks=pytest.mark.soak)]
)
def test_the_product_does_what_its_document_says_and_nothing_else(
    place: Place, database_url: str, tmp_path: Path, how: str
) -> None:
    found = tmp_path / "schemathesis.toml"
    found.write_text(settings(place.url, make_keys(database_url, place.url)))
    document = f"{place.url}/openapi.json"
    run = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", f"--config-file={found}", "run", document, *how.split()],
        env={**os.environ, "PYTHONPATH": str(ROOT), "SCHEMATHESIS_HOOKS": "tests.hostile.document_hooks"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr
