from __future__ import annotations

import asyncio

import pytest

from control_plane.ws.session import first_of


def test_the_first_part_to_end_ends_the_others() -> None:
    ended: list[str] = []

    async def quick() -> None:
        await asyncio.sleep(0)
        ended.append("quick")

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("endless")

    asyncio.run(first_of(endless(), quick()))
    assert ended == ["quick", "endless"]


def test_what_a_part_raises_is_raised() -> None:
    async def fails() -> None:
        raise ValueError("this one")

    async def endless() -> None:
        await asyncio.Event().wait()

    with pytest.raises(ValueError, match="this one"):
        asyncio.run(first_of(endless(), fails()))
