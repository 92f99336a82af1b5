"""How long readers wait while a 2 GB archive and a bomb come in: `python -m bench.uploads --json`.

50 requests a second for as long as the upload lasts, each timed from the instant it was due: reads of /faces and
/v1/events, and every tenth a POST /register. The archive is read from disk by curl, as a form or as a raw body.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import tempfile
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import requests

from bench.machine import describe
from rollcall.supervisor import Supervisor
from rollcall.up import Place, free_port, start_centre
from tests.hostile.zips import Raw, build, central_header, quoted_overlap_bomb

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
REQUESTS_PER_S = 50
LANES = 16
AT_LEAST_S = 10.0
ZIP = "Content-Type: application/zip"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--bytes", type=int, default=2 << 30)
    parser.add_argument("--form", action="store_true", help="send the archive as a form, not as the body")
    parser.add_argument("--idle", action="store_true", help="send none, to compare")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder), 0 if arguments.idle else arguments.bytes, arguments.form)
    figures = {**describe(), "load": round(os.getloadavg()[0], 2), "form": arguments.form, **figures}
    print(json.dumps(figures, indent=2) if arguments.json else "\n".join(f"{k}: {v}" for k, v in figures.items()))


def measure(folder: Path, size: int, form: bool) -> dict[str, Any]:
    archive, bomb = folder / "large.zip", folder / "bomb.zip"
    if size:
        _write_large(archive, size)
    bomb.write_bytes(quoted_overlap_bomb(250, 10**6))
    with Supervisor(logs=folder / "logs") as supervisor:
        place = Place(data=folder / "data", port=free_port(), stream_port=0)
        start_centre(supervisor, place)
        traffic = Traffic(place)
        traffic.send("register").result()
        uploads = [_upload(place, path, form) for path in (archive, bomb)] if size else []
        began = time.monotonic()
        traffic.run(lambda: any(u.poll() is None for u in uploads) or time.monotonic() - began < AT_LEAST_S)
        took = time.monotonic() - began
        answers = [json.loads((u.communicate()[0] or b"{}").decode()) for u in uploads]
        states = [_end(place, a["import"]["id"] if "import" in a else a["id"]) for a in answers]
    return {"upload_bytes": size, "upload_s": round(took, 1), "imports": states, **traffic.figures()}


class Traffic:
    """Requests at a steady pace, whatever becomes of those before."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._pool = ThreadPoolExecutor(LANES)
        self._sessions = threading.local()
        self._photos = itertools.cycle(p.read_bytes() for p in sorted((DATA / "strangers").glob("*.jpg")))
        self._took: dict[str, list[float]] = {"faces": [], "events": [], "register": []}
        self._failed = 0

    def run(self, going_on: Any) -> None:
        began, kinds = time.perf_counter(), itertools.cycle(["faces", "events"] * 4 + ["register", "faces"])
        sent: list[Future[None]] = []
        while going_on():
            due = began + len(sent) / REQUESTS_PER_S
            time.sleep(max(0.0, due - time.perf_counter()))
            sent.append(self.send(next(kinds), due))
        for future in sent:
            future.result()

    def send(self, kind: str, due: float | None = None) -> Future[None]:
        return self._pool.submit(self._send, kind, time.perf_counter() if due is None else due, next(self._photos))

    def _send(self, kind: str, due: float, photo: bytes) -> None:
        session = self._sessions.__dict__.setdefault("session", requests.Session())
        if kind == "register":
            data, files = {"name": f"Person {due}", "force": "true"}, {"image": ("p.jpg", photo)}
            answer = session.post(f"{self._place.url}/register", data=data, files=files, timeout=60)
        else:
            answer = session.get(f"{self._place.url}{'/faces' if kind == 'faces' else '/v1/events'}", timeout=60)
        self._took[kind].append(time.perf_counter() - due)
        self._failed += answer.status_code not in (200, 422)

    def figures(self) -> dict[str, Any]:
        reads = self._took["faces"] + self._took["events"]
        return {
            "requests": len(reads) + len(self._took["register"]),
            "failed": self._failed,
            "reads_p50_ms": _percentile(reads, 50),
            "reads_p99_ms": _percentile(reads, 99),
            "reads_max_ms": _percentile(reads, 100),
            "register_p99_ms": _percentile(self._took["register"], 99),
        }


def _percentile(seconds: list[float], percent: int) -> float:
    return round(1000 * float(np.percentile(seconds, percent)), 1)


def _write_large(path: Path, size: int) -> None:
    """An archive of one film of that size, which is passed over, and one photo."""
    photo = (DATA / "portraits" / "biden.jpg").read_bytes()
    block = os.urandom(1 << 20)
    count = size // len(block)
    film = Raw(b"film.mp4", packed=b"", size=count * len(block), crc=0)
    film.local = film.central = {"packed": count * len(block)}
    with path.open("wb") as file:
        file.write(build([film])[: 30 + len(film.name)])
        for _ in range(count):
            file.write(block)
        body = file.tell()
        rest = Raw(b"joe.jpg", photo)
        file.write(build([rest])[: 30 + len(rest.name) + len(photo)])
        directory = _directory(film, 0) + _directory(rest, body)
        at = file.tell()
        file.write(directory + build([])[:8] + (2).to_bytes(2, "little") * 2)
        file.write(len(directory).to_bytes(4, "little") + at.to_bytes(4, "little") + bytes(2))


def _directory(entry: Raw, offset: int) -> bytes:
    return central_header(entry.fields() | entry.central, offset)


def _upload(place: Place, path: Path, form: bool) -> subprocess.Popen[bytes]:
    how = ["-F", f"zip=@{path}"] if form else ["-H", ZIP, "-T", str(path), "-X", "POST"]
    return subprocess.Popen(["curl", "-s", *how, f"{place.url}/v1/imports"], stdout=subprocess.PIPE)


def _end(place: Place, import_id: str) -> str:
    headers = {"Prefer": "wait=30"}
    return str(requests.get(f"{place.url}/v1/imports/{import_id}", headers=headers, timeout=60).json()["state"])


if __name__ == "__main__":
    main()
