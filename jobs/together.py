"""Small writes of many threads, committed together: to wait for the disk takes fifty of them as long as one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from control_plane.store.db import Connection, Database

T = TypeVar("T")

Work = Callable[[Connection], Any]

AT_ONCE = 50
"""Writes committed together at most: other writers wait meanwhile."""


class Together:
    """`write` commits what has come in while the last commit was made, from a thread of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: SimpleQueue[tuple[Work, Future[Any]]] = SimpleQueue()
        threading.Thread(target=self._run, name="together", daemon=True).start()

    def write(self, work: Callable[[Connection], T]) -> T:
        """Do something in a transaction shared with others; returns when it has committed.

        Where one of them fails, each is done again on its own: `work` must not mind.
        """
        done: Future[T] = Future()
        self._waiting.put((work, done))
        return done.result()

    def _run(self) -> None:
        while True:
            batch = [self._waiting.get()]
            try:
                while len(batch) < AT_ONCE:
                    batch.append(self._waiting.get_nowait())
            except Empty:
                pass
            self._settle(batch)

    def _settle(self, batch: list[tuple[Work, Future[Any]]]) -> None:
        try:
            results = self._commit([work for work, _ in batch])
        except Exception as error:  # noqa: BLE001 - whoever waits is told, and this thread goes on
            if len(batch) == 1:
                batch[0][1].set_exception(error)
            else:
                for one in batch:
                    self._settle([one])
            return
        for (_, done), result in zip(batch, results, strict=True):
            done.set_result(result)

    def _commit(self, works: list[Work]) -> list[Any]:
        return self._database.committed(lambda connection: [work(connection) for work in works])
