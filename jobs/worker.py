"""The worker process: `python -m jobs.worker`. Any number may run, on any number of machines."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable

import dramatiq

from control_plane.store import enrollments, imports, webhooks
from control_plane.store.blobs import BlobStore
from control_plane.store.db import Database, utcnow
from faces import engine as engines
from faces.errors import RollcallError
from jobs.broker import ENCODE, HOUSEKEEPING, WEBHOOKS, make_broker
from jobs.config import Config
from jobs.encode import Encoding
from jobs.imports import Reading
from jobs.sweep import Sweeper
from jobs.webhooks import Delivering

log = logging.getLogger("worker")

WEBHOOK_THREADS = 8
ENCODE_LIMIT_MS = 120_000
READ_LIMIT_MS = 3_600_000
DELIVER_LIMIT_MS = 30_000


class Worker:
    """Actors, their threads and the sweeper, on one database and one broker."""

    def __init__(self, config: Config) -> None:
        self._database = Database(config.database_url, pool_size=config.worker_threads + WEBHOOK_THREADS + 4)
        blobs = BlobStore(config.data_dir / "blobs")
        engine = engines.load(config.engine, models=config.models, threads=config.threads)
        self._broker = make_broker(config.broker_url)
        actors = {
            enrollments.due: self._actor(
                "enroll", ENCODE, Encoding(self._database, blobs, engine, utcnow).run, ENCODE_LIMIT_MS
            ),
            imports.due: self._actor(
                "read_archive", HOUSEKEEPING, Reading(self._database, blobs, utcnow).run, READ_LIMIT_MS
            ),
            webhooks.due: self._actor("deliver", WEBHOOKS, Delivering(self._database, utcnow).run, DELIVER_LIMIT_MS),
        }
        self._sweeper = Sweeper(self._database, {due: actor.send for due, actor in actors.items()}, utcnow)
        # Queues and threads of their own, so that a hung receiver never delays an enrolment.
        self._pools = [
            dramatiq.Worker(self._broker, queues={queue}, worker_threads=threads, worker_timeout=100)
            for queue, threads in ((ENCODE, config.worker_threads), (HOUSEKEEPING, 1), (WEBHOOKS, WEBHOOK_THREADS))
        ]

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set; then finish what is under way."""
        for pool in self._pools:
            pool.start()
        log.info("worker ready")
        try:
            self._sweeper.run(stop)
        finally:
            for pool in self._pools:
                pool.stop(timeout=10_000)
            self._broker.close()
            self._database.close()

    def _actor(self, name: str, queue: str, run: Callable[[str], None], limit_ms: int) -> dramatiq.Actor[[str], None]:
        # No retries by the broker: what is unfinished is due again when its lease runs out.
        declare = dramatiq.actor(
            actor_name=name, queue_name=queue, broker=self._broker, max_retries=0, time_limit=limit_ms
        )
        return declare(run)


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s worker: %(message)s")
    logging.getLogger("dramatiq").setLevel(logging.WARNING)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        Worker(Config.read(os.environ)).run(stop)
    except RollcallError as error:
        log.error("%s %s", error.message, error.remedy)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
