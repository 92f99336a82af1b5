"""compose.yml and Dockerfile name what there is: settings, modules, files, and what each image holds.

`tests/production/compose.sh` builds and runs them for real.
"""

from __future__ import annotations

import ast
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from control_plane.config import SETTINGS as CONTROL_PLANE
from control_plane.config import Config
from control_plane.store.vault import POOL
from edge.config import SETTINGS as EDGE
from jobs.config import SETTINGS as WORKER
from rollcall.cli import cli

ROOT = Path(__file__).resolve().parents[1]
HERE = "http://127.0.0.1:1"
"""Where no product runs."""

AT_THE_CENTRE = {
    "migrate": "",
    "users create": "ann --role admin",
    "users list": "",
    "users password": "ann",
    "users change": "ann --all-sites",
    "users disable": "ann",
    "users enable": "ann",
    "keys create": "--role admin",
    "keys list": "",
    "keys revoke": "KEY",
    "edge token": "--site default",
    "edge renew": "EDGE",
    "edge revoke": "EDGE",
    "edge remove": "EDGE",
    "edge funnel": f"--url {HERE}",
    "jobs failed": "",
    "jobs retry": "--all",
    "audit show": "",
    "audit verify": "",
    "import": "../face_db.pkl",
    "identify": f"../face_db.pkl --url {HERE}",
    "reencode": f"--clean-up --url {HERE}",
    "secrets new": "",
    "secrets rotate": "",
    "backup": "../backup --vault ../keys",
    "restore": "../backup --replace",
    "openapi": "",
    "doctor": "centre",
}
"""The commands of whoever runs the control plane, in an order in which each finds something, and what follows them."""

ELSEWHERE = {"demo", "up", "evaluate", "edge join"}
"""Those that run the engine or an edge."""

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yml").read_text())
OURS = {"migrate": CONTROL_PLANE, "control_plane": CONTROL_PLANE, "worker": WORKER, "edge": EDGE}
TARGETS = re.split(r"(?m)^FROM ", (ROOT / "Dockerfile").read_text())[1:]
STAGES = {words[2]: text for text in TARGETS if (words := text.split())}


@pytest.mark.parametrize("service", OURS)
def test_each_setting_exists_and_each_secret_is_a_file_that_is_mounted(service: str) -> None:
    told, names = COMPOSE["services"][service], {s.name for s in OURS[service]}
    secrets = {f"/run/secrets/{name}" for name in told.get("secrets", ())}
    for name, value in told["environment"].items():
        assert name in names or name.removesuffix("_FILE") in names, name
        if str(value).startswith("/run/secrets/"):
            assert value in secrets, name
    assert not any("password" in str(value) for value in told["environment"].values())


