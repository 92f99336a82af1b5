"""What every request may use: the database, the blobs, and those who are connected."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from datetime import UTC, datetime, timedelta
from typing import Self, TypeVar
from uuid import uuid4

from starlette.requests import HTTPConnection

from control_plane import cookies
from control_plane.auth import BY_NO_KEY, Caller, Gate, Need
from control_plane.bus import Bus
from control_plane.bus_line import Line
from control_plane.config import Config
from control_plane.dispatch import Dispatch, Job
from control_plane.fanout import Fanout
from control_plane.feed import Feed, News
from control_plane.gather import Gathered, Gatherer
from control_plane.limits import Limits, network
from control_plane.metrics import Metrics
from control_plane.notes import Looks, Note
from control_plane.pages import Pages
from control_plane.passwords import Passwords
from control_plane.problems import Unauthenticated
from control_plane.refusals import Refusals
from control_plane.store import audit, events, keys, sign_ins
from control_plane.store.blobs import BlobStore
from control_plane.store.db import Connection, Database, Unavailable, new_id
from control_plane.store.events import Arrival
from control_plane.store.tickets import Bearer
from control_plane.tries import Tries
from control_plane.ws.links import Links
from faces.errors import NotFound, RollcallError
from faces.wire import Verdict

T = TypeVar("T")

THREADS = 12
EVENTS_AT_ONCE = 500
"""Events committed together at most, whoever sent them: other writers wait meanwhile."""

HEARD_WITHIN_S = 1.0
"""How long at most the news of a sign-in are waited for that the database has already."""

MOST_NOTED = 10_000
"""Callers of whom it is remembered when their use was noted last."""

KNOWN_WITHIN_S = 2.0

SNAPSHOTS = 4
"""How many snapshots are streamed at once; each holds a connection to the database meanwhile."""


class Plane:
    """One a process, made by the root and handed to every route. `clock` gives the time, aware, in UTC."""

    def __init__(self, config: Config, database: Database, clock: Callable[[], datetime]) -> None:
        self.config = config
        self.database = database
        self.clock = clock
        self.blobs = BlobStore(config.data_dir / "blobs", database.vault)
        self.metrics = Metrics(database, clock)
        self.links = Links()
        self.fanout = Fanout(self._watch_changed)
        self.feed = Feed(database)
        self.ending = False
        self._bus_wake = asyncio.Event()
        self._bus = Bus(uuid4().hex, self.fanout, wake=self._bus_wake.set, news=self.feed.look)
        self.bus_line = Line(config.bus_url, config.bus_name, self._bus, self._bus_wake) if config.bus_url else None
        self._wrote = threading.Event()
        self.gate = Gate(lambda: self.feed.news.access, clock, open_without=config.alone)
        self.lasting = config.lasting
        self.passwords = Passwords()
        self.limits = Limits(config.rates)
        self.tries = Tries()
        self.refusals = Refusals()
        self._noted: dict[str, datetime] = {}
        self.snapshots = asyncio.Semaphore(SNAPSHOTS)
        self.snapshots_to: set[str] = set()
        self.pages = Pages()
        self.audit_note: Note | None = None
        self.looks = Looks(self.write)
        self.gatherer = Gatherer(self.write)
        self.intake: Gathered[Arrival, list[Verdict]] = Gathered(
            self.write, self._take_in, at_once=EVENTS_AT_ONCE, weight=lambda arrival: len(arrival.events)
        )
        self._dispatch = Dispatch(config.broker_url)
        self._threads = ThreadPoolExecutor(THREADS, "store")
        # Readers have threads of their own: a slow disk holds up those who write, and nobody who only looks.
        self._readers = ThreadPoolExecutor(THREADS, "read")
        self._nudges = ThreadPoolExecutor(1, "dispatch")
        # SQLite takes one writer at a time, and lets the others poll: here they queue.
        self._writer = threading.Lock() if database.is_sqlite else contextlib.nullcontext()

    def end(self) -> None:
        """From now on /readyz says no."""
        self.ending = True

    async def run(self, work: Callable[[], T]) -> T:
        """Do something that blocks in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, copy_context().run, work)

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Do something in a read-only transaction, in a thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, copy_context().run, self._read, work)

    def auditing(self, note: Note | None) -> Self:
        """The same plane for one request, which the audit log is told of in the first transaction that it writes.
        Raises Unavailable where the log cannot be written."""
        if note is None:
            return self
        self.looks.check()
        plane = copy.copy(self)
        plane.audit_note = note
        return plane

    def audited(self, outcome: str) -> None:
        """Have the audit log told soon how the request went, where no transaction has done so."""
        if self.audit_note is not None and not self.audit_note.written:
            self.looks.add(self.audit_note.entry(self.clock(), outcome))

    async def write(self, work: Callable[[Connection], T], *, noted: bool = True) -> T:
        """Do something in a transaction, in a thread; returns when it has committed. It may be done more than once, and
        is committed once (`Database.committed`). Not `noted`: it is not what the request is about."""
        return await self.run(lambda: self.write_here(work, noted=noted))

    def write_here(self, work: Callable[[Connection], T], *, noted: bool = True) -> T:
        """Do something in a transaction, in this thread."""
        note = self.audit_note if noted and self.audit_note is not None and not self.audit_note.written else None

        def noted_work(connection: Connection) -> T:
            done = work(connection)
            if note is not None:
                audit.append(connection, [note.entry(self.clock(), made=done)])
            return done

        self._wrote.set()
        with self._writer:
            done = self.database.committed(noted_work)
        if note is not None:
            note.written = True
        self.feed.look()
        return done

    async def key_counts(self, text: str) -> None:
        """Returns when this process knows a key that was just made, or after two seconds: it is going to be used."""

        async def known() -> bool | None:
            return keys.id_of(text) in self.feed.news.access.keys or None

        await self.feed.until(known, KNOWN_WITHIN_S)

    @property
    def sends_jobs(self) -> bool:
        return self._dispatch.sends

    def nudge(self, job: Job, *row_ids: str) -> None:
        """Send jobs for rows that are committed, without waiting for the broker."""
        if self._dispatch.sends:
            self._nudges.submit(copy_context().run, self._dispatch.send, job, *row_ids)

    async def admit(self, connection: HTTPConnection, need: Need) -> Caller:
        """Who calls; raises as the gate does."""
        if need not in BY_NO_KEY and (cookie := cookies.presented(connection)) is not None:
            await self._hear_of(sign_ins.id_of(cookie))
        caller = self.gate.admit(connection, need)
        self.note(caller)
        return caller

    def refused(self, connection: HTTPConnection, action: str, error: RollcallError) -> None:
        """Have the audit log told soon that somebody was refused who had brought a key or a cookie."""
        if not (cookies.presented(connection) or "authorization" in connection.headers):
            return
        caller = Caller()
        with contextlib.suppress(Unauthenticated):
            caller = self.gate.known(connection)
        address = connection.client.host if connection.client else ""
        who = caller.actor if caller.holder else network(address)
        if self.refusals.told(who, f"{action} {error.code}", time.monotonic(), stranger=caller.holder is None):
            note = Note(caller.actor, action, address, new_id(self.clock()), connection.path_params.get("id"))
            self.looks.add(note.entry(self.clock(), error.code))

    async def admit_bearer(self, bearer: Bearer, need: Need) -> Caller:
        """Whoever a ticket stands for; raises as the gate does."""
        await self._hear_of(bearer.sign_in_id)
        return self.gate.bearer(bearer, need)

    def note(self, caller: Caller) -> None:
        """Have it noted, later and not each time, that a key or a sign-in is in use."""
        now = self.clock()
        if caller.key is not None:
            key_id = caller.key.id
            self._note(key_id, now, keys.USED_EVERY, lambda c: keys.used(c, key_id, now))
        elif caller.sign_in is not None:
            sign_in_id = caller.sign_in.id
            self._note(sign_in_id, now, sign_ins.USED_EVERY, lambda c: sign_ins.used(c, sign_in_id, now, self.lasting))

    def _note(self, who: str, now: datetime, every: timedelta, work: Callable[[Connection], None]) -> None:
        if now - self._noted.get(who, datetime.min.replace(tzinfo=UTC)) >= every:
            if len(self._noted) >= MOST_NOTED:
                self._noted.clear()
            self._noted[who] = now
            self._nudges.submit(self.write_here, work)

    async def _hear_of(self, sign_in_id: str | None) -> None:
        """Wait for the news of a sign-in that has just been made, be it by another process."""

        async def heard() -> bool | None:
            return sign_in_id in self.feed.news.access.sign_ins or None

        if sign_in_id is None or await heard():
            return
        if await self.read(lambda c: sign_ins.exists(c, sign_in_id)):
            await self.feed.until(heard, HEARD_WITHIN_S)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """While the block runs, commits are noticed and requests can be served."""
        try:
            await self.feed.start()
            with self.feed.listening(self._hint):
                async with self._on_the_bus():
                    yield
        finally:
            with contextlib.suppress(Unavailable):
                await self.looks.close()
            await self.feed.stop()
            self.passwords.close()
            self._nudges.shutdown(cancel_futures=True)
            self._threads.shutdown(cancel_futures=True)
            self._readers.shutdown(cancel_futures=True)
            self._dispatch.close()
            self.database.close()

    @contextlib.asynccontextmanager
    async def _on_the_bus(self) -> AsyncIterator[None]:
        if self.bus_line is None:
            yield
            return
        held = asyncio.create_task(self.bus_line.run())
        try:
            yield
        finally:
            held.cancel()
            await asyncio.gather(held, return_exceptions=True)

    def _watch_changed(self, edge: str) -> None:
        self.links.wake(edge)
        self._bus_wake.set()

    def _take_in(self, connection: Connection, items: list[Arrival]) -> list[list[Verdict] | NotFound]:
        return events.take_in(connection, items, self.clock())

    def _read(self, work: Callable[[Connection], T]) -> T:
        return self.database.seen(work)

    def _hint(self, before: News) -> None:
        news = self.feed.news
        # What others have committed they tell themselves.
        if self._wrote.is_set() and news != before:
            self._wrote.clear()
            self._bus.committed()
        self.pages.forget(news.revisions)
        for gallery, revision in news.revisions.items():
            if revision != before.revisions.get(gallery):
                self.links.hint(gallery, revision, news.followers.get(gallery, ()))
        for edge_id, order in news.ordered.items():
            if order != before.ordered.get(edge_id):
                self.links.order(edge_id)
