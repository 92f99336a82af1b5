"""The import law: a file imports from its own floor or below, and each third-party package has one home."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OURS = ("faces", "edge", "control_plane", "jobs", "rollcall", "migrations")

# Per folder or file (the longest prefix counts): what of ours it may import.
LAWS: dict[str, tuple[str, ...]] = {
    "faces": ("faces",),
    "faces.engine": ("faces",),
    "edge": ("edge", "faces"),
    "control_plane": ("control_plane", "faces"),
    "control_plane.store": ("control_plane.store", "faces"),
    "control_plane.fanout": ("faces",),
    "control_plane.bus": ("faces", "control_plane.fanout"),
    "jobs": ("jobs", "control_plane.store", "control_plane.dispatch", "faces"),
    "jobs.archive": ("faces", "jobs.directory", "jobs.manifest"),
    "jobs.directory": ("faces",),
    "jobs.manifest": ("faces",),
    "migrations": ("control_plane.store",),
    "rollcall": ("rollcall", "faces", "edge", "control_plane", "jobs"),
}
FORBIDDEN: dict[str, tuple[str, ...]] = {
    "faces": ("faces.engine",),
    "control_plane": ("faces.engine",),
    "edge.tracks": ("edge.camera", "edge.uplink", "edge.spool", "edge.replica", "edge.preview"),
    "edge.frames": ("edge.camera", "edge.uplink", "edge.spool", "edge.replica", "edge.preview"),
    "edge.decide": ("edge.camera", "edge.uplink", "edge.spool", "edge.replica", "edge.preview"),
    "edge.recognize": ("edge.camera", "edge.uplink", "edge.spool", "edge.replica", "edge.preview"),
}
# The order within faces: a file imports only from those before it.
FACES = (
    "errors",
    "texts",
    "settings",
    "logs",
    "consent",
    "addresses",
    "face",
    "encoding",
    "corrections",
    "gallery",
    "quality",
    "events",
    "signing",
    "sealing",
    "masterkey",
    "wire",
    "replica",
)

# Where each third-party package may be imported.
HOMES: dict[str, tuple[str, ...]] = {
    "argon2": ("control_plane.passwords",),
    "alembic": ("control_plane.store.schema", "migrations"),
    "click": ("rollcall",),
    "cryptography": ("faces.sealing", "control_plane.certificate"),
    "cv2": ("faces.engine", "edge.camera", "edge.source", "rollcall.film"),
    "dlib": ("faces.engine",),
    "dramatiq": ("control_plane.dispatch", "jobs"),
    "face_recognition": ("bench",),
    "msgspec": ("faces", "control_plane", "edge", "jobs", "rollcall"),
    "numpy": ("faces", "edge", "jobs", "rollcall"),
    "onnx": ("faces.engine",),
    "onnxruntime": ("faces.engine",),
    "threadpoolctl": ("faces.engine",),
    "pika": ("control_plane.dispatch",),
    "psycopg": ("control_plane.store",),
    "prometheus_client": ("control_plane.metrics", "edge.metrics", "jobs.metrics"),
    "redis": ("control_plane",),
    "requests": ("edge", "jobs.outbound", "rollcall"),
    "rich": ("rollcall",),
    "sqlalchemy": ("control_plane.store", "migrations"),
    "starlette": ("control_plane",),
    "python_multipart": ("control_plane",),
    "urllib3": ("edge.gate", "jobs.outbound"),
    "uvicorn": ("control_plane",),
    "websockets": ("edge", "rollcall"),
}


def modules() -> Iterator[tuple[str, Path]]:
    for package in OURS:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def imports(source: str) -> Iterator[str]:
    """The modules that a file imports, wherever in it. `from a import b` counts as a.b, which may be a module."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix + ".")


def law_of(module: str) -> tuple[str, ...]:
    return LAWS[max((k for k in LAWS if within(module, k)), key=len)]


def violations(module: str, source: str) -> list[str]:
    """What a file with this module name may not import, but does."""
    return [f"{module} imports {name}" for name in imports(source) if not _lawful(module, name)]


def _lawful(module: str, name: str) -> bool:
    package = name.partition(".")[0]
    if package not in OURS:
        third_party = package not in sys.stdlib_module_names
        return not third_party or any(within(module, home) for home in HOMES.get(package, ()))
    if not any(within(name, allowed) for allowed in law_of(module)):
        return False
    if any(within(module, k) and within(name, f) for k, v in FORBIDDEN.items() for f in v if not within(module, f)):
        return False
    return _in_order(module, name)


def _in_order(module: str, name: str) -> bool:
    if not (within(module, "faces") and module.count(".") == 1 and not within(module, "faces.engine")):
        return True
    here, there = module.split(".")[1], name.split(".")[1]
    return there in FACES and FACES.index(there) <= FACES.index(here)


def test_every_file_imports_only_what_its_floor_may() -> None:
    found = [v for module, path in modules() for v in violations(module, path.read_text())]
    assert found == []


def test_every_file_of_faces_has_its_place_in_the_order() -> None:
    assert {p.stem for p in (ROOT / "faces").glob("*.py")} == {*FACES, "__init__"}


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("faces.gallery", "import faces.wire"),
        ("faces.errors", "from faces import face"),
        ("faces.wire", "from faces.engine import load"),
        ("faces.face", "import sqlalchemy"),
        ("edge.decide", "from edge.camera import Camera"),
        ("edge.uplink", "from control_plane.store import db"),
        ("control_plane.app", "from faces import engine"),
        ("control_plane.app", "import jobs.worker"),
        ("control_plane.store.db", "from control_plane import app"),
        ("control_plane.api.events", "import cv2"),
        ("control_plane.api.events", "import sqlalchemy"),
        ("jobs.encode", "from control_plane import app"),
        ("jobs.encode", "import edge"),
        ("jobs.sweep", "def f():\n    import starlette"),
        ("edge.camera", "import unheard_of_package"),
    ],
)
def test_a_planted_violation_is_seen(module: str, source: str) -> None:
    assert violations(module, source)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("faces.wire", "from faces.gallery import Row"),
        ("edge.recognize", "from faces.engine import Engine"),
        ("jobs.encode", "from control_plane.store import enrollments"),
        ("rollcall.up", "import edge.config, control_plane.config"),
        ("control_plane.app", "import starlette.applications, json"),
    ],
)
def test_what_the_law_allows_is_allowed(module: str, source: str) -> None:
    assert violations(module, source) == []
