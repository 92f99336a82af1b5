from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from control_plane.store.db import Connection, Database
from control_plane.store.tables import counters
from faces.errors import Invalid
from jobs.together import Together


def test_writes_that_come_during_a_commit_are_committed_together(store: Database) -> None:
    together, held, entered = Together(store), threading.Event(), threading.Event()
    commits = []
    sa.event.listen(store.engine, "commit", lambda _: commits.append(1))

    def slow(_connection: Connection) -> str:
        entered.set()
        assert held.wait(10)
        return "first"

    def add(name: str) -> str:
        return together.write(lambda c: c.execute(counters.insert().values(name=name, value=1)) and name)

    names = [f"n{i}" for i in range(20)]
    with ThreadPoolExecutor(21) as threads:
        first = threads.submit(together.write, slow)
        assert entered.wait(10)
        rest = [threads.submit(add, name) for name in names]
        while together._waiting.qsize() < len(names):
            threading.Event().wait(0.001)
        held.set()
        assert [first.result(10), *(r.result(10) for r in rest)] == ["first", *names]
    assert len(commits) == 2


def test_one_that_fails_harms_no_other(store: Database) -> None:
    together, held, entered = Together(store), threading.Event(), threading.Event()

    def slow(_connection: Connection) -> None:
        entered.set()
        assert held.wait(10)

    def bad(_connection: Connection) -> None:
        raise Invalid("no")

    with ThreadPoolExecutor(3) as threads:
        threads.submit(together.write, slow)
        assert entered.wait(10)
        wrong, right = threads.submit(together.write, bad), threads.submit(together.write, lambda _: 7)
        while together._waiting.qsize() < 2:
            threading.Event().wait(0.001)
        held.set()
        assert right.result(10) == 7
        with pytest.raises(Invalid):
            wrong.result(10)
