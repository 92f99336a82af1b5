"""A control plane to be killed: the real one, and a fault on demand.

`FAULT=acknowledge_first` answers a batch a moment before it is committed; `FAULT=no_key` knows no id again.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

from control_plane.__main__ import main
from control_plane.gather import Gathered
from control_plane.store import events
from faces.wire import Verdict

LATER_S = 0.2


def acknowledge_first() -> None:
    commit, pending = Gathered.add, set()

    async def later(gathered: Any, arrival: Any) -> None:
        await asyncio.sleep(LATER_S)
        await commit(gathered, arrival)

    async def add(self: Any, item: Any) -> Any:
        if not isinstance(item, events.Arrival):
            return await commit(self, item)
        task = asyncio.create_task(later(self, item))
        pending.add(task)
        task.add_done_callback(pending.discard)
        return [Verdict(str(event.id), "stored") for event in item.events]

    Gathered.add = add  # type: ignore[method-assign]


if __name__ == "__main__":
    if os.environ.get("FAULT") == "acknowledge_first":
        acknowledge_first()
    if os.environ.get("FAULT") == "no_key":
        events._body_hashes = lambda *_: {}
    sys.exit(main())
