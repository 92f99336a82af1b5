"""Writes of many callers, committed together: to wait for the disk takes fifty of them as long as one."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

from control_plane.store.db import Connection, of_one
from faces.errors import RollcallError

T = TypeVar("T")
Item = TypeVar("Item")

Work = Callable[[Connection], Any]
Write = Callable[[Callable[[Connection], Sequence[Any]]], Awaitable[Sequence[Any]]]

AT_ONCE = 50
"""Writes committed together at most: other writers wait meanwhile."""


class Gathered(Generic[Item, T]):
    """`add` commits what has come in since the last commit, by `together`. For one event loop.

    `together` gives for each item what comes of it, or a RollcallError that its caller alone is told. `weight` of the
    items of one commit is `at_once` at most, unless a single one weighs more.
    """

    def __init__(
        self,
        write: Write,
        together: Callable[[Connection, list[Item]], Sequence[T | RollcallError]],
        *,
        at_once: int,
        weight: Callable[[Item], int] = lambda _: 1,
    ) -> None:
        self._write = write
        self._together = together
        self._at_once = at_once
        self._weight = weight
        self._waiting: deque[tuple[Item, asyncio.Future[T]]] = deque()
        self._flushing: asyncio.Task[None] | None = None

    async def add(self, item: Item) -> T:
        """What comes of an item; returns when it has committed."""
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, done))
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.create_task(self._flush())
        return await done

    async def _flush(self) -> None:
        while self._waiting:
            batch = self._batch()
            work = partial(self._work, [item for item, _ in batch])
            (outcomes,) = await asyncio.gather(self._write(work), return_exceptions=True)
            if isinstance(outcomes, BaseException):
                outcomes = [outcomes] * len(batch)
            for (_, done), outcome in zip(batch, outcomes, strict=True):
                if done.done():
                    continue
                if isinstance(outcome, BaseException):
                    done.set_exception(outcome)
                else:
                    done.set_result(outcome)

    def _work(self, items: list[Item], connection: Connection) -> Sequence[T | RollcallError]:
        return self._together(connection, items)

    def _batch(self) -> list[tuple[Item, asyncio.Future[T]]]:
        """The next items, first come, first served."""
        batch = [self._waiting.popleft()]
        weight = self._weight(batch[0][0])
        while self._waiting and (weight := weight + self._weight(self._waiting[0][0])) <= self._at_once:
            batch.append(self._waiting.popleft())
        return batch


class Gatherer:
    """`write` commits what has come in since the last commit. For one event loop."""

    def __init__(self, write: Write) -> None:
        self._works: Gathered[Work, Any] = Gathered(write, one_by_one, at_once=AT_ONCE)

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Do something in a transaction shared with others; returns when it has committed.

        What `work` raises is raised here, takes back what `work` did, and harms no other, unless it is the database
        that failed.
        """
        done: T = await self._works.add(work)
        return done


def one_by_one(connection: Connection, works: Sequence[Work]) -> list[Any]:
    """What each of the works returns, or raised after its own part of the transaction was rolled back."""
    return [_outcome(connection, work) for work in works]


def _outcome(connection: Connection, work: Work) -> Any:
    try:
        with connection.begin_nested():
            return work(connection)
    except Exception as error:
        told = of_one(error)
        if told is None:
            raise
        return told