def test_the_control_planes_settings_are_read_as_they_stand_there(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("postgresql://rollcall:secret@postgres/rollcall\n")
    told = {k: str(v) for k, v in COMPOSE["services"]["control_plane"]["environment"].items()}
    told = {name: value for name, value in told.items() if not value.startswith("$")}
    told |= {name: str(tmp_path / "url") for name in told if name.endswith("_URL_FILE")}
    told.pop("SECRET_KEY_FILE", None)
    config = Config.read(told, tmp_path / "none")
    assert config.database_url.startswith("postgresql://rollcall:secret@postgres/")
    assert config.broker_url
    assert config.bus_url
    assert not config.alone


@pytest.mark.parametrize("service", OURS)
def test_ours_run_as_nobody_in_particular_on_a_disk_they_cannot_write(service: str) -> None:
    told = COMPOSE["services"][service]
    assert told["read_only"] is True
    assert told["cap_drop"] == ["ALL"]
    assert told["security_opt"] == ["no-new-privileges:true"]
    assert "USER rollcall" in STAGES[told["build"]["target"]]
    assert service == "migrate" or told["mem_limit"]


def test_postgres_has_as_many_connections_as_two_control_planes_two_workers_and_a_command_may_take() -> None:
    told = " ".join(COMPOSE["services"]["postgres"]["command"])
    (most,) = map(int, re.findall(r"max_connections=(\d+)", told))
    config = Config.read({}, ROOT / "none")
    each = config.database_pool + POOL
    # Postgres keeps three for its administrator; commands take theirs beside the processes.
    assert (2 + 2 + 1) * each < most - 3
    assert f"and {POOL} more to the vault's" in next(s.meaning for s in WORKER if s.name == "DATABASE_POOL")


def test_what_others_wait_for_has_a_health_check_and_ends_in_time() -> None:
    services = COMPOSE["services"]
    for name, told in services.items():
        for needed, how in told.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert services[needed]["healthcheck"]["test"], (name, needed)
    for scalable in ("control_plane", "worker"):
        assert "container_name" not in services[scalable]
        assert services[scalable]["healthcheck"]
    assert "HEALTHCHECK" in STAGES["edge"]


@pytest.mark.parametrize("role", ["control_plane", "worker", "edge"])
def test_each_image_holds_what_its_process_imports_and_no_other_roles_packages(role: str) -> None:
    copied = _copied(role)
    assert all((ROOT / path).exists() for path in copied)
    inside = {file for path in copied for file in _files(ROOT / path)}
    module = re.search(r'"-m", "([\w.]+)"', STAGES[role])
    assert module is not None
    start = ROOT / module[1].replace(".", "/")
    todo = [start.with_suffix(".py") if start.with_suffix(".py").exists() else start / "__main__.py"]
    seen: set[Path] = set()
    while todo:
        path = todo.pop()
        if path not in seen:
            assert path in inside, f"{path.relative_to(ROOT)} is not copied"
            seen.add(path)
            todo += [found for name in _imports(path) if (found := _file_of(name))]
    locked = (ROOT / "requirements" / f"{role}.txt").read_text()
    foreign = {"control_plane": ["onnxruntime", "opencv"], "worker": ["starlette"], "edge": ["starlette", "sqlalchemy"]}
    assert not any(re.search(rf"^{name}", locked, re.M) for name in foreign[role])


def _copied(role: str) -> list[Path]:
    return [Path(path) for line in re.findall(r"^COPY (.*) \S+$", STAGES[role], re.M) for path in line.split()]


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else list(path.rglob("*.py"))


def _imports(path: Path) -> list[str]:
    found: list[str] = []
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return [name for name in found if name.partition(".")[0] not in sys.stdlib_module_names]


def _file_of(name: str) -> Path | None:
    path = ROOT / name.replace(".", "/")
    return next((p for p in (path.with_suffix(".py"), path / "__init__.py") if p.is_file()), None)


def test_the_migration_is_a_command_there_is() -> None:
    assert COMPOSE["services"]["migrate"]["command"][:3] == ["python", "-m", "rollcall"]
    assert COMPOSE["services"]["migrate"]["command"][3] in cli.commands


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds what the control plane's image does."""
    app = tmp_path_factory.mktemp("image") / "app"
    for path in _copied("control_plane"):
        if path.parts[0] != "requirements":
            source = ROOT / path
            (app / path.parent).mkdir(parents=True, exist_ok=True)
            shutil.copytree(source, app / path) if source.is_dir() else shutil.copy(source, app / path)
    return app


INSIDE = """
import json, sys
commands, absent = json.load(sys.stdin)

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in absent:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
from click.testing import CliRunner
from faces.errors import RollcallError
from rollcall.cli import cli

fails = {}
for command in commands:
    error = CliRunner().invoke(cli, command.split(), input="a-password-of-length").exception
    if error and not isinstance(error, (RollcallError, SystemExit)):
        fails[command] = repr(error)
print(json.dumps(fails))
"""


def _run(image: Path, *words: str, given: str = "") -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "DATA_DIR": str(image.parent / "data")}
    command = [sys.executable, *words]
    return subprocess.run(command, input=given, capture_output=True, text=True, check=False, cwd=image, env=environment)


def test_each_command_for_the_centre_can_be_run_in_its_image(image: Path) -> None:
    assert set(_leaves(cli)) == AT_THE_CENTRE.keys() | ELSEWHERE
    (image.parent / "face_db.pkl").write_bytes(pickle.dumps({}))
    commands = [f"{command} {words}" for command, words in AT_THE_CENTRE.items()]
    done = _run(image, "-c", INSIDE, given=json.dumps([commands, _absent()]))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {}


def test_a_command_that_needs_more_than_the_image_holds_says_what_it_is(image: Path) -> None:
    done = _run(image, "-m", "rollcall", "edge", "join", HERE, "token")
    assert done.returncode == 1
    assert done.stderr.startswith("edge is not installed here")


def _leaves(group: click.Group, above: str = "") -> Iterator[str]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from _leaves(command, f"{above}{name} ")
        else:
            yield above + name


def _absent() -> list[str]:
    """The packages that are installed here, and not in the control plane's image."""
    files = [ROOT / path for path in _copied("control_plane") if path.parts[0] == "requirements"]
    held = {name for file in files for name in re.findall(r"^([\w.-]+)==", file.read_text(), re.M)}
    return [
        package
        for package, names in packages_distributions().items()
        if not held & {re.sub(r"[-_.]+", "-", name).lower() for name in names}
    ]
