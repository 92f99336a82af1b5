"""Pages of changes, made once for all the edges that ask for the same at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

MOST_PAGES = 16
"""Pages kept for a gallery; copies that are up to date all ask for the same one."""


@dataclass(slots=True)
class _Kept:
    revision: int
    pages: dict[int, asyncio.Future[bytes]] = field(default_factory=dict)


class Pages:
    """The encoded pages after each revision, kept while the gallery stands where it stood when they were asked for:
    a page may hold an encoding that the next change erases. For one event loop."""

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}

    async def get(self, gallery_id: str, revision: int, after: int, make: Callable[[], Awaitable[bytes]]) -> bytes:
        """The page after revision `after` of a gallery that stands at `revision`, as `make` makes it; what it raises
        is raised to all who wait for it, and not kept."""
        kept = self._kept.get(gallery_id)
        if kept is None or kept.revision != revision:
            kept = self._kept[gallery_id] = _Kept(revision)
        page = kept.pages.get(after)
        if page is None:
            if len(kept.pages) >= MOST_PAGES:
                del kept.pages[next(iter(kept.pages))]
            page = kept.pages[after] = asyncio.ensure_future(make())
        try:
            return await asyncio.shield(page)
        finally:
            if page.done() and (page.cancelled() or page.exception()) and kept.pages.get(after) is page:
                del kept.pages[after]

    def forget(self, revisions: Mapping[str, int]) -> None:
        """Let go of the pages of galleries that stand elsewhere now."""
        self._kept = {gallery: kept for gallery, kept in self._kept.items() if revisions.get(gallery) == kept.revision}
