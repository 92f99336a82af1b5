from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from control_plane.feed import FRESH_AT_MOST, Feed, News
from control_plane.store import events, galleries, identities, sites
from control_plane.store.db import Database
from faces.events import Event
from faces.wire import Hello

NOW = datetime(2026, 1, 1, tzinfo=UTC)

Events = Callable[..., Event]


def log(database: Database, *made: Event) -> None:
    with database.write() as connection:
        sites.welcome(connection, "e1", Hello(name="b", version="1", engine="sface", cameras=["door"]), 1, NOW)
        events.append(connection, made, site_id=sites.DEFAULT_SITE, edge_id="e1", now=NOW)


def run(database: Database, history: Callable[[Feed], Any]) -> None:
    async def go() -> None:
        feed = Feed(database)
        await feed.start()
        try:
            await asyncio.wait_for(history(feed), 20)
        finally:
            await feed.stop()

    asyncio.run(go())


async def found(feed: Feed, true: Callable[[], bool]) -> None:
    async def ask() -> bool | None:
        return true() or None

    assert await feed.until(ask, 10)


def test_the_first_news_are_there_when_it_has_started(database: Database, event: Events) -> None:
    log(database, event(), event())

    async def history(feed: Feed) -> None:
        assert feed.news.head == 2
        assert feed.news.revisions == {galleries.DEFAULT_GALLERY: 1}
        assert feed.news.followers == {galleries.DEFAULT_GALLERY: {sites.DEFAULT_SITE}}
        assert [c.name for c in feed.news.cameras] == ["door"]
        assert feed.alive

    run(database, history)


def test_a_commit_by_anybody_is_noticed(database: Database, event: Events) -> None:
    other = Database(database.url.render_as_string(hide_password=False))

    async def history(feed: Feed) -> None:
        log(other, event(name="Ann"), event(name="Bob"))
        await found(feed, lambda: feed.news.head == 2)
        fresh = feed.news.fresh
        assert (fresh.after, fresh.upto) == (0, 2)
        told = [json.loads(m) for m in fresh.messages]
        assert [(m["type"], m["position"], m["name"]) for m in told] == [("event", 1, "Ann"), ("event", 2, "Bob")]
        with other.write() as connection:
            identities.create(connection, "Ann", [galleries.DEFAULT_GALLERY], NOW)
        await found(feed, lambda: feed.news.revisions[galleries.DEFAULT_GALLERY] == 2)

    run(database, history)
    other.close()


def test_a_commit_is_noticed_within_a_tenth_of_a_second(sqlite: Database, event: Events) -> None:
    async def history(feed: Feed) -> None:
        waits = []
        for number in range(1, 11):
            log(sqlite, event())
            committed = time.monotonic()
            await found(feed, lambda n=number: feed.news.head == n)  # type: ignore[misc]
            waits.append(time.monotonic() - committed)
        assert sorted(waits)[5] < 0.1

    run(sqlite, history)


def test_whoever_listens_is_told_what_was_before(store: Database, event: Events) -> None:
    told: list[News] = []

    async def history(feed: Feed) -> None:
        await asyncio.sleep(0.1)
        with feed.listening(told.append):
            log(store, event())
            await found(feed, lambda: feed.news.head == 1)
        assert told[0].head == 0
        before = len(told)
        log(store, event())
        await found(feed, lambda: feed.news.head == 2)
        assert len(told) == before

    run(store, history)


def test_waiting_ends_without_an_answer_when_the_time_is_up(store: Database) -> None:
    async def history(feed: Feed) -> None:
        async def never() -> None:
            return None

        began = time.monotonic()
        assert await feed.until(never, 0.2) is None
        assert 0.1 < time.monotonic() - began < 5

    run(store, history)


def test_too_many_new_events_are_left_to_their_readers(store: Database, event: Events) -> None:
    async def history(feed: Feed) -> None:
        log(store, *(event() for _ in range(FRESH_AT_MOST + 1)))
        await found(feed, lambda: feed.news.head == FRESH_AT_MOST + 1)
        assert feed.news.fresh.messages == ()
        assert feed.news.fresh.after == feed.news.head

    run(store, history)


def test_it_ends_when_it_is_stopped(store: Database) -> None:
    feeds: list[Feed] = []

    async def history(feed: Feed) -> None:
        feeds.append(feed)

    run(store, history)
    assert not feeds[0].alive
