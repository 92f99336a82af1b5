"""The worker process: `python -m jobs.worker`. Any number may run, on any number of machines."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import NamedTuple

import dramatiq

from control_plane.dispatch import (
    CHORES,
    ENCODE,
    HOUSEKEEPING,
    IMPORTS,
    REENCODE,
    SLOW_WEBHOOKS,
    WEBHOOKS,
    broker_failures,
)
from control_plane.store import (
    deliveries,
    discards,
    enrollments,
    galleries,
    identifications,
    import_chunks,
    imports,
    reencodings,
    replay,
    retention,
    seals,
    unknowns,
    version,
)
from control_plane.store.blobs import BlobStore
from control_plane.store.db import Database, Unavailable, utcnow
from control_plane.store.retention import Days
from control_plane.store.vault import open_vault
from faces import logs
from faces.encoding import SFACE
from faces.engine import YUNET, Engine, load
from faces.engine.enroll import Limits as PhotoLimits
from faces.errors import RollcallError
from jobs import scrub, sealing
from jobs.admission import Admission
from jobs.admitting import Admitting
from jobs.broker import make_broker
from jobs.compaction import Compacting
from jobs.config import Config
from jobs.copies import Copies
from jobs.directory import Limits
from jobs.encode import Encoding
from jobs.ending import Ending
from jobs.expiring import Expiring
from jobs.identify import Identifying
from jobs.looking import STAY, Looking
from jobs.metrics import Metrics, TimedEngine
from jobs.outbound import Outbound
from jobs.planning import Planning
from jobs.reencoding import Reencoding
from jobs.retention import Retaining
from jobs.sweep import Due, Send, Sweeper
from jobs.together import Together
from jobs.unknowns import Grouping
from jobs.webhooks import Delivering, Forgetting

log = logging.getLogger("worker")

WEBHOOK_THREADS = 24
SLOW_WEBHOOK_THREADS = 16
"""Each waits for one receiver: so many may hang without holding up another. They cost little while they wait."""

HOUSEKEEPING_THREADS = 2
CHORE_THREADS = 2
ENCODE_LIMIT_MS = 120_000
IMPORT_LIMIT_MS = 3_600_000
RETAIN_LIMIT_MS = 3_600_000
SEAL_LIMIT_MS = 86_400_000
DELIVER_LIMIT_MS = 60_000
STOP_MS = 10_000
RETRY_S = 1.0
IDLE_MS, QUICK_IDLE_MS = 1000, 250
"""How long a thread waits before it asks an empty queue again: Redis is polled, and each asking costs. The shorter time
is for queues behind which somebody stands and waits."""

QUICK = (ENCODE, IMPORTS, HOUSEKEEPING, WEBHOOKS)


class Job(NamedTuple):
    """An actor: what it does with a row, which rows are due for it, how long it may take, whether nobody waits, what it
    may have made due when it is done, and whether others on its queue go first."""

    name: str
    run: Callable[[str], None]
    due: Due
    limit_ms: int
    calm: bool = False
    then: Due | None = None
    last: bool = False


class Worker:
    """Actors, their threads and the sweeper, on one database and one broker, with the engine that galleries go by."""

    def __init__(self, config: Config, metrics: Metrics) -> None:
        self._database = _opened(config)
        engines = Engines(config, metrics)
        self._model = self._active() or engines.load(config.engine).model
        jobs = _jobs(config, self._database, engines, engines.load(self._model), metrics)
        self._pools = [Pool(config.broker_url, metrics, self._look_at, *queue) for queue in jobs]
        sends: dict[Due, Send] = {due: send for pool in self._pools for due, send in pool.sends.items()}
        calm = {job.due for _, _, declared in jobs for job in declared if job.calm}
        self._swept = metrics.swept
        self._sweeper = Sweeper(self._database, sends, utcnow, calm, broker_failures(config.broker_url))

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set, or galleries go by another engine; then finish what is under way."""
        for pool in self._pools:
            pool.threads.start()
        log.info("worker ready")
        try:
            self._sweeper.run(stop, over=self._over)
        finally:
            # All at once: each waits for its threads to come round, idle ones too.
            with ThreadPoolExecutor(len(self._pools)) as stopping:
                list(stopping.map(Pool.stop, self._pools))
            self._database.close()

    def _look_at(self, due: Due) -> None:
        self._sweeper.look_at(due)

    def _over(self) -> bool:
        """Asked after each sweep: whether galleries go by another engine."""
        self._swept(utcnow())
        return self._active() not in (None, self._model)

    def _active(self) -> str | None:
        with self._database.read() as connection:
            return galleries.active_model(connection)


