"""How fast a ZIP of photos becomes a gallery: against the bare engine in the same run, and with two workers.

`python -m bench.imports --json`. Needs Redis and Postgres in reach for the second ratio (BENCH_REDIS_URL,
BENCH_POSTGRES_URL). Run it on a quiet machine: whatever else computes is taken from one side or the other.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import cv2
import numpy as np
import psycopg
import requests

from bench.machine import describe
from control_plane.store import schema
from control_plane.store.db import Database, utcnow
from faces import engine as engines
from faces.engine.enroll import enroll
from faces.errors import Refused
from rollcall.supervisor import Process, Supervisor
from rollcall.up import HOST, Place, free_port

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
REDIS = os.environ.get("BENCH_REDIS_URL", "redis://127.0.0.1:6379/9")
POSTGRES = os.environ.get("BENCH_POSTGRES_URL", "postgresql://postgres@127.0.0.1:5432/postgres")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--photos", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=1, help="the medians of so many rounds")
    parser.add_argument("--bare", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.bare is not None:
        print(bare_rate(arguments.bare))
        return
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder), arguments.photos, arguments.rounds)
    figures = {**describe(), "load": round(os.getloadavg()[0], 2), "photos": arguments.photos, **figures}
    print(json.dumps(figures, indent=2) if arguments.json else "\n".join(f"{k}: {v}" for k, v in figures.items()))


def measure(folder: Path, count: int, rounds: int) -> dict[str, Any]:
    archive = folder / "faces.zip"
    archive.write_bytes(archived(photos(count)))
    ratios, scaling, rates = [], [], {}
    for number in range(rounds):
        # The bare loop before and after, as machines change their pace.
        before = _bare(archive)
        product = embedded(folder / f"embedded-{number}", archive)
        after = _bare(archive)
        one, two = (production(folder / f"{n}-{number}", archive, n) for n in (1, 2))
        ratios.append(product / statistics.mean((before, after)))
        scaling.append(two / one)
        rates = {"bare_engine": (before + after) / 2, "product": product, "one_process": one, "two_processes": two}
    return {
        "ratio_to_bare_engine": round(statistics.median(ratios), 3),
        "ratio_two_processes": round(statistics.median(scaling), 3),
        "photos_per_s": {name: round(rate, 2) for name, rate in rates.items()},
    }


def photos(count: int) -> Iterator[tuple[str, bytes]]:
    """Photos distinct by content, by their paths in the archive: the real ones, then mild changes of them."""
    real = [(f"{p.parent.name}/{p.name}", p.read_bytes()) for p in sorted((DATA / "people").glob("*/*.jpg"))]
    real += [(p.name, p.read_bytes()) for p in sorted((DATA / "strangers").glob("*.jpg"))]
    for index in range(count):
        path, data = real[index % len(real)]
        turn = index // len(real)
        yield (path, data) if turn == 0 else (f"{Path(path).stem}/{turn}.jpg", changed(data, turn))


def changed(data: bytes, turn: int) -> bytes:
    """The photo a little darker or brighter, and a few pixels smaller at its edges."""
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    cut = picture[turn * 2 : -turn * 2, turn * 3 : -turn * 2]
    brighter = cv2.convertScaleAbs(cut, alpha=1.0 + 0.04 * (-1) ** turn * turn)
    return bytes(cv2.imencode(".jpg", brighter, [cv2.IMWRITE_JPEG_QUALITY, 93])[1])


def archived(files: Iterator[tuple[str, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        for path, data in files:
            made.writestr(path, data)
    return buffer.getvalue()


def bare_rate(archive: Path) -> float:
    """Photos a second of the engine alone: load, detect, encode, one after the other."""
    engine = engines.load(threads=1)
    with zipfile.ZipFile(archive) as opened:
        files = [opened.read(name) for name in opened.namelist()]
    _enroll(engine, files[0])
    began = time.perf_counter()
    for data in files:
        _enroll(engine, data)
    return len(files) / (time.perf_counter() - began)


def _enroll(engine: engines.Engine, data: bytes) -> None:
    with suppress(Refused):
        enroll(engine, data)


def _bare(archive: Path) -> float:
    """In a process of its own, as the product's engine has one."""
    command = [sys.executable, "-m", "bench.imports", "--bare", str(archive)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def embedded(folder: Path, archive: Path) -> float:
    """Photos a second through control plane and one worker with one thread, on SQLite and no broker."""
    return _through(folder, archive, 1, {})


def production(folder: Path, archive: Path, workers: int) -> float:
    """Photos a second through control plane and workers with one thread each, on Postgres and Redis."""
    with postgres() as url:
        return _through(folder, archive, workers, {"DATABASE_URL": url, "BROKER_URL": REDIS})


@contextmanager
def postgres() -> Iterator[str]:
    """A migrated database of its own."""
    name = f"rollcall_bench_{uuid4().hex[:12]}"
    with psycopg.connect(POSTGRES, autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}"')
        try:
            url = f"{POSTGRES.rpartition('/')[0]}/{name}"
            database = Database(url)
            schema.migrate(database, utcnow())
            database.close()
            yield url
        finally:
            admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def _through(folder: Path, archive: Path, workers: int, settings: dict[str, str]) -> float:
    place = Place(data=folder, port=free_port(), stream_port=0)
    environment = {"DATA_DIR": str(folder), "HOST": HOST, "PORT": str(place.port), "STREAM_PORT": "0", **settings}
    environment |= {"WORKER_THREADS": "1", "THREADS": "1"}
    with Supervisor(logs=folder / "logs") as supervisor:
        supervisor.start(Process("control plane", "control_plane", environment))
        supervisor.wait_ready(f"{place.url}/readyz")
        names = [f"worker {number}" for number in range(workers)]
        for name in names:
            supervisor.start(Process(name, "jobs.worker", environment))
        for name in names:
            _wait_ready(folder / "logs" / f"{name.replace(' ', '_')}.log")
        return _rate(place, archive)


def _rate(place: Place, archive: Path) -> float:
    """Photos a second from handing in the archive until its last photo has its outcome."""
    began = time.perf_counter()
    with archive.open("rb") as file:
        headers = {"Content-Type": "application/zip"}
        made = requests.post(f"{place.url}/v1/imports", data=file, headers=headers, timeout=60).json()
    while made["state"] in ("pending", "running"):
        headers = {"Prefer": "wait=30"}
        made = requests.get(f"{place.url}/v1/imports/{made['id']}", headers=headers, timeout=60).json()
    if made["state"] != "done" or made["accepted"] < made["total"] // 2:
        raise RuntimeError(f"the import went wrong: {made}")
    return float(made["total"] / (time.perf_counter() - began))


def _wait_ready(log: Path) -> None:
    deadline = time.monotonic() + 60
    while "worker ready" not in (log.read_text() if log.is_file() else ""):
        if time.monotonic() > deadline:
            raise RuntimeError(f"the worker did not start: {log}")
        time.sleep(0.05)


if __name__ == "__main__":
    main()
