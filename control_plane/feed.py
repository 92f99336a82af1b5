"""Notices commits, whoever makes them, and wakes everybody in this process who waits for one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from control_plane.store import access, camera_orders, events, galleries, sites
from control_plane.store.access import Access
from control_plane.store.db import Database, Unavailable
from control_plane.store.watch import Watch

log = logging.getLogger(__name__)

T = TypeVar("T")

RETRY_S = 1.0
FRESH_AT_MOST = 500
"""More new events than this at once are left to each reader, who takes them from the log page by page."""


@dataclass(frozen=True, slots=True)
class Fresh:
    """The newest events, encoded once for all who watch: those after position `after`, up to `upto`."""

    after: int = 0
    upto: int = 0
    messages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class News:
    """What the database said last: the event log's head, each gallery's revision and followers, each edge's site,
    the cameras, each edge's newest order to do, and who may come in (the same value until that changes)."""

    head: int = 0
    revisions: Mapping[str, int] = field(default_factory=dict)
    followers: Mapping[str, set[str]] = field(default_factory=dict)
    places: Mapping[str, str] = field(default_factory=dict)
    cameras: tuple[sites.PlacedCamera, ...] = ()
    ordered: Mapping[str, str] = field(default_factory=dict)
    access: Access = field(default_factory=Access)
    fresh: Fresh = Fresh()

    def follows(self, edge_id: str, gallery_id: str) -> bool:
        """Whether the edge's site follows the gallery."""
        return self.places.get(edge_id) in self.followers.get(gallery_id, ())


class Feed:
    """One a process. `news` is what was read last; who is `listening` is told of other news; `until` asks after each.

    A thread of its own looks at the database, so that one that hangs never holds up the event loop.
    """

    def __init__(self, database: Database) -> None:
        self.news = News()
        self._database = database
        self._tick = asyncio.Event()
        self._listeners: dict[object, Callable[[News], None]] = {}
        self._hurried = False
        self._stop = threading.Event()
        self._asked = threading.Event()
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def listening(self, listener: Callable[[News], None]) -> Iterator[None]:
        """While the block runs, call `listener` with the news before, whenever there may be other ones.

        On the event loop, and so it must not block.
        """
        key = object()
        self._listeners[key] = listener
        try:
            yield
        finally:
            del self._listeners[key]

    async def start(self) -> None:
        """Returns when the first news are there; raises Unavailable."""
        loop = asyncio.get_running_loop()
        self.news = await loop.run_in_executor(None, self._read, News())
        self._thread = threading.Thread(target=self._follow, args=(loop,), name="feed", daemon=True)
        self._thread.start()

    def look(self) -> None:
        """There is a commit: look soon, in any thread."""
        self._asked.set()

    async def stop(self) -> None:
        self._stop.set()
        self._asked.set()
        if self._thread is not None:
            await asyncio.get_running_loop().run_in_executor(None, self._thread.join)

    @property
    def alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def hurry(self) -> None:
        """Have all who wait be told now what there is. On the event loop."""
        self._hurried = True
        self._tick.set()

    async def until(self, ask: Callable[[], Awaitable[T | None]], timeout_s: float) -> T | None:
        """What `ask` finds, asked now and after each commit; None if that takes longer than `timeout_s`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while True:
                    # Taken before asking, so that a commit in between is not missed.
                    tick = self._tick
                    if (found := await ask()) is not None or self._hurried:
                        return found
                    await tick.wait()
        return None

    def _follow(self, loop: asyncio.AbstractEventLoop) -> None:
        news = self.news
        while not self._stop.is_set():
            try:
                with Watch(self._database) as watch:
                    while not self._stop.wait(watch.rest_s):
                        self._asked.wait(watch.interval_s - watch.rest_s)
                        self._asked.clear()
                        if watch.changed():
                            news = self._read(news)
                            loop.call_soon_threadsafe(self._publish, news)
            except Unavailable as error:
                log.warning("%s", error.message)
                self._stop.wait(RETRY_S)

    def _read(self, before: News) -> News:
        with self._database.read() as connection:
            head = events.head(connection)
            fresh = before.fresh
            if head != before.head:
                # Positions have no gaps: how many there are is known before they are read.
                few = 0 < head - before.head <= FRESH_AT_MOST
                found = events.listing(connection, after=before.head, limit=FRESH_AT_MOST) if few else []
                fresh = Fresh(before.head, head, tuple(event_message(e) for e in found)) if few else Fresh(head, head)
            cameras = tuple(sites.all_cameras(connection))
            return News(
                head=head,
                revisions=galleries.revisions(connection),
                followers=galleries.followers(connection),
                places=sites.places(connection),
                cameras=before.cameras if cameras == before.cameras else cameras,
                ordered=camera_orders.newest(connection),
                access=access.read(connection, before.access),
                fresh=fresh,
            )

    def _publish(self, news: News) -> None:
        before, self.news = self.news, news
        tick, self._tick = self._tick, asyncio.Event()
        tick.set()
        for listener in list(self._listeners.values()):
            listener(before)


def event_message(event: events.LoggedEvent) -> str:
    """An event as it is told to those who watch."""
    return msgspec.json.encode({"type": "event", **msgspec.structs.asdict(event)}).decode()
