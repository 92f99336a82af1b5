"""Galleries down: what an edge holds follows the control plane, over HTTP with a cursor."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from edge.clock import ClockOffset, elapsed_s
from edge.credential import NONE, Credential
from edge.lease import Lease
from edge.plane import ControlPlane, OutOfReach
from edge.replica import DAMAGED, Replica
from edge.spool import Spool
from faces.errors import Compacted, Diverged, Invalid, RollcallError
from faces.gallery import PRECEDENCE
from faces.wire import START, Followed, Hello, Hint, Report, Welcome

log = logging.getLogger("edge.uplink")

Failure = RollcallError | sqlite3.OperationalError
"""Why a gallery is not up to date; the disk may take nothing more."""

SYNC_EVERY_S = 30.0
VERIFY_EVERY_S = 3600.0

HELLO_EVERY_S = 600.0
"""So often the edge learns anew what its site says."""


class Unscrubbed(RollcallError):
    """Who was taken out of a gallery still lies on the disk."""

    code = "unscrubbed"


class Syncer:
    """Keeps the replica at the control plane's revision; `step` is one round.

    `welcomed` is called whenever the control plane has taken note of this edge, which everything else needs. `engage`
    makes ready to recognise by another model, before any gallery of that one is taken, and says how the edge introduces
    itself then; it raises RollcallError if it cannot, and the galleries stay as they are.
    """

    def __init__(
        self,
        plane: ControlPlane,
        replica: Replica,
        hello: Hello,
        welcomed: Callable[[], None],
        lease: Lease | None = None,
        spool: Spool | None = None,
        engage: Callable[[str], Hello] | None = None,
        credential: Credential = NONE,
    ) -> None:
        self._credential = credential
        self._engage = engage
        self._lease = lease
        self._spool = spool
        self._offset = ClockOffset()
        self._swept = -1
        self._sweep_again = False
        self._tried = self._synced = False
        self._welcomed = welcomed
        self._plane = plane
        self._replica = replica
        self._hello = self._told = hello
        self._welcome: Welcome | None = None
        self._hints: dict[str, int] = {}
        self._hinting = threading.Lock()
        self._round_due = self._verified = self._hello_due = time.monotonic()

    def introduce(self, hello: Hello) -> None:
        """Introduce the edge so from the next round on. From any thread."""
        self._hello = hello

    def ready(self) -> bool:
        """Whether there was a first round; one that succeeded, where there is no gallery yet."""
        return self._synced or (self._tried and bool(self._replica.held))

    def hint(self, hint: Hint) -> None:
        """Have the next step ask for this gallery alone. From any thread."""
        with self._hinting:
            self._hints[hint.gallery] = hint.revision

    def step(self) -> float:
        with self._hinting:
            hints, self._hints = self._hints, {}
        try:
            if self._due() or not self._follow(hints):
                self._round()
                self._round_due = time.monotonic() + SYNC_EVERY_S
        finally:
            self._tried = True
            self._save_lease()
        self._synced = True
        return max(0.0, self._round_due - time.monotonic())

    def _due(self) -> bool:
        """Whether it is time for a whole round, hinted at or not."""
        unknown = self._welcome is None or self._told != self._hello
        return unknown or time.monotonic() >= self._round_due

    def _confirm(self) -> None:
        if self._lease:
            self._lease.confirm(elapsed_s())

    def _save_lease(self) -> None:
        if self._lease and (spent := self._lease.due(elapsed_s(), time.time())):
            self._replica.save_spent(spent)

    def _follow(self, hints: Mapping[str, int]) -> bool:
        """Bring the galleries hinted at to where they stand; False if it takes a whole round."""
        held = {held.id: held.position for held in self._replica.held}
        for gallery, revision in hints.items():
            here = held.get(gallery, START)
            if here in (START, DAMAGED) or revision < here.revision:
                return False
            if revision > here.revision:
                try:
                    _catch_up(self._plane, self._replica, gallery)
                except RollcallError:
                    return False
                self._sweep()
                self._report(gallery)
        return bool(hints)

    def _round(self) -> None:
        if time.monotonic() - self._verified > VERIFY_EVERY_S:
            self._verified = time.monotonic()
            self._replica.verify()
        try:
            followed = self._followed()
        except RollcallError:
            self._welcome = None
            raise
        if self._sweep_again:
            # A camera may have looked by the galleries before while the spool was swept.
            self._sweep_again = not self._forget()
        self._replica.follow(followed)
        self._go_by(followed)
        # Those denied first: wherever the line fails, nobody passes whom a gallery still to come would deny.
        followed = sorted(followed, key=lambda gallery: PRECEDENCE.index(gallery.kind))
        errors = [error for gallery in followed if (error := self._bring(gallery))]
        if all(isinstance(error, Unscrubbed) for error in errors):
            # What is searched is up to date, whatever the disk still holds.
            self._replica.adopt()
            self._confirm()
        self._tell_dropped()
        if errors:
            raise errors[0]

    def _go_by(self, followed: Sequence[Followed]) -> None:
        """Go by the model that all the galleries go by, if they do by another one than this edge."""
        models = {gallery.model for gallery in followed}
        model = models.pop() if len(models) == 1 else None
        if model is None or model == self._replica.model or self._engage is None:
            return
        try:
            self._hello = self._engage(model)
        except RollcallError as error:
            for gallery in followed:
                told = f"galleries go by the engine {model}, which cannot be used here: {error.message}"
                self._report(gallery.id, Invalid(told))
            raise
        self._replica.change_model(model)
        self._say_hello()

    def _followed(self) -> list[Followed]:
        if self._welcome is None or time.monotonic() >= self._hello_due or self._told != self._hello:
            self._say_hello()
        return self._plane.followed()

    def _say_hello(self) -> None:
        asked, hello = elapsed_s(), self._hello
        self._greet(self._plane.hello(hello), asked)
        self._told = hello

    def _greet(self, welcome: Welcome, asked_s: float) -> None:
        if self._welcome is None:
            log.info("this is edge %s of site %s", welcome.edge, welcome.site)
        if welcome.now:
            self._offset.take(asked_s, welcome.now)
        if self._lease and welcome.lease_days != self._replica.lease_days():
            self._replica.save_lease_days(welcome.lease_days)
            self._lease.limit(welcome.lease_days)
        if welcome.renew:
            self._renew()
        self._welcome, self._hello_due = welcome, time.monotonic() + HELLO_EVERY_S
        self._welcomed()

    @property
    def keeps_probes(self) -> bool:
        """Whether the site keeps the encodings of strangers, as far as it has said so."""
        return self._welcome is not None and self._welcome.probes

    def _renew(self) -> None:
        """Take another credential; the one in use goes on counting where that fails."""
        if not self._credential.kept:
            return
        try:
            self._credential.take(self._plane.renewed().key)
        except (RollcallError, OSError) as error:
            log.warning("no new credential: %s", error)
        else:
            log.info("a new credential is in use")

    def _bring(self, gallery: Followed) -> Failure | None:
        """Bring one gallery up to date and report on it; a gallery that cannot be leaves the others alone."""
        failure: Failure | None = None
        try:
            bring(self._plane, self._replica, gallery)
        except OutOfReach:
            raise
        except (RollcallError, sqlite3.OperationalError) as error:
            failure = error
        try:
            self._sweep()
        except Unscrubbed as error:
            # A report would confirm that they are gone.
            return failure or error
        self._report(gallery.id, failure)
        return failure

    def _tell_dropped(self) -> None:
        """Say that nothing is left here of galleries no longer followed, so that no erasure waits for this edge."""
        if dropped := self._replica.dropped():
            self._sweep()
        for gallery in dropped:
            self._plane.report(gallery, Report(position=START))
            self._replica.told_dropped(gallery)

    def _report(self, gallery: str, failure: Failure | None = None) -> None:
        position, error = self._replica.position(gallery), str(failure) if failure else None
        offset = self._offset.ahead_s()
        self._plane.report(gallery, Report(position=position, error=error, clock_offset_s=offset))

    def _sweep(self) -> None:
        """Keep nothing of those who were taken out, nor of those erased in what waits to be delivered: before their
        erasure is confirmed. Raises Unscrubbed."""
        try:
            self._replica.scrub()
        except sqlite3.OperationalError as error:
            told = f"who was taken out still lies on the disk, and nothing is confirmed ({error})"
            raise Unscrubbed(told, remedy="Make room in DATA_DIR: twice the size of galleries.db.") from error
        removals = self._replica.removals
        if self._swept != removals:
            self._forget()
            self._swept, self._sweep_again = removals, True

    def _forget(self) -> bool:
        """Forget those erased in the spool; False if it must be done again."""
        if self._spool is None:
            return True
        here = {person for held in self._replica.held for person in held.gallery.identities}
        gone = self._spool.identities() - here
        return self._spool.forget(self._plane.erased(gone) if gone else ())


def bring(plane: ControlPlane, replica: Replica, gallery: Followed) -> None:
    """Bring a copy to where its gallery stands: by the changes if it is merely behind, else by a snapshot."""
    here, there = replica.position(gallery.id), gallery.position
    if here == there:
        return
    if here not in (START, DAMAGED) and here.revision >= there.revision:
        astray = f"here is {here}, and the gallery at {there}: was the control plane restored from a backup?"
        plane.report(gallery.id, Report(position=here, error=astray))
    if here not in (START, DAMAGED) and here.revision < there.revision:
        try:
            return _catch_up(plane, replica, gallery.id)
        except (Diverged, Compacted) as error:
            log.warning("gallery %s: %s", gallery.name, error)
    with plane.snapshot(gallery.id) as (position, rows):
        replica.start_over(gallery.id, position, rows)
    log.info("gallery %s: started over at revision %d, before at %d", gallery.name, position.revision, here.revision)


def _catch_up(plane: ControlPlane, replica: Replica, gallery: str) -> None:
    more = True
    while more:
        after = replica.position(gallery).revision
        page = plane.changes(gallery, after)
        if page.gallery != gallery:
            raise Invalid(f"changes of gallery {page.gallery} instead of {gallery}")
        replica.apply(page)
        more = page.more and page.position.revision > after
    log.info("gallery %s is at revision %d", gallery, replica.position(gallery).revision)
