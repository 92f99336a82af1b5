"""A copy of a gallery that proves itself: pages are applied only if the checksum comes out as announced."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from faces.errors import Diverged
from faces.gallery import Gallery, Key, Row, checksum, key, row_hash
from faces.wire import START, Page, Position


def advance(position: Position, page: Page, held: Mapping[Key, int]) -> dict[Key, int]:
    """Check that `page` leads from `position` to the page's own, and return the hashes of the rows it puts.

    `held` gives the hash of each row of the page that the copy holds already. Raises Diverged, and then nothing
    of the page may be applied: the copy starts over from a snapshot.
    """
    if page.after != position.revision:
        raise Diverged(f"a page after revision {page.after} does not follow revision {position.revision}")
    put = {key(row): row_hash(row) for row in page.put}
    touched = set(put) | {Key(*k) for k in page.removed}
    result = position.checksum ^ checksum(held[k] for k in touched if k in held) ^ checksum(put.values())
    if result != page.position.checksum:
        raise Diverged(f"the checksum at revision {page.position.revision} does not come out")
    return put


class Replica:
    """A copy held in memory, as the worker keeps it. Not for several threads at once; `gallery` may be shared."""

    def __init__(self, model: str) -> None:
        self.position = START
        self.gallery = Gallery.empty(model)
        self._hashes: dict[Key, int] = {}

    def apply(self, page: Page) -> None:
        """Move on by one page; raises Diverged and changes nothing if it does not fit."""
        put = advance(self.position, page, self._hashes)
        gallery = self.gallery.changed(page.put, page.removed)
        for removed in page.removed:
            self._hashes.pop(Key(*removed), None)
        self._hashes |= put
        self.gallery, self.position = gallery, page.position

    def start_over(self, position: Position, rows: Iterable[Row]) -> None:
        """Replace everything by a snapshot; raises Diverged if its checksum does not come out."""
        rows = list(rows)
        hashes = {key(row): row_hash(row) for row in rows}
        if checksum(hashes.values()) != position.checksum:
            raise Diverged(f"the snapshot's checksum at revision {position.revision} does not come out")
        self._hashes = hashes
        self.gallery, self.position = Gallery.of(self.gallery.model, rows), position
