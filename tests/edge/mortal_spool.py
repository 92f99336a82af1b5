"""A spool's lives: each begins where the last was killed, by SIGKILL, at a statement of SQL that chance chose.

Arguments: the spool's path, the number of lives, the most events it holds, a seed, a planted fault or nothing. What
happened outside the spool is told on standard output, a line each: `made` before an event is appended, `kept` after,
`posted` when a control plane would have it, with the counts of a notice. The last life is not killed and drains.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import msgspec

from edge.spool import Bounds, Spool, Spooled
from faces.events import Event, Status, uuid7

LAST = 1 << 60
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def tell(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def dies_at(statement: int) -> None:
    """Have every connection kill the process when it comes to this statement."""
    connect, left = sqlite3.connect, statement

    def count(_: str) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def traced(*args: object, **more: object) -> sqlite3.Connection:
        db = connect(*args, **more)  # type: ignore[call-overload]
        db.set_trace_callback(count)
        return db  # type: ignore[no-any-return]

    sqlite3.connect = traced  # type: ignore[assignment]


def append(spool: Spool, number: int) -> None:
    status, reason = ((Status.PASS, None), (Status.REJECT, None), (Status.REJECT, "deny"))[number % 3]
    made = Event(id=uuid7(NOW, os.urandom(10)), camera="door", captured_at=NOW, status=status, reason=reason)
    tell("made", made.id)
    spool.append(made)
    tell("kept", made.id)


def post(spool: Spool, fault: str) -> bool:
    batch = spool.batch(10, live=2)
    if fault == "delete_first":
        spool.acknowledge([item.id for item in batch])
    for item in batch:
        spool.dropped()  # one more statement to die at
        dropped = msgspec.msgpack.decode(item.body, type=Event).dropped
        tell("posted", item.id, json.dumps(dropped) if dropped else "")
    if fault != "delete_first":
        spool.acknowledge([item.id for item in batch])
    return bool(batch)


class Forgetful(Spool):
    """Says that it has kept what it has not."""

    def __init__(self, path: Path, bounds: Bounds) -> None:
        super().__init__(path, bounds)
        self._late: list[Event] = []

    def append(self, event: Event) -> None:
        self._late.append(event)

    def batch(self, limit: int, live: int = 0) -> list[Spooled]:
        for event in self._late:
            super().append(event)
        self._late.clear()
        return super().batch(limit, live)


class Careless(Spool):
    """Drops events in one transaction, and counts them in another."""

    def _count(self, counts: object) -> None:
        pass


FAULTS = {"acknowledge_first": Forgetful, "uncounted": Careless}


def live(path: Path, events: int, fault: str, *, drain: bool) -> None:
    spool = FAULTS.get(fault, Spool)(path, Bounds(events=events))
    threads = [
        threading.Thread(target=lambda n=n: [append(spool, n + k) for k in range(15)])  # type: ignore[misc]
        for n in (0, 1)
    ]
    for thread in threads:
        thread.start()
    for _ in range(3):
        post(spool, fault)
    for thread in threads:
        thread.join()
    while drain and post(spool, fault):
        pass
    spool.close()


def main(path: Path, lives: int, events: int, seed: int, fault: str) -> None:
    chance = random.Random(seed)
    for number in range(lives + 1):
        last = number == lives
        statement = LAST if last else chance.randrange(1, 60 if number % 3 == 0 else 500)
        if (child := os.fork()) == 0:
            dies_at(statement)
            live(path, events, fault, drain=last)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        tell("killed" if os.WIFSIGNALED(status) else "ended", UUID(int=number), status)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
