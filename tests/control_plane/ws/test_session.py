from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from control_plane.store import tickets
from control_plane.store.db import Database
from control_plane.ws import session
from control_plane.ws.session import first_of
from faces.wire import WATCH_PROTOCOL

Fresh = Callable[[Path], Database]


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


def refused(server: Any, ticket: str) -> Any:
    """The answer to who opens a socket by this ticket."""
    with pytest.raises(InvalidStatus) as error:
        server.socket("/ws/face-stream", WATCH_PROTOCOL, "rollcall.ticket." + ticket)
    return error.value.response


@pytest.mark.parametrize("ticket", ["x", "0" * 40])
def test_who_makes_up_a_ticket_is_refused_without_a_write(server: Any, ticket: str) -> None:
    with server.database.write():
        assert refused(server, ticket).status_code == 401


def test_what_is_not_of_a_tickets_form_is_not_even_looked_for(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*_: Any) -> None:
        raise AssertionError("the database is asked")

    monkeypatch.setattr(tickets, "good", asked)
    for ticket in ("x", "0" * 39, "0" * 41, "F" * 40):
        assert refused(server, ticket).status_code == 401


def test_made_up_tickets_are_limited_by_address_and_good_ones_are_not(
    fresh: Fresh, running: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "time", SimpleNamespace(monotonic=lambda: 0.0))
    with running(fresh(tmp_path), tmp_path, LIMIT_SIGN_IN="2/hour") as server:
        for _ in range(5):
            ticket = server.post("/v1/tickets").json()["subprotocol"]
            server.socket("/ws/face-stream", WATCH_PROTOCOL, ticket).close()
        assert [refused(server, text).status_code for text in ("x", "0" * 40, "x")] == [401, 401, 429]
        answer = refused(server, "0" * 40)
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1800")
