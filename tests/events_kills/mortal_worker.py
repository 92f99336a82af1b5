"""A worker to be killed: the real one, with leases short enough for a test, and no model, as no photo comes."""

from __future__ import annotations

import sys
from datetime import timedelta
from types import SimpleNamespace

from control_plane.store import deliveries
from faces import engine
from faces.encoding import SFACE
from jobs import sweep
from jobs.worker import main

if __name__ == "__main__":
    deliveries.LEASE = timedelta(seconds=1.5)
    engine.load = lambda *_, **__: SimpleNamespace(model=SFACE, th_accept=0.45)
    sweep.NUDGE_AGAIN = timedelta(seconds=0.5)
    sys.exit(main())
