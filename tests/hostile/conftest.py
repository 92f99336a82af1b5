"""The running product, and the bounds within which every hostile input has to be answered."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from rollcall.supervisor import Supervisor
from rollcall.up import Place, free_port, start_centre
from tests import services
from tests.hostile.zips import Raw, build

ANSWERED_WITHIN_S = 5.0
EXTRA_MEMORY_BYTES = 300 * 10**6
GONE_WITHIN_S = 30.0


class Product:
    """Control plane and worker as they run at a customer's, and a client of them."""

    def __init__(self, place: Place, supervisor: Supervisor, good: bytes) -> None:
        self.place, self._supervisor, self._good = place, supervisor, good

    def pids(self) -> dict[str, int]:
        running = {p.name: p.running for p in self._supervisor._processes.values()}
        return {name: process.pid for name, process in running.items() if process and process.poll() is None}

    @contextmanager
    def bounds(self) -> Iterator[None]:
        """What happens inside is answered in time, takes no more memory than allowed, and hurts nobody after it."""
        before = self.pids()
        assert len(before) == 2
        resident = {}
        for name, pid in before.items():
            Path(f"/proc/{pid}/clear_refs").write_text("5")
            resident[name] = _status(pid, "VmRSS")
        began = time.monotonic()
        yield
        took = time.monotonic() - began
        assert took < ANSWERED_WITHIN_S
        assert self.pids() == before
        extra = {name: _status(pid, "VmHWM") - resident[name] for name, pid in before.items()}
        assert max(extra.values()) < EXTRA_MEMORY_BYTES, extra
        self.serve_a_good_request()

    def serve_a_good_request(self) -> None:
        assert self.register(self._good, "Good").json()["success"] is True
        url = f"{self.place.url}/unregister"
        assert requests.post(url, data={"name": "Good"}, timeout=10).json()["success"] is True

    def register(self, photo: bytes, name: str, **fields: str) -> requests.Response:
        url, files = f"{self.place.url}/register", {"image": ("photo.jpg", photo)}
        return requests.post(url, data={"name": name, **fields}, files=files, timeout=30)

    def take(self, archive: bytes, wait_s: int = 30, **asked: str) -> dict[str, Any]:
        """Hand in an archive, wait for its end, and undo it afterwards by `clean`."""
        headers = {"Content-Type": "application/zip", "Prefer": f"wait={wait_s}"}
        url = f"{self.place.url}/v1/imports"
        answer = requests.post(url, data=archive, params=asked, headers=headers, timeout=60)
        found: dict[str, Any] = answer.json()
        return found["import"] if answer.status_code == 422 else found

    def outcomes(self, import_id: str) -> dict[str, str]:
        url = f"{self.place.url}/v1/imports/{import_id}/items"
        items = requests.get(url, params={"limit": 500}, timeout=10).json()["items"]
        return {i["entry"]: i["reason"] or i["state"] for i in items}

    def take_all(self, files: Mapping[str, bytes] | list[Raw]) -> dict[str, str]:
        """The outcomes of an archive of these files."""
        entries = files if isinstance(files, list) else [Raw(n.encode(), data) for n, data in files.items()]
        done = self.take(build(entries))
        assert done["state"] == "done", done
        return self.outcomes(done["id"])

    def clean(self) -> None:
        """Take back whatever a test brought."""
        for found in requests.get(f"{self.place.url}/v1/imports", params={"limit": 500}, timeout=10).json()["items"]:
            if found["state"] == "done":
                headers = {"Prefer": "wait=20"}
                requests.post(f"{self.place.url}/v1/imports/{found['id']}/undo", headers=headers, timeout=40)
        people = f"{self.place.url}/v1/identities"
        for found in requests.get(people, params={"limit": 500}, timeout=10).json()["items"]:
            requests.delete(f"{people}/{found['id']}", timeout=10)

    def files(self) -> list[Path]:
        """All files under the data folder that are no database and no log."""
        return [p for p in (self.place.data / "blobs").rglob("*") if p.is_file()]

    def nothing_stays(self) -> None:
        """Return when no file is there any more: what is refused or breaks off goes a moment after that is told."""
        deadline = time.monotonic() + GONE_WITHIN_S
        while left := self.files():
            assert time.monotonic() < deadline, left
            time.sleep(0.02)


def _status(pid: int, field: str) -> int:
    found = re.search(rf"^{field}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.M)
    assert found is not None
    return 1024 * int(found[1])


@pytest.fixture(scope="module")
def running_product(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    folder = tmp_path_factory.mktemp("hostile")
    with services.environment(), Supervisor(logs=folder / "logs") as supervisor:
        place = Place(data=folder / "data", port=free_port(), stream_port=0)
        start_centre(supervisor, place)
        product = Product(place, supervisor, (data / "portraits" / "biden.jpg").read_bytes())
        # The first photo is the slowest, as the engine warms up; it is nobody's bound.
        product.serve_a_good_request()
        yield product


@pytest.fixture
def product(running_product: Product) -> Iterator[Product]:
    running_product.clean()
    yield running_product
    running_product.clean()


@pytest.fixture
def portrait(data: Path) -> dict[str, bytes]:
    return {p.stem: p.read_bytes() for p in (data / "portraits").iterdir()}
