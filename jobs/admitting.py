"""Admitting an import's encoded photos in the archive's order, a page at a time, under the import's lease."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import uuid4

from control_plane.store import audit, discards, import_items, imports
from control_plane.store.blobs import BlobStore
from control_plane.store.db import Connection, Database
from control_plane.store.import_items import ACCEPTABLE, ItemState, ToAdmit, photo_blob
from control_plane.store.imports import State
from faces.encoding import from_bytes
from faces.errors import Refused
from jobs import archive
from jobs.admission import Accepted, Admission, Candidate, Newcomers, Outcome
from jobs.directory import Limits, Place
from jobs.looking import given_up, refused

log = logging.getLogger(__name__)

MAX_ATTEMPTS = 5
"""A photo on which so many workers broke off, admitting it alone, is refused."""


class Admitting:
    """What the `admit` actor does with one import. May run twice: photos that have their outcome are left alone.

    The order alone decides: two of a likeness are judged in the archive's order, whoever encoded them first.
    """

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        admission: Admission,
        clock: Callable[[], datetime],
        limits: Limits | None = None,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._admission = admission
        self._clock = clock
        self._limits = limits or Limits()

    def run(self, key: str) -> None:
        """`key` is the import's id, and perhaps how far it is (`imports.admissible`)."""
        import_id, owner = key.partition(":")[0], str(uuid4())
        with self._database.write() as connection:
            work = imports.claim(connection, import_id, owner, self._clock(), (State.RUNNING,))
        if work is None:
            return
        newcomers = self._rehearsed(work) if work.dry_run else None
        # Where somebody broke off, photo by photo: so one that workers die of is found out.
        size = 1 if work.attempts > 1 else imports.PAGE
        try:
            if work.attempts > MAX_ATTEMPTS:
                self._give_up(work, owner)
            while page := self._page(work, size):
                if not self._admit(work, owner, page, newcomers):
                    return
            self._end(work, owner)
        except FileNotFoundError:
            # It was cancelled a moment ago, and its archive is gone.
            log.info("import %s has no archive any more", work.id)

    def _page(self, work: imports.Work, size: int) -> list[ToAdmit]:
        with self._database.read() as connection:
            return import_items.page(connection, work.id, size)

    def _give_up(self, work: imports.Work, owner: str) -> None:
        """Refuse the photo that is next."""
        with self._database.write() as connection:
            if imports.held(connection, work, owner, self._clock()):
                page = import_items.page(connection, work.id, 1)
                rows = [refused(item.seq, given_up()) | {"encoding": None} for item in page]
                import_items.admitted(connection, work.id, rows)

    def _admit(self, work: imports.Work, owner: str, page: list[ToAdmit], newcomers: Newcomers | None) -> bool:
        """Decide on a page; False if the import is no longer ours."""
        if not work.dry_run:
            self._take_out(work, page)
        with self._database.write() as connection:
            now = self._clock()
            held = imports.held(connection, work, owner, now)
            if held:
                # The person of some may have been erased since the page was read.
                waiting = import_items.encoded_among(connection, work.id, [item.seq for item in page])
                still = [item for item in page if item.seq in waiting]
                outcomes = self._decide(connection, work, still, newcomers, now)
                decided = list(zip(still, outcomes, strict=True))
                import_items.admitted(connection, work.id, [_row(i, o, work.dry_run) for i, o in decided])
                accepted = [(o.identity_id, o.photo_id) for o in outcomes if isinstance(o, Accepted)]
                enrolled = [] if work.dry_run else accepted
                kept = {item.seq for item, outcome in decided if _kept(outcome)}
                dropped = [photo_blob(work.id, item.seq) for item in page if item.seq not in kept]
            else:
                # It was cancelled meanwhile, perhaps before these files were written.
                cancelled = import_items.cancelled_among(connection, work.id, [item.seq for item in page])
                dropped, enrolled = [photo_blob(work.id, seq) for seq in cancelled], []
            unused = [] if work.dry_run else discards.note(connection, dropped, now)
            audit.did(connection, "job:admit", "identity.enroll", now, enrolled)
        discards.carry_out(self._database, self._blobs, unused)
        return held

    def _decide(
        self,
        connection: Connection,
        work: imports.Work,
        page: Sequence[ToAdmit],
        newcomers: Newcomers | None,
        now: datetime,
    ) -> list[Outcome]:
        candidates = [_candidate(work, item) for item in page]
        if newcomers is None:
            return self._admission.admit(connection, candidates, now)
        return self._admission.decide(connection, candidates, newcomers, now)

    def _take_out(self, work: imports.Work, page: Sequence[ToAdmit]) -> None:
        """Have the page's photos on disk, before any row names them."""
        names = [photo_blob(work.id, item.seq) for item in page]
        missing = [(n, item) for n, item in zip(names, page, strict=True) if not self._blobs.path(n).is_file()]
        if missing and work.blob is not None:
            secrets = self._blobs.expect(name for name, _ in missing)
            with self._blobs.open(work.blob) as file:
                for name, item in missing:
                    self._blobs.put(name, archive.read(file, Place(*item.place), self._limits), secrets)

    def _rehearsed(self, work: imports.Work) -> Newcomers:
        """What a dry run that broke off had decided before."""
        newcomers = Newcomers()
        with self._database.write() as connection:
            before = import_items.rehearsed(connection, work.id)
            forced = [_candidate(work, item, force=True) for item in before]
            if forced:
                self._admission.decide(connection, forced, newcomers, self._clock())
        return newcomers

    def _end(self, work: imports.Work, owner: str) -> None:
        """Nothing is left to admit now: finish the import, or give it back until more is encoded."""
        with self._database.read() as connection:
            left = import_items.left(connection, work.id)
        if not left:
            # First the file, then the row that names it: the other way round a crash would leave the file for ever.
            self._blobs.delete([work.blob])
        with self._database.write() as connection:
            now = self._clock()
            held = imports.held(connection, work, owner, now)
            # Asked again: photos may just have been accepted after all.
            if left or import_items.left(connection, work.id):
                imports.release(connection, work.id, owner)
            elif held:
                if work.dry_run:
                    import_items.forget_encodings(connection, work.id)
                imports.finish(connection, work.id, now, State.DONE)


