"""The sweeper: sends a message for every row that is due. What the tables show unfinished is sent again."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Protocol

from control_plane.store.db import Connection, Database, Unavailable
from control_plane.store.watch import Watch


class Due(Protocol):
    """A store's query for rows that nobody holds and whose time has come."""

    def __call__(self, connection: Connection, now: datetime, *, limit: int) -> list[str]: ...


class Send(Protocol):
    """An actor's `send`."""

    def __call__(self, row_id: str, /) -> object: ...


log = logging.getLogger(__name__)

RETRY_S = 1.0
BATCH = 64
"""How many rows of a kind are nudged at once; the next follow as these are taken."""

NUDGE_AGAIN = timedelta(seconds=5)
"""A row that is still due after so long is nudged again: its message was lost."""

AT_LEAST_EVERY_S = 0.5
"""How often time alone is looked at (retries and expired leases), while nothing is committed."""


LOST_EVERY_S = 1.0
"""The same where commits are not noticed, as whoever commits sends the message, too: here are those that were lost,
and what becomes due by time alone."""

CALM_EVERY = timedelta(seconds=5)
"""How often that is asked which nobody waits for: each question costs half a millisecond."""


class Sweeper:
    """Nudges what is due; of `calm` rows, every so often. `sweep` does one round; `run` repeats it whenever somebody
    commits.

    `failures` are what the sends raise while the broker is out of reach.
    """

    def __init__(
        self,
        database: Database,
        sends: Mapping[Due, Send],
        clock: Callable[[], datetime],
        calm: Collection[Due] = (),
        failures: tuple[type[Exception], ...] = (),
    ) -> None:
        self._database = database
        self._sends = sends
        self._clock = clock
        self._calm = calm
        self._failures = failures
        self._calm_at: datetime | None = None
        self._nudged: dict[tuple[Send, str], datetime] = {}
        self._turn = threading.Lock()

    def sweep(self) -> int:
        """Send a message for each due row that has not just had one; returns how many."""
        now = self._clock()
        calm = self._calm_at is not None and timedelta(0) <= now - self._calm_at < CALM_EVERY
        if not calm:
            self._calm_at = now
        return self._send([due for due in self._sends if not (calm and due in self._calm)], now)

    def look_at(self, due: Due) -> None:
        """The same at once, from any thread, for one kind: what somebody has just made due. What fails is left to the
        next sweep."""
        try:
            self._send([due], self._clock())
        except Unavailable as error:
            log.warning("%s", error.message)
        except self._failures as error:
            log.warning("the broker does not take messages: %s", type(error).__name__)

    def _send(self, dues: Iterable[Due], now: datetime) -> int:
        with self._turn:
            self._nudged = {nudge: at for nudge, at in self._nudged.items() if now - at < NUDGE_AGAIN}
            with self._database.read() as connection:
                found = [(self._sends[due], row) for due in dues for row in due(connection, now, limit=BATCH)]
            fresh = [nudge for nudge in found if nudge not in self._nudged]
            for send, row in fresh:
                send(row)
                self._nudged[send, row] = now
            return len(fresh)

    def run(self, stop: threading.Event, over: Callable[[], bool] = lambda: False) -> None:
        """Sweep until `stop`, or until a sweep after which it is `over`: at once when somebody commits, and every so
        often as time passes. While database or broker are out of reach it waits for them."""
        while not stop.is_set():
            try:
                self._run(stop, over)
            except Unavailable as error:
                log.warning("%s", error.message)
            except self._failures as error:
                log.warning("the broker does not take messages: %s", type(error).__name__)
            else:
                return
            stop.wait(RETRY_S)

    def _run(self, stop: threading.Event, over: Callable[[], bool]) -> None:
        with Watch(self._database) as watch:
            interval_s, every_s = LOST_EVERY_S, LOST_EVERY_S
            if self._database.is_sqlite:
                interval_s, every_s = watch.interval_s, AT_LEAST_EVERY_S
            waited = every_s
            while not stop.wait(interval_s):
                waited += interval_s
                if watch.changed() or waited >= every_s:
                    waited = 0.0
                    self.sweep()
                    if over():
                        return
