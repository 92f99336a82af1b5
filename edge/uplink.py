"""Galleries down, events up: what must not be lost, over HTTP with a cursor."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from edge.credential import NONE, Credential
from edge.lease import Lease
from edge.plane import ControlPlane, OutOfReach, Unanswered
from edge.replica import DAMAGED, Replica
from edge.spool import Spool, Spooled
from faces.errors import Compacted, Diverged, Invalid, RollcallError
from faces.wire import START, Followed, Hello, Hint, Report, Verdicts, Welcome

log = logging.getLogger("edge.uplink")

SYNC_EVERY_S = 30.0
VERIFY_EVERY_S = 3600.0

HELLO_EVERY_S = 600.0
"""So often the edge learns anew what its site says."""

BATCH = 250
"""Events posted at once, at most."""

LIVE = 20
"""So many of them are the newest, while more wait than are posted at once."""

POST_S = 1.0
"""What takes longer is posted in smaller batches."""

MEASURE_EVERY_S = 600.0
"""How often the control plane's time is asked for while there are events to post."""


def elapsed_s() -> float:
    """Seconds by a clock that nobody sets, and that goes on while the machine sleeps where the system has one."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


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
            if self._welcome is None or time.monotonic() >= self._round_due or not self._follow(hints):
                self._round()
                self._round_due = time.monotonic() + SYNC_EVERY_S
                self._confirm()
        finally:
            self._tried = True
            self._save_lease()
        self._synced = True
        return max(0.0, self._round_due - time.monotonic())

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
        errors = [error for gallery in followed if (error := self._bring(gallery))]
        if errors:
            raise errors[0]
        self._replica.adopt()

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

    def _bring(self, gallery: Followed) -> RollcallError | None:
        """Bring one gallery up to date and report on it; a gallery that cannot be leaves the others alone."""
        failure: RollcallError | None = None
        try:
            bring(self._plane, self._replica, gallery)
        except OutOfReach:
            raise
        except RollcallError as error:
            failure = error
        self._sweep()
        self._report(gallery.id, failure)
        return failure

    def _report(self, gallery: str, failure: RollcallError | None = None) -> None:
        position, error = self._replica.position(gallery), str(failure) if failure else None
        offset = self._offset.ahead_s()
        self._plane.report(gallery, Report(position=position, error=error, clock_offset_s=offset))

    def _sweep(self) -> None:
        """Keep nothing of those who were taken out, nor of those erased in what waits to be delivered: before their
        erasure is confirmed."""
        self._replica.scrub()
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


class ClockOffset:
    """How far this machine's clock is ahead of the control plane's, from answers that tell its time.

    Each answer is taken to be of the middle of its round trip, so half of that is the most it is wrong by; of the last
    few the quickest counts. It is kept against a clock that nobody sets, so that it is right as soon as this machine's
    own is put right.
    """

    def __init__(self, wall: Callable[[], float] = time.time, elapsed: Callable[[], float] = elapsed_s) -> None:
        self._wall = wall
        self._elapsed = elapsed
        self._samples: deque[tuple[float, float]] = deque(maxlen=4)

    def take(self, asked_s: float, now: datetime) -> None:
        """Take an answer that comes now to what was asked at `asked_s` of the clock that nobody sets."""
        answered_s = self._elapsed()
        self._samples.append((answered_s - asked_s, (asked_s + answered_s) / 2 - now.timestamp()))

    def ahead_s(self) -> float | None:
        """Seconds; None as long as nothing is known."""
        if not self._samples:
            return None
        return self._wall() - self._elapsed() + min(self._samples)[1]


class Poster:
    """Brings the spool's events to the control plane. `step` posts one batch: the newest first while many wait, and
    behind them the oldest."""

    def __init__(
        self,
        plane: ControlPlane,
        spool: Spool,
        wall: Callable[[], float] = time.time,
        elapsed: Callable[[], float] = elapsed_s,
    ) -> None:
        self._plane = plane
        self._spool = spool
        self._elapsed = elapsed
        self._offset = ClockOffset(wall, elapsed)
        self._measured = float("-inf")
        self._zips = False
        self._size = BATCH

    def step(self) -> float:
        if len(self._spool) and self._elapsed() - self._measured > MEASURE_EVERY_S:
            self._measure()
        batch = self._spool.batch(self._size, LIVE)
        if not batch:
            return SYNC_EVERY_S
        began = self._elapsed()
        try:
            verdicts = self._plane.post(batch, self._offset.ahead_s(), zipped=self._zips)
        except Unanswered as error:
            if error.status not in (400, 413, 422):
                raise
            self._narrow(batch, error)
            return 0.0
        self._settle(batch, verdicts)
        self._pace(self._elapsed() - began)
        return 0.0

    def _measure(self) -> None:
        """Ask for the time by a batch of nothing: a small question, quickly answered. Who tells it reads gzip too."""
        asked = self._elapsed()
        now = self._plane.post([]).now
        self._zips = now is not None
        if now:
            self._offset.take(asked, now)
        self._measured = self._elapsed()

    def _pace(self, took_s: float) -> None:
        """Post no more at once than the line takes in a second: what is new does not wait for longer."""
        if took_s > POST_S:
            self._size = max(LIVE, self._size // 2)
        elif took_s < POST_S / 2:
            self._size = min(BATCH, self._size * 2)

    def _settle(self, batch: Sequence[Spooled], verdicts: Verdicts) -> None:
        refused = {v.id: v.reason or "no reason given" for v in verdicts.verdicts if v.outcome == "refused"}
        kept = {v.id for v in verdicts.verdicts} - refused.keys()
        done = [event.id for event in batch if str(event.id) in kept]
        bad = [event.id for event in batch if str(event.id) in refused]
        if not done and not bad:
            raise Invalid("the control plane gives no verdict on any event")
        self._spool.acknowledge(done)
        for key in bad:
            self._set_aside(key, refused[str(key)])

    def _narrow(self, batch: Sequence[Spooled], error: Unanswered) -> None:
        """A batch that is refused as a whole: find the event that is the reason, and set it aside."""
        if len(batch) > 1:
            self._size = len(batch) // 2
        else:
            self._set_aside(batch[0].id, str(error))

    def _set_aside(self, key: UUID, reason: str) -> None:
        log.error("event %s is refused: %s", key, reason)
        self._spool.quarantine(key, reason)