def _candidate(work: imports.Work, item: ToAdmit, *, force: bool = False) -> Candidate:
    return Candidate(
        gallery_id=item.gallery_id,
        encoding=from_bytes(item.encoding),
        quality=item.quality,
        blob=photo_blob(work.id, item.seq),
        sha256=item.sha256,
        name=item.name,
        external_id=item.external_id,
        attributes=item.attributes,
        valid_until=item.valid_until,
        consent=item.consent,
        force=item.force or force,
        once=True,
        # Only a dry run tells which other entry it means: otherwise that would depend on how the pages were cut.
        entry=item.entry if work.dry_run else "",
    )


def _kept(outcome: Outcome) -> bool:
    """Whether the photo's file is still needed."""
    return isinstance(outcome, Accepted) or (isinstance(outcome, Refused) and outcome.reason in ACCEPTABLE)


def _row(item: ToAdmit, outcome: Outcome, dry_run: bool) -> dict[str, Any]:
    if isinstance(outcome, Refused):
        kept = outcome.reason in ACCEPTABLE and not dry_run
        return refused(item.seq, outcome) | {"encoding": item.encoding if kept else None}
    accepted = isinstance(outcome, Accepted)
    return {
        "seq": item.seq,
        "state": ItemState.ACCEPTED if accepted else ItemState.DUPLICATE,
        "identity_id": None if dry_run else outcome.identity_id,
        "joined": outcome.joined and not dry_run,
        "identity_hash": None if dry_run or not isinstance(outcome, Accepted) else outcome.identity_hash,
        "photo_id": None if dry_run else outcome.photo_id,
        "encoding": item.encoding if accepted and dry_run else None,
    }
