"""Events up: what waits in the spool is posted over HTTP, until the control plane has it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from uuid import UUID

from edge.clock import ClockOffset, elapsed_s
from edge.plane import ControlPlane, OutOfReach, Unanswered
from edge.spool import Spool, Spooled
from faces.errors import Invalid
from faces.wire import Verdicts

log = logging.getLogger("edge.delivery")

IDLE_S = 30.0
"""While nothing waits, so often is it looked for all the same."""

BATCH = 250
"""Events posted at once, at most."""

LIVE = 20
"""So many of them are the newest, while more wait than are posted at once."""

POST_S = 1.0
"""What takes longer is posted in smaller batches."""

MEASURE_EVERY_S = 600.0
"""How often the control plane's time is asked for while there are events to post."""


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
            return IDLE_S
        began = self._elapsed()
        try:
            verdicts = self._plane.post(batch, self._offset.ahead_s(), zipped=self._zips)
        except OutOfReach:
            # Perhaps it was too much for the line to carry in time.
            self._size = max(1, len(batch) // 2)
            raise
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
            self._size = max(min(LIVE, self._size), self._size // 2)
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
        if done:
            log.info("%d events delivered", len(done), extra={"event_ids": [str(key) for key in done]})
        for key in bad:
            self._set_aside(key, refused[str(key)])

    def _narrow(self, batch: Sequence[Spooled], error: Unanswered) -> None:
        """A batch that is refused as a whole: find the event that is the reason, and set it aside."""
        if len(batch) > 1:
            self._size = len(batch) // 2
        else:
            self._set_aside(batch[0].id, str(error))

    def _set_aside(self, key: UUID, reason: str) -> None:
        log.error("event %s is refused: %s", key, reason, extra={"event_id": str(key)})
        self._spool.quarantine(key, reason)
