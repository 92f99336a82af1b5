"""Yesterday's database is put back under the running product, as people do who have a copy of a file."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import requests

from rollcall.supervisor import Process, Supervisor
from rollcall.up import HOST, Place, free_port, start_edge

WITHIN_S = 90.0


class Product:
    """Control plane and edge; the control plane can be stopped and started again."""

    def __init__(self, folder: Path, film: Path) -> None:
        self.place = Place(data=folder / "centre", port=free_port(), stream_port=0)
        self.edge_data = folder / "edge"
        self._logs = folder / "logs"
        self._centre = Supervisor(logs=self._logs)
        self._edge = Supervisor(logs=self._logs)
        self.start()
        settings = {"DATA_DIR": str(self.edge_data), "VIDEO_SOURCE": str(film), "VIDEO_LOOP": "loop", "MAX_FPS": "1"}
        start_edge(self._edge, self.place, settings, restart=False)

    def start(self) -> None:
        self._centre = Supervisor(logs=self._logs)
        settings = {"DATA_DIR": str(self.place.data), "HOST": HOST, "PORT": str(self.place.port), "STREAM_PORT": "0"}
        self._centre.start(Process("control plane", "control_plane", settings))
        self._centre.wait_ready(f"{self.place.url}/readyz")

    def stop(self) -> None:
        self._centre.stop()

    def end(self) -> None:
        self._edge.stop()
        self._centre.stop()

    def ask(self, method: str, path: str, **options: Any) -> Any:
        answer = requests.request(method, self.place.url + path, timeout=10, **options)
        assert answer.ok, answer.text
        return answer.json() if answer.content else None

    def person(self, name: str) -> str:
        made: str = self.ask("POST", "/v1/identities", json={"name": name})["id"]
        return made

    def at_the_edge(self) -> set[str]:
        """The ids of those whom the edge holds."""
        with closing(sqlite3.connect(f"file:{self.edge_data / 'galleries.db'}?mode=ro", uri=True)) as held:
            return {key for (key,) in held.execute("SELECT id FROM rows WHERE kind = 'identity'")}

    def up_to_date(self) -> bool:
        edges = self.ask("GET", "/v1/edges")["items"]
        revision = self.ask("GET", "/v1/galleries/default")["revision"]
        return bool(edges and edges[0]["galleries"]) and all(
            (held["revision"], held["lag"], held["error"]) == (revision, 0, None) for held in edges[0]["galleries"]
        )


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not true():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.05)


def test_hostile_34_an_edge_ahead_of_yesterdays_database_starts_over_and_the_erased_stay_gone(
    data: Path, tmp_path: Path
) -> None:
    product = Product(tmp_path, data / "video" / "signer-1.mkv")
    try:
        erased, kept = product.person("Erased since"), product.person("Kept")
        until(lambda: product.up_to_date() and product.at_the_edge() == {erased, kept})
        product.stop()
        yesterday = (product.place.data / "rollcall.db").read_bytes()
        product.start()
        product.ask("DELETE", f"/v1/identities/{erased}")
        for number in range(5):
            product.person(f"Lost {number}")
        until(lambda: product.up_to_date() and len(product.at_the_edge()) == 6)
        product.stop()
        for file in product.place.data.glob("rollcall.db*"):
            file.unlink()
        (product.place.data / "rollcall.db").write_bytes(yesterday)
        product.start()
        assert [person["id"] for person in product.ask("GET", "/v1/identities")["items"]] == [kept]
        until(lambda: product.up_to_date() and product.at_the_edge() == {kept})
        new = product.person("New")
        until(lambda: product.up_to_date() and product.at_the_edge() == {kept, new})
    finally:
        product.end()
