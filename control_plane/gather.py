"""Small writes of many callers, committed together: to wait for the disk takes fifty of them as long as one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

from control_plane.store.db import Connection
from faces.errors import RollcallError

T = TypeVar("T")

Work = Callable[[Connection], Any]
Write = Callable[[Callable[[Connection], list[Any]]], Awaitable[list[Any]]]

AT_ONCE = 50
"""Writes committed together at most: other writers wait meanwhile."""


class Gatherer:
    """`write` commits what has come in since the last commit. For one event loop."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._waiting: list[tuple[Work, asyncio.Future[Any]]] = []
        self._flushing: asyncio.Task[None] | None = None

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Do something in a transaction shared with others; returns when it has committed.

        A RollcallError that `work` raises is raised here, takes back what `work` did, and harms no other.
        """
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append((work, done))
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.create_task(self._flush())
        return await done

    async def _flush(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:AT_ONCE], self._waiting[AT_ONCE:]
            works = [work for work, _ in batch]
            (outcomes,) = await asyncio.gather(self._write(partial(_outcomes, works)), return_exceptions=True)
            if isinstance(outcomes, BaseException):
                outcomes = [outcomes] * len(batch)
            for (_, done), outcome in zip(batch, outcomes, strict=True):
                if done.done():
                    continue
                if isinstance(outcome, BaseException):
                    done.set_exception(outcome)
                else:
                    done.set_result(outcome)


def _outcomes(works: list[Work], connection: Connection) -> list[Any]:
    return [_outcome(connection, work) for work in works]


def _outcome(connection: Connection, work: Work) -> Any:
    """What `work` returns, or raised after its own part of the transaction was rolled back."""
    try:
        with connection.begin_nested():
            return work(connection)
    except RollcallError as error:
        return error