class Engines:
    """Engines by name, each loaded when it is first asked for. Safe for several threads."""

    def __init__(self, config: Config, metrics: Metrics) -> None:
        self._config, self._metrics = config, metrics
        self._loaded: dict[str, Engine] = {}
        self._loading = threading.Lock()

    def load(self, name: str) -> Engine:
        config = self._config
        # An engine is called like the model of its encodings.
        with self._loading:
            if name not in self._loaded:
                asked = config.detector if name == config.engine or name != SFACE else YUNET
                loaded = load(name, models=config.models, threads=config.threads, detector=asked)
                self._loaded[name] = TimedEngine(loaded, self._metrics)
            return self._loaded[name]


def _jobs(
    config: Config, database: Database, engines: Engines, engine: Engine, metrics: Metrics
) -> list[tuple[str, int, list[Job]]]:
    """The queues, with the threads and the jobs of each.

    Each has threads of its own: so neither a hung receiver nor a long import delays an enrolment, and what nobody waits
    for, which may take hours, delays nothing.
    """
    blobs = BlobStore(config.data_dir / "blobs", database.vault)
    limits = Limits(config.max_entries, config.max_directory_bytes, config.max_entry_bytes)
    photo = PhotoLimits(max_pixels=config.max_pixels)
    copies = Copies(engine.model)
    admission = Admission(copies, engine.model, engine.th_accept, require_consent=config.require_consent)
    encoding = Encoding(database, blobs, engine, utcnow, limits=photo, admission=admission)
    keep = timedelta(seconds=config.keep_answers_s)
    identifying = Identifying(database, blobs, engine, copies, utcnow, keep=keep, limits=photo)
    looking = Looking(database, blobs, engine, utcnow, limits=limits, photo_limits=photo, stay=STAY)
    # Two for each thread, the one it is at and the one it goes on with, are fetched ahead. And as many for others.
    chunks = partial(import_chunks.due, wake=4 * config.worker_threads)
    admitting = Admitting(database, blobs, admission, utcnow, limits)
    planning = Planning(database, blobs, utcnow, limits)
    ending = Ending(database, blobs, utcnow)
    retaining = Retaining(database, Days(config.event_days, config.thumbnail_days), utcnow)
    together, outbound = Together(database), Outbound(config.webhook_allow)
    delivering = Delivering(database, together, outbound, utcnow, count=metrics.posted)
    delivering_slowly = Delivering(database, together, outbound, utcnow, slow=True, count=metrics.posted)
    expiring = Expiring(
        database, blobs, utcnow, identity_days=config.identity_days, notice_days=config.consent_notice_days
    )
    compacting = Compacting(database, config.change_days, utcnow)
    scrubbing = scrub.Scrubbing(database, blobs, utcnow)
    reencoding = Reencoding(database, blobs, engines.load, engine.model, utcnow, photo)

    def current(run: Callable[[str], None]) -> Callable[[str], None]:
        """What needs the engine waits when galleries go by another one: this worker is about to begin anew with it."""

        def checked(row_id: str) -> None:
            with database.read() as connection:
                active = galleries.active_model(connection)
            if active in (None, engine.model):
                run(row_id)

        return checked

    def discard(blob: str) -> None:
        discards.carry_out(database, blobs, [blob])

    housekeeping = [
        Job("read_archive", planning.run, imports.due, IMPORT_LIMIT_MS, then=chunks, last=True),
        Job("admit", current(admitting.run), imports.admissible, IMPORT_LIMIT_MS),
        Job("end_import", ending.run, imports.ending, IMPORT_LIMIT_MS),
        Job("plan_reencoding", reencoding.plan, reencodings.unplanned, ENCODE_LIMIT_MS, last=True),
    ]
    chores = [
        Job("forget", identifying.forget, identifications.old, ENCODE_LIMIT_MS, calm=True),
        Job("group", Grouping(database, utcnow).run, unknowns.due, IMPORT_LIMIT_MS, calm=True),
        Job("retain", retaining.run, retention.due, RETAIN_LIMIT_MS, calm=True),
        Job("expire", expiring.erase, expiring.due, ENCODE_LIMIT_MS, calm=True),
        Job("tell_expiry", expiring.tell, expiring.ending, ENCODE_LIMIT_MS, calm=True),
        Job("discard", discard, discards.due, ENCODE_LIMIT_MS, calm=True),
        Job("forget_deliveries", Forgetting(database, utcnow).run, deliveries.old, IMPORT_LIMIT_MS, calm=True),
        Job("compact", compacting.run, galleries.compactable, RETAIN_LIMIT_MS, calm=True),
        Job("scrub", scrubbing.run, scrub.due, IMPORT_LIMIT_MS, calm=True),
        Job("seal", sealing.Sealing(database, blobs).run, sealing.due, SEAL_LIMIT_MS, calm=True),
    ]
    look = Job("look", current(looking.run), chunks, ENCODE_LIMIT_MS, then=imports.admissible)
    encode = [
        Job("enroll", current(encoding.run), enrollments.due, ENCODE_LIMIT_MS),
        Job("identify", current(identifying.run), identifications.due, ENCODE_LIMIT_MS),
    ]
    return [
        (ENCODE, config.worker_threads, encode),
        (IMPORTS, config.worker_threads, [look]),
        (REENCODE, config.worker_threads, [Job("reencode", reencoding.run, reencodings.due, ENCODE_LIMIT_MS)]),
        (HOUSEKEEPING, HOUSEKEEPING_THREADS, housekeeping),
        (CHORES, CHORE_THREADS, chores),
        (WEBHOOKS, WEBHOOK_THREADS, [Job("deliver", delivering.run, deliveries.due, DELIVER_LIMIT_MS)]),
        (
            SLOW_WEBHOOKS,
            SLOW_WEBHOOK_THREADS,
            [Job("deliver_slowly", delivering_slowly.run, deliveries.due_slow, DELIVER_LIMIT_MS)],
        ),
    ]


