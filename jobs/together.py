"""Small writes of many threads, committed together: to wait for the disk takes fifty of them as long as one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from control_plane.store.db import Connection, Database
from faces.errors import RollcallError

T = TypeVar("T")

AT_ONCE = 50
"""Writes committed together at most: other writers wait meanwhile."""


class Together:
    """`write` commits what has come in while the last commit was made."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[tuple[Callable[[Connection], Any], Future[Any]]] = []
        self._lock = threading.Lock()
        self._turn = threading.Lock()

    def write(self, work: Callable[[Connection], T]) -> T:
        """Do something in a transaction shared with others; returns when it has committed.

        Where one of them fails, each is done again on its own: `work` must not mind.
        """
        done: Future[T] = Future()
        with self._lock:
            self._waiting.append((work, done))
        while not done.done():
            # Whoever has its turn does the work of all who wait, and these find theirs done.
            with self._turn:
                self._flush()
        return done.result()

    def _flush(self) -> None:
        with self._lock:
            batch, self._waiting = self._waiting[:AT_ONCE], self._waiting[AT_ONCE:]
        try:
            self._settle(batch)
        except BaseException as error:
            # This thread is being stopped; nobody may wait for it for ever.
            for _, done in batch:
                if not done.done():
                    done.set_exception(error)
            raise

    def _settle(self, batch: list[tuple[Callable[[Connection], Any], Future[Any]]]) -> None:
        try:
            results = self._commit([work for work, _ in batch])
        except RollcallError:
            for work, done in batch:
                try:
                    done.set_result(self._commit([work])[0])
                except RollcallError as error:
                    done.set_exception(error)
            return
        for (_, done), result in zip(batch, results, strict=True):
            done.set_result(result)

    def _commit(self, works: list[Callable[[Connection], Any]]) -> list[Any]:
        if not works:
            return []
        with self._database.write() as connection:
            return [work(connection) for work in works]
