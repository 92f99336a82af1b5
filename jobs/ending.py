"""Cancelling an import that runs, and undoing one that has ended: in small steps, each of which may break off."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from uuid import uuid4

from control_plane.store import audit, discards, import_items, imports, taking_back
from control_plane.store.blobs import BlobStore
from control_plane.store.db import Connection, Database
from control_plane.store.import_items import ItemState, photo_blob
from control_plane.store.imports import State

CANCELLED_AT_ONCE = 200
UNDONE_AT_ONCE = 20
"""Photos a transaction: taking one back costs about ten times as much as cancelling one."""


class Ending:
    """What the `end_import` actor does with an import that is `cancelling` or `undoing`. May run twice."""

    def __init__(self, database: Database, blobs: BlobStore, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._blobs = blobs
        self._clock = clock

    def run(self, key: str) -> None:
        """`key` is the import's id, and perhaps what is to become of it (`imports.ending`)."""
        import_id, owner, states = key.partition(":")[0], str(uuid4()), (State.CANCELLING, State.UNDOING)
        with self._database.write() as connection:
            work = imports.claim(connection, import_id, owner, self._clock(), states)
        if work is None:
            return
        if work.state is State.CANCELLING:
            self._cancel(work, owner)
        else:
            self._undo(work, owner)

    def _cancel(self, work: imports.Work, owner: str) -> None:
        """Photos that have no outcome are cancelled; those that are enrolled stay."""
        while self._step(work, owner, lambda c: import_items.cancel_some(c, work.id, CANCELLED_AT_ONCE)):
            pass
        # Some may lie on disk already, as they were next.
        self._delete_photos(work, ItemState.CANCELLED)
        self._blobs.delete([work.blob])
        self._step(work, owner, lambda c: self._finish(c, work, State.CANCELLED))

    def _undo(self, work: imports.Work, owner: str) -> None:
        gone: list[str] = []
        while self._step(work, owner, lambda c: self._take_back_some(c, work, gone)):
            discards.carry_out(self._database, self._blobs, gone)
            gone.clear()
        self._delete_photos(work, ItemState.REFUSED)
        self._blobs.delete([work.blob])
        self._step(work, owner, lambda c: self._finish(c, work, State.UNDONE))
        self._database.truncate_wal()

    def _take_back_some(self, connection: Connection, work: imports.Work, gone: list[str]) -> list[int]:
        """Adds the files that are nobody's any more to `gone`."""
        brought = import_items.brought(connection, work.id, UNDONE_AT_ONCE)
        if brought:
            gone += taking_back.take_back(connection, work.id, brought, self._clock())
            import_items.undone(connection, work.id, [item.seq for item in brought])
            taken = [(item.identity_id, item.photo_id) for item in brought]
            audit.did(connection, "job:end_import", "identity.take_back", self._clock(), taken)
        return [item.seq for item in brought]

    def _delete_photos(self, work: imports.Work, state: ItemState) -> None:
        """The files of the import's photos in a state, but for those that are somebody's photo all the same."""
        with self._database.read() as connection:
            names = [photo_blob(work.id, seq) for seq in import_items.in_state(connection, work.id, state)]
            used = taking_back.in_use(connection, f"photos/{work.id}-")
        self._blobs.delete(name for name in names if name not in used)

    def _finish(self, connection: Connection, work: imports.Work, state: State) -> list[int]:
        if state is State.UNDONE:
            import_items.forget_encodings(connection, work.id)
        imports.finish(connection, work.id, self._clock(), state)
        return []

    def _step(self, work: imports.Work, owner: str, write: Callable[[Connection], list[int]]) -> list[int]:
        """Do some of the work if the import is still ours; returns the photos that it was about."""
        with self._database.write() as connection:
            if not imports.held(connection, work, owner, self._clock()):
                return []
            return write(connection)
