"""What the audit log is told of requests: of a change, in the change's own transaction; of a look, very soon."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from control_plane.gather import one_by_one
from control_plane.store import audit
from control_plane.store.chain import DONE, Entry
from control_plane.store.db import Connection, Unavailable, of_one
from faces.errors import RollcallError

log = logging.getLogger(__name__)

ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|default")
"""What is certainly an id: anything else that a caller wrote may be a name."""

SOON_S = 0.25
"""How long a look may wait for others, to be written with them."""

LONGEST_ADDRESS = 64
"""A proxy may pass on whatever it was told."""

AT_ONCE = 500
MOST_WAITING = 10_000
RETRY_S = 1.0


@dataclass(slots=True)
class Note:
    """What is to be said of one request. `resource_id` and `other_id` are as the path has them, until the endpoint
    knows better; `written` as soon as a transaction has committed that says it."""

    actor: str
    action: str
    address: str = ""
    request_id: str = ""
    resource_id: str | None = None
    other_id: str | None = None
    site_id: str | None = None
    written: bool = False

    def asked(self, query: object) -> None:
        """Take the ids that a query names."""
        self.resource_id = self.resource_id or _id(getattr(query, "identity", None))
        self.site_id = self.site_id or _id(getattr(query, "site", None))

    def entry(self, now: datetime, outcome: str = DONE, made: object = None) -> Entry:
        """`made` is what a transaction returned: what it made, if it made anything, or its id. Ids of what was not
        found are left out where they may be names."""
        resource = self.action.partition(".")[0]
        named = self.resource_id, self.other_id
        one, other = named if outcome == DONE else map(_id, named)
        one = one or _id(getattr(made, "id", made))
        site = one if resource == "site" else self.site_id
        return Entry(
            at=now,
            actor=self.actor,
            action=self.action,
            resource=resource,
            resource_id=one,
            other_id=other,
            site_id=site,
            address=self.address[:LONGEST_ADDRESS],
            request_id=self.request_id,
            outcome=outcome,
        )


def _id(value: object) -> str | None:
    return value if isinstance(value, str) and ID.fullmatch(value) else None


class Looks:
    """Writes entries together that nobody waits for. For one event loop."""

    def __init__(self, write: Callable[[Callable[[Connection], Any]], Awaitable[Any]]) -> None:
        self._write = write
        self._waiting: deque[Entry] = deque()
        self._writing: asyncio.Task[None] | None = None

    def check(self) -> None:
        """Raises Unavailable where the log has not been written for so long that nothing more may be shown."""
        if len(self._waiting) >= MOST_WAITING:
            raise Unavailable("the audit log cannot be written", remedy="Try again in a moment.")

    def add(self, entry: Entry) -> None:
        self._waiting.append(entry)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_soon())

    async def close(self) -> None:
        """Write what still waits; raises RollcallError where it cannot be written."""
        if self._writing is not None:
            self._writing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._writing
        while self._waiting:
            await self._write_some()

    async def _write_soon(self) -> None:
        while self._waiting:
            await asyncio.sleep(SOON_S)
            try:
                await self._write_some()
            except RollcallError as error:
                log.warning("%d looks wait to be written to the audit log: %s", len(self._waiting), error.message)
                await asyncio.sleep(RETRY_S)

    async def _write_some(self) -> None:
        some = [self._waiting[i] for i in range(min(AT_ONCE, len(self._waiting)))]
        # Once handed over it is written whole, whether or not who waits for it is cancelled.
        written = asyncio.ensure_future(self._append(some))
        try:
            await asyncio.shield(written)
        except asyncio.CancelledError:
            await written
            self._taken(len(some))
            raise
        self._taken(len(some))

    async def _append(self, some: list[Entry]) -> None:
        try:
            await self._write(lambda connection: audit.append(connection, some))
        except Exception as error:
            if isinstance(error, RollcallError) or of_one(error) is None:
                raise
            # It would fail for ever, and whatever waits behind it with it: what can be written is.
            each = [partial(audit.append, entries=[entry]) for entry in some]
            for entry, outcome in zip(some, await self._write(lambda c: one_by_one(c, each)), strict=True):
                if outcome is not None:
                    log.error("a look is left out of the audit log: %s: %s", entry.action, type(outcome).__name__)

    def _taken(self, count: int) -> None:
        for _ in range(count):
            self._waiting.popleft()
