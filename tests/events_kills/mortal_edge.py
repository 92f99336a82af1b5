"""An edge to be killed: the real spool and the real poster, and in place of cameras a generator of events.

An event's own UUID travels as its `reason` too and is written to the truth file, durably, only after the spool has
taken it. `FAULT=delete_first` takes events out of the spool before they are posted; `FAULT=reused_ids` makes the id
that travels from the row's number in the spool, which begins anew whenever the spool is empty.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from edge.delivery import Poster
from edge.plane import ControlPlane, edge_id
from edge.spool import Spool, Spooled
from faces.errors import RollcallError
from faces.events import Event, Status, uuid7
from faces.wire import Hello

FAULT = os.environ.get("FAULT")
EVERY_S = 0.004


class DeletesFirst(Spool):
    def batch(self, *limits: int) -> list[Spooled]:
        found = super().batch(*limits)
        self.acknowledge(event.id for event in found)
        return found


def generate(spool: Spool, truth: Path, stop: Path) -> None:
    number = 0
    with truth.open("ab", buffering=0) as file:
        while not stop.exists():
            now = datetime.now(UTC)
            own = uuid7(now, os.urandom(10))
            number = number + 1 if len(spool) else 1
            key = UUID(int=number) if FAULT == "reused_ids" else own
            told = Event(
                id=key,
                camera="door",
                captured_at=now,
                status=Status.PASS,
                identity_id="p",
                name="Ann",
                reason=str(own),
                thumbnail=bytes(2000) if number % 5 == 0 else None,
            )
            spool.append(told)
            file.write(f"{own}\n".encode())
            os.fsync(file.fileno())
            time.sleep(EVERY_S)


def post(plane: ControlPlane, spool: Spool, stop: Path) -> None:
    poster, introduced = Poster(plane, spool), False
    while not (stop.exists() and not len(spool)):
        try:
            if not introduced:
                plane.hello(Hello(name="mortal", version="1", engine="sface", cameras=["door"]))
                introduced = True
            idle = poster.step() > 0
        except RollcallError:
            idle = True
        if idle:
            time.sleep(0.02)


def main() -> None:
    folder, url = Path(sys.argv[1]), sys.argv[2]
    spool = (DeletesFirst if FAULT == "delete_first" else Spool)(folder / "spool.db")
    stop = folder / "stop"
    generator = threading.Thread(target=generate, args=(spool, folder / "truth", stop), daemon=True)
    generator.start()
    while not stop.exists():
        post(ControlPlane(url, edge_id(folder / "edge-id")), spool, stop)
    generator.join()
    post(ControlPlane(url, edge_id(folder / "edge-id")), spool, stop)


if __name__ == "__main__":
    main()
