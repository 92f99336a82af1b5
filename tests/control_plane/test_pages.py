from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from control_plane.pages import MOST_PAGES, Pages
from faces.errors import Compacted


class Maker:
    """Makes pages, and counts them."""

    def __init__(self) -> None:
        self.made: list[int] = []
        self.fails = False

    def page(self, after: int) -> Callable[[], Awaitable[bytes]]:
        async def make() -> bytes:
            self.made.append(after)
            await asyncio.sleep(0)
            if self.fails:
                raise Compacted("gone")
            return b"page %d" % len(self.made)

        return make


def test_a_page_is_made_once_for_all_who_ask_while_the_gallery_stands_there() -> None:
    async def run() -> None:
        pages, maker = Pages(), Maker()
        asked = [pages.get("g", 7, 6, maker.page(6)) for _ in range(20)]
        assert set(await asyncio.gather(*asked)) == {b"page 1"}
        assert await pages.get("g", 7, 5, maker.page(5)) == b"page 2"
        assert await pages.get("h", 7, 6, maker.page(6)) == b"page 3"
        assert await pages.get("g", 8, 6, maker.page(6)) == b"page 4"
        pages.forget({"g": 9, "h": 7})
        assert await pages.get("h", 7, 6, maker.page(6)) == b"page 3"
        assert await pages.get("g", 8, 6, maker.page(6)) == b"page 5"

    asyncio.run(run())


def test_a_failure_is_told_to_all_and_not_kept() -> None:
    async def run() -> None:
        pages, maker = Pages(), Maker()
        maker.fails = True
        asked = [pages.get("g", 7, 6, maker.page(6)) for _ in range(3)]
        assert [type(e) for e in await asyncio.gather(*asked, return_exceptions=True)] == [Compacted] * 3
        maker.fails = False
        assert await pages.get("g", 7, 6, maker.page(6)) == b"page 2"

    asyncio.run(run())


def test_one_who_leaves_takes_the_page_from_nobody() -> None:
    async def run() -> None:
        pages, maker = Pages(), Maker()
        gone, stays = (asyncio.ensure_future(pages.get("g", 7, 6, maker.page(6))) for _ in range(2))
        await asyncio.sleep(0)
        gone.cancel()
        assert await stays == b"page 1"
        with pytest.raises(asyncio.CancelledError):
            await gone

    asyncio.run(run())


def test_only_so_many_pages_are_kept() -> None:
    async def run() -> None:
        pages, maker = Pages(), Maker()
        for after in range(MOST_PAGES + 1):
            await pages.get("g", 99, after, maker.page(after))
        await pages.get("g", 99, 1, maker.page(1))
        await pages.get("g", 99, 0, maker.page(0))
        assert maker.made == [*range(MOST_PAGES + 1), 0]

    asyncio.run(run())
