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
from jobs.sweep import Due, Send, Sweeper
from jobs.webhooks import Delivering

log = logging.getLogger("worker")

WEBHOOK_THREADS = 8
ENCODE_LIMIT_MS = 120_000
READ_LIMIT_MS = 3_600_000
DELIVER_LIMIT_MS = 30_000
STOP_MS = 10_000
IDLE_MS = 100


class Worker:
    """Actors, their threads and the sweeper, on one database and one broker."""

    def __init__(self, config: Config) -> None:
        self._database = Database(config.database_url, pool_size=config.worker_threads + WEBHOOK_THREADS + 4)
        blobs = BlobStore(config.data_dir / "blobs")
        engine = engines.load(config.engine, models=config.models, threads=config.threads)
        encoding = Encoding(self._database, blobs, engine, utcnow)
        reading = Reading(self._database, blobs, utcnow)
        delivering = Delivering(self._database, utcnow)
        # A queue and threads of its own for each, so that a hung receiver never delays an enrolment.
        self._pools = [
            Pool(config.broker_url, ENCODE, "enroll", encoding.run, config.worker_threads, ENCODE_LIMIT_MS),
            Pool(config.broker_url, HOUSEKEEPING, "read_archive", reading.run, 1, READ_LIMIT_MS),
            Pool(config.broker_url, WEBHOOKS, "deliver", delivering.run, WEBHOOK_THREADS, DELIVER_LIMIT_MS),
        ]
        due = (enrollments.due, imports.due, webhooks.due)
        sends: dict[Due, Send] = {query: pool.actor.send for query, pool in zip(due, self._pools, strict=True)}
        self._sweeper = Sweeper(self._database, sends, utcnow)

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set; then finish what is under way."""
        for pool in self._pools:
            pool.threads.start()
        log.info("worker ready")
        try:
            self._sweeper.run(stop)
        finally:
            for pool in self._pools:
                pool.threads.stop(timeout=STOP_MS)
                pool.broker.close()
            self._database.close()


class Pool:
    """One actor on a queue of its own, with the threads that run it."""

    def __init__(
        self, broker_url: str | None, queue: str, name: str, run: Callable[[str], None], threads: int, limit_ms: int
    ) -> None:
        self.broker = make_broker(broker_url)
        # No retries by the broker: what is unfinished is due again when its lease runs out.
        declare = dramatiq.actor(
            actor_name=name, queue_name=queue, broker=self.broker, max_retries=0, time_limit=limit_ms
        )
        self.actor: dramatiq.Actor[[str], None] = declare(run)
        self.threads = dramatiq.Worker(self.broker, worker_threads=threads, worker_timeout=IDLE_MS)


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
