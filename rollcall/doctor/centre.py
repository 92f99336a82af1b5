"""What is looked at where control plane and workers run, by the settings that these read."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from control_plane import dispatch
from control_plane.certificate import Certificate
from control_plane.config import Config
from control_plane.store import sites, version
from control_plane.store.db import Database, utcnow
from control_plane.store.sites import Edge
from control_plane.store.vault import open_vault
from faces import engine as engines
from jobs.config import Config as WorkerConfig
from rollcall.doctor import disk, network
from rollcall.doctor.finding import Check, Finding, fault, good, unknown, warning

ROOM_MB = 2000
SLOW_S = 0.1
CLOCK_S = 2.0
"""Clocks of two machines that differ by more confuse leases, sign-ins and what is late."""

SILENT_S, LAG_S = 120.0, 600.0
MOST_EDGES = 10_000
PORTS = {"redis": 6379, "rediss": 6379, "amqp": 5672, "amqps": 5671}


def checks() -> Iterator[Check]:
    """Of the control plane and the worker that the environment and `.env` describe; raises SettingError."""
    config, worker = Config.read(os.environ, Path(".env")), WorkerConfig.read(os.environ, Path(".env"))
    yield partial(database, config)
    yield partial(keys, config)
    yield partial(storage, config)
    yield partial(certificate, config)
    yield partial(brokers, config)
    yield partial(models, worker)


def database(config: Config) -> Iterator[Finding]:
    """Whether it answers and how quickly, its schema, its clock, and what it says of the edges."""
    with closing(Database(config.database_url, pool_size=1)) as opened:
        began = time.perf_counter()
        found = opened.seen(version.current)
        yield answered(time.perf_counter() - began)
        yield schema(found)
        if found < version.newest():
            yield unknown("edges", "the schema is older than this version needs")
            return
        if not opened.is_sqlite:
            theirs = opened.seen(lambda c: c.exec_driver_sql("SELECT clock_timestamp()").scalar_one())
            yield clock((utcnow() - theirs).total_seconds())
        yield from edges(opened.seen(lambda c: sites.edge_listing(c, utcnow(), limit=MOST_EDGES)))


def answered(took_s: float) -> Finding:
    told = f"it answers within {1000 * took_s:.0f} ms"
    if took_s > SLOW_S:
        return warning("database", told, "Bring it nearer, or look what keeps it busy.", s=took_s)
    return good("database", told, s=took_s)


def schema(found: str) -> Finding:
    told = f"the schema is {found or 'empty'}, this version needs {version.newest()}"
    if found < version.newest():
        return fault("schema", told, version.MIGRATE)
    if found > version.newest():
        return fault("schema", told, "Start the version of Rollcall that migrated it, or a later one.")
    return good("schema", told)


def clock(ahead_s: float) -> Finding:
    told = f"this machine's clock is {ahead_s:+.1f} s before the database's"
    if abs(ahead_s) > CLOCK_S:
        return warning("clock", told, "Have both set by NTP.", s=ahead_s)
    return good("clock", told, s=ahead_s)


def edges(found: Sequence[Edge]) -> Iterator[Finding]:
    """Those that are silent, or lack changes for long."""
    now = utcnow()
    silent = [e.name for e in found if (now - e.last_seen_at).total_seconds() > SILENT_S]
    lagging = [e.name for e in found if any(copy.lag_s > LAG_S for copy in e.galleries)]
    if silent:
        remedy = "Look at their line and power; they go on alone. One that is not coming back: rollcall edge remove."
        yield warning("edges", f"silent: {', '.join(silent)}", remedy)
    if lagging:
        yield warning("edges", f"behind: {', '.join(lagging)}", "GET /v1/edges says what they report.")
    if not (silent or lagging):
        yield good("edges", f"{len(found)} are heard of and up to date")


def keys(config: Config) -> Iterator[Finding]:
    """Whether what is sealed can be opened; raises SettingError."""
    open_vault(config.vault_url, config.master_key, sealing=config.encrypt).close()
    if config.encrypt:
        yield good("keys", "the master key opens the vault")
    else:
        yield warning("keys", "photos and encodings are stored plain", "Set ENCRYPT=true.")


def storage(config: Config) -> Iterator[Finding]:
    yield from disk.folder(config.data_dir, ROOM_MB, remedy="Make room, or choose another DATA_DIR.")


def certificate(config: Config) -> Iterator[Finding]:
    """Whether the one that we show can be used, and for how long; raises SettingError."""
    if config.tls_cert is None or config.tls_key is None:
        yield good("certificate", "none is set: nothing is encrypted on the way, unless a proxy does it")
        return
    until = Certificate(config.tls_cert, config.tls_key).expires_at()
    yield network.certificate((until - utcnow()).total_seconds() / network.DAY_S, "certificate")


def brokers(config: Config) -> Iterator[Finding]:
    yield from broker("broker", config.broker_url)
    yield from broker("bus", config.bus_url)


def broker(name: str, url: str | None) -> Iterator[Finding]:
    """Whether it is in reach, and takes user, password, and database or virtual host."""
    if url is None:
        yield good(name, "none is needed on one machine")
        return
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
    try:
        network.reached(host, port)
        dispatch.enter(url)
    except dispatch.NotLetIn as error:
        remedy = "Correct user, password, and database or virtual host in the setting."
        yield fault(name, f"{host}:{port} does not let us in: {error}", remedy)
    except OSError as error:
        remedy = "Start it, or correct the setting; what waits is done when it is back."
        yield fault(name, f"{host}:{port} is not in reach: {error.strerror or type(error).__name__}", remedy)
    else:
        yield good(name, f"{host}:{port} lets us in")


def models(config: WorkerConfig) -> Iterator[Finding]:
    """Whether the engine's weights are the pinned ones; raises RollcallError."""
    try:
        engine = engines.load(config.engine, models=config.models, threads=1, detector=config.detector)
    except ModuleNotFoundError:
        yield unknown("model", "no engine is installed here: the worker looks at the weights when it starts")
        return
    yield good("model", f"the weights of {engine.name} are there, and their digests are right")
