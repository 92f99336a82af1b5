"""What is to go down to the connected edges: hints and watch leases. No socket and no clock in here."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from faces.wire import Hint, Ordered, Watch

LEASE_S = 10.0
RENEW_AFTER_S = 4.0
"""A lease is renewed this long after it was given, while somebody watches."""


class Leases:
    """The watch leases that one edge holds."""

    def __init__(self) -> None:
        self._given: dict[str, float] = {}

    def due(self, watched: Iterable[str], now: float) -> list[Watch]:
        """What to tell the edge at `now` (seconds, monotonic): leases to give or renew, and those that end."""
        watched = set(watched)
        ended = [camera for camera in self._given if camera not in watched]
        due = [camera for camera in sorted(watched) if now - self._given.get(camera, -LEASE_S) >= RENEW_AFTER_S]
        for camera in ended:
            del self._given[camera]
        self._given |= dict.fromkeys(due, now)
        return [Watch(camera, 0) for camera in ended] + [Watch(camera, LEASE_S) for camera in due]


class Link:
    """One edge's connection. `wake` is called when there is something to send, or it is to end."""

    def __init__(self, edge_id: str, site_id: str, wake: Callable[[], None]) -> None:
        self.edge_id = edge_id
        self.site_id = site_id
        self.wake = wake
        self.replaced = False
        self._hints: dict[str, int] = {}
        self._ordered = False

    def order(self) -> None:
        self._ordered = True
        self.wake()

    def hint(self, gallery: str, revision: int) -> None:
        self._hints[gallery] = revision
        self.wake()

    def take(self) -> list[Hint | Ordered]:
        hints, self._hints = self._hints, {}
        ordered, self._ordered = self._ordered, False
        return [*([Ordered()] if ordered else []), *(Hint(gallery, revision) for gallery, revision in hints.items())]


class Links:
    """The connected edges; of two connections of one edge the newest counts."""

    def __init__(self) -> None:
        self._links: dict[str, Link] = {}

    def add(self, link: Link) -> None:
        older = self._links.get(link.edge_id)
        self._links[link.edge_id] = link
        if older is not None:
            older.replaced = True
            older.wake()

    def remove(self, link: Link) -> None:
        if self._links.get(link.edge_id) is link:
            del self._links[link.edge_id]

    def hint(self, gallery: str, revision: int, sites: Iterable[str]) -> None:
        """Tell every connected edge of these sites where a gallery stands."""
        sites = set(sites)
        for link in self._links.values():
            if link.site_id in sites:
                link.hint(gallery, revision)

    def order(self, edge_id: str) -> None:
        """Tell a connected edge that there are orders for it."""
        if (link := self._links.get(edge_id)) is not None:
            link.order()

    def wake(self, edge_id: str) -> None:
        if (link := self._links.get(edge_id)) is not None:
            link.wake()