class Pool:
    """A queue of its own, the actors on it, and the threads that run them. `look_at` sends what has become due."""

    def __init__(
        self,
        broker_url: str | None,
        metrics: Metrics,
        look_at: Callable[[Due], None],
        queue: str,
        threads: int,
        jobs: Sequence[Job],
    ) -> None:
        self.broker, self._metrics, self._look_at = make_broker(broker_url), metrics, look_at
        self.sends: dict[Due, Send] = {job.due: self._declare(queue, job).send for job in jobs}
        idle_ms = QUICK_IDLE_MS if queue in QUICK else IDLE_MS
        self.threads = dramatiq.Worker(self.broker, worker_threads=threads, worker_timeout=idle_ms)

    def stop(self) -> None:
        """Finish what is under way."""
        self.threads.stop(timeout=STOP_MS)
        self.broker.close()

    def _declare(self, queue: str, job: Job) -> dramatiq.Actor[[str], None]:
        # No retries by the broker: what is unfinished is due again when its lease runs out.
        declare = dramatiq.actor(
            actor_name=job.name,
            queue_name=queue,
            broker=self.broker,
            priority=int(job.last),
            max_retries=0,
            time_limit=job.limit_ms,
        )
        actor: dramatiq.Actor[[str], None] = declare(self._then(job.then, self._metrics.timed(job.name, job.run)))
        return actor

    def _then(self, due: Due | None, run: Callable[[str], None]) -> Callable[[str], None]:
        if due is None:
            return run

        def followed(row_id: str) -> None:
            run(row_id)
            self._look_at(due)

        return followed


def _opened(config: Config) -> Database:
    """The database, fit to be worked on. Raises Unavailable or SettingError where it is not."""
    database = Database(
        config.database_url,
        pool_size=config.database_pool,
        statement_timeout_s=config.database_timeout_s,
        vault=open_vault(config.vault_url, config.master_key, sealing=config.encrypt),
    )
    try:
        _check(database)
        seals.bind(database)
        replay.at_start(database, BlobStore(config.data_dir / "blobs", database.vault), utcnow())
    except BaseException:
        database.close()
        raise
    return database


def _check(database: Database) -> None:
    """Raises Unavailable while SQLite, which the control plane migrates when it starts, is yet to be migrated."""
    try:
        version.check(database)
    except version.Older as error:
        if not database.is_sqlite:
            raise
        raise Unavailable(f"the control plane is waited for: {error.message}") from error


def work(config: Config, metrics: Metrics, stop: threading.Event) -> None:
    """Work until `stop` is set or the engine changes; where the database does not answer, wait a moment."""
    try:
        worker = Worker(config, metrics)
    except Unavailable as error:
        log.warning("%s", error.message)
        stop.wait(RETRY_S)
    else:
        worker.run(stop)


def main() -> int:
    logs.set_up("worker", logs.LogFormat.TEXT)
    logging.getLogger("dramatiq").setLevel(logging.WARNING)
    # It would name receivers' URLs, which may hold a secret.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        config = Config.read(os.environ)
        logs.set_up("worker", config.log_format)
        metrics = Metrics()
        if config.metrics_port:
            metrics.serve(config.metrics_host, config.metrics_port)
        if not config.encrypt:
            log.warning(seals.OFF)
        while not stop.is_set():
            work(config, metrics, stop)
    except RollcallError as error:
        log.error("%s %s", error.message, error.remedy)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
