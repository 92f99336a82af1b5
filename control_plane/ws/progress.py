"""How imports get on, told to those who ask for it: at most twice a second, and never the last word missed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

import msgspec

from control_plane.plane import Plane
from control_plane.store import imports
from control_plane.store.imports import Import

EVERY_S = 0.5


class Progress:
    """One watcher's. `wake` is called when there may be more to tell, later than its last look."""

    def __init__(self, plane: Plane, wake: Callable[[], None]) -> None:
        self._plane = plane
        self._wake = wake
        self._since: datetime | None = None
        self._looked_at = 0.0
        self._later: asyncio.TimerHandle | None = None
        self._told: dict[str, Import] = {}

    @property
    def followed(self) -> bool:
        """Whether any commit may be news."""
        return self._since is not None

    def follow(self) -> None:
        """From now on."""
        self._since = self._since or self._plane.clock()
        self._wake()

    async def messages(self) -> list[str]:
        """What has changed since the last look."""
        if self._since is None or not self._due():
            return []
        since, now = self._since, self._plane.clock()
        found = await self._plane.read(lambda c: imports.recent(c, since, now))
        news = [i for i in found if _still(self._told.get(i.id)) != _still(i)]
        self._told = {i.id: i for i in found}
        return [message(i) for i in news]

    def stop(self) -> None:
        if self._later is not None:
            self._later.cancel()

    def _due(self) -> bool:
        """Whether the last look is long enough ago; if not, there will be another wake."""
        loop = asyncio.get_running_loop()
        left = self._looked_at + EVERY_S - loop.time()
        if left > 0:
            if self._later is None or self._later.when() < loop.time():
                self._later = loop.call_later(left, self._wake)
            return False
        self._looked_at = loop.time()
        return True


def message(found: Import) -> str:
    return msgspec.json.encode({"type": "import", **msgspec.structs.asdict(found)}).decode()


def _still(found: Import | None) -> Import | None:
    """An import without its clockwork, which changes though nothing happens."""
    return None if found is None else msgspec.structs.replace(found, rate_per_s=None, left_s=None)
