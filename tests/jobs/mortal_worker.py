"""A worker to be killed: the real one, with leases short enough for a test, and a fault on demand.

`FAULT=acknowledge_first` takes a chunk off the list before its photos are looked at and stored, as a queue does that
acknowledges a message before the work is committed.
"""

from __future__ import annotations

import os
import sys
from datetime import timedelta
from typing import Any

from control_plane.store import discards, enrollments, import_chunks, imports
from jobs import looking, sweep
from jobs.worker import main

SHORT = timedelta(seconds=1.5)


def acknowledge_first() -> None:
    claim = import_chunks.claim

    def claimed(connection: Any, *arguments: Any) -> import_chunks.Chunk | None:
        chunk = claim(connection, *arguments)
        if chunk is not None:
            import_chunks.close(connection, chunk)
        return chunk

    import_chunks.claim = claimed
    import_chunks.held = lambda *_: True


if __name__ == "__main__":
    enrollments.LEASE = import_chunks.LEASE = imports.LEASE = SHORT
    discards.LEFT_AFTER = sweep.CALM_EVERY = SHORT
    looking.RENEW_AFTER = SHORT / 3
    sweep.NUDGE_AGAIN = SHORT / 3
    if os.environ.get("FAULT") == "acknowledge_first":
        acknowledge_first()
    sys.exit(main())
