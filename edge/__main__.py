"""The edge's root: reads the settings, builds the parts, runs them until told to end."""

from __future__ import annotations

import logging
import math
import os
import signal
import sqlite3
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Protocol

from edge import build, managed, parts
from edge import credential as credentials
from edge.cameras import Cameras, Lens
from edge.clock import elapsed_s
from edge.config import USUAL_URL, CameraConfig, Config, cores
from edge.credential import MEMBERSHIP, Credential
from edge.decide import Held
from edge.delivery import Poster
from edge.frames import Frame, Sight
from edge.funnel import Outcome
from edge.gate import Gate
from edge.health import TICK_S, Health, Tally
from edge.lease import Lease
from edge.link import Link, link_url
from edge.memory import bound_arenas
from edge.metrics import Figures, Metrics, MetricsPage
from edge.notice import Change, Notice
from edge.notify import NOBODY, Notifier
from edge.orders import Orders
from edge.parts import Part
from edge.plane import ControlPlane, edge_id, headers
from edge.preview import Preview
from edge.recognize import Recognizer
from edge.record import Recorder
from edge.reload import Reloader
from edge.repeat import Backoff, Repeater
from edge.replica import Replica
from edge.seal import Seal, open_seal
from edge.spool import Spool
from edge.stages import Timed
from edge.stream import Stream
from edge.uplink import Syncer
from edge.watchdog import DELIVERY_S, LOOK_S, SYNC_S, Watchdog
from faces import logs
from faces.engine import Engine
from faces.errors import RollcallError
from faces.events import EventKind
from faces.masterkey import Source
from faces.wire import Hello, Hint, LinkStatus

log = logging.getLogger("edge")

FIRST_SYNC_S = 10.0
"""A file waits so long for the galleries as they are now; a camera does not wait."""

DRAIN_S = 30.0
"""At a file's end its events have so long to be delivered."""


class Viewer(Protocol):
    """What shows sights; it never makes anybody wait."""

    def offer(self, sight: Sight) -> None: ...


class Edge:
    """An edge, built from its settings."""

    def __init__(self, config: Config, engine: Engine) -> None:
        build.folder(config.data_dir)
        self._config = config
        self._stopping = threading.Event()
        self._seal = seal = open_seal(config.data_dir, Source.of(config), sealing=config.encrypt)
        self._replica = Replica(config.data_dir / "galleries.db", engine.model, seal)
        self._lease = Lease(config.lease_days, self._replica.spent(), elapsed_s(), time.time())
        self._lease.limit(self._replica.lease_days())
        if self._replica.model != engine.model:
            engine = build.engine(config, self._replica.model)
        self._metrics = Metrics(self._figures)
        self._watchdog = Watchdog()
        self._tally = Tally(config.data_dir / "hangs")
        self._engines = {engine.model: Timed(engine, self._metrics.took)}
        self._cameras = Cameras(self, self._lens, config.cameras_at_once or cores())
        self._cameras.change(config.cameras)
        first = config.cameras[0].name
        bounds = build.bounds(config)
        self._spool = Spool(config.data_dir / "spool.db", bounds, camera=first, elapsed=elapsed_s, seal=seal)
        self._admitting = True
        self._id = edge_id(config.data_dir / "edge-id")
        url, credential = credentials.read(config.data_dir / MEMBERSHIP, lambda: seal) or (USUAL_URL, Credential())
        _seal_kept(config.data_dir, credential, seal)
        self._url = config.control_plane_url or url
        self._credential = Credential(config.edge_key) if config.edge_key else credential
        self._poster = self._repeater("delivery of events", Poster(self._plane(), self._spool).step, DELIVERY_S)
        self._syncer = Syncer(
            self._plane(),
            self._replica,
            build.hello(config, engine.name),
            self._poster.hurry,
            self._lease,
            self._spool,
            self._engage,
            self._credential,
        )
        self._syncing = self._repeater("synchronisation of galleries", self._syncer.step, SYNC_S)
        self._link = Link(
            link_url(self._url),
            lambda: headers(self._id, self._credential.key),
            hinted=self._hinted,
            ordered=self._ordered,
            status=self._status,
            quality=config.ws_jpeg_quality,
        )
        self._ordering: Repeater | None = None
        self._gate: Gate | None = None
        if config.webhook_url:
            self._gate = Gate(config.webhook_url, config.webhook_max_age, config.webhook_secret)
        self._recorder = Recorder(self._spool, self._gate, self._poster.wake)
        self._viewers: list[Viewer] = []
        self._parts: dict[str, Part] = {"sync": self._syncing, "delivery": self._poster, "link": self._link}
        self._parts["cameras"] = self._cameras
        if self._gate:
            self._parts["gate"] = self._gate
        self._add_viewers()

    def _repeater(self, name: str, work: Callable[[], float], bound_s: float) -> Repeater:
        return Repeater(name, self._watchdog.watched(name, bound_s, work), Backoff(0.5, 5.0))

    def _plane(self) -> ControlPlane:
        """The control plane, for one thread."""
        return ControlPlane(self._url, self._id, self._credential)

    def _ordered(self) -> None:
        if self._ordering:
            self._ordering.hurry()

    def _take_orders(self, reload: Callable[[], None]) -> None:
        """Let the control plane say which cameras are watched, too."""
        config = self._config
        allowed = config.remote_cameras
        orders = Orders(self._plane(), config.data_dir, self._watched, reload, allowed=allowed, seal=self._seal)
        self._viewers.append(orders)
        self._parts["orders"] = self._ordering = self._repeater("orders for cameras", orders.step, DELIVERY_S)

    def _watched(self) -> set[str]:
        return {lens.config.name for lens in self._cameras.lenses}

    def _hinted(self, hint: Hint | None) -> None:
        if hint:
            self._syncer.hint(hint)
        self._syncing.hurry()

    def _add_viewers(self) -> None:
        config = self._config
        if config.ws_enable:
            self._viewers.append(self._link)
        if config.ws_enable and config.ws_url:
            stream = Stream(config.ws_url, config.ws_jpeg_quality)
            self._viewers.append(stream)
            self._parts["stream"] = stream
        if config.show_window:
            preview = Preview(config.preview_host, config.preview_port, config.ws_jpeg_quality)
            log.info("the picture is shown at %s", preview.url)
            self._viewers.append(preview)
            self._parts["preview"] = preview
        if config.metrics_port:
            self._parts["metrics"] = page = MetricsPage(self._metrics, config.metrics_host, config.metrics_port)
            log.info("metrics are at %s", page.url)

    def stop(self) -> None:
        """End soon; may be called from anywhere."""
        self._stopping.set()

    def run(self, reloader: Reloader | None = None, notifier: Notifier = NOBODY) -> None:
        """Run until stopped, or until all files have ended where EXIT_AT_END says so; with what calls `change`, and
        who is told how it goes."""
        if reloader:
            self._parts["reload"] = reloader
            self._take_orders(reloader.now)
        running = {name: parts.start(name, part, self._stopping) for name, part in self._parts.items()}
        health = Health(
            self._watchdog,
            notifier,
            self._tally,
            lambda: [name for name, (_, thread) in running.items() if not thread.is_alive()],
        )
        notifier.ready()
        try:
            self._live(health)
            if self._config.exit_at_end:
                self._drain()
        finally:
            notifier.stopping()
            self._stopping.set()
            for part, _ in running.values():
                part.stop()
            for _, thread in running.values():
                thread.join(parts.STOP_S)
            self._replica.close()
            self._spool.close()

    def change(self, config: Config) -> None:
        """Watch the cameras of this configuration from now on; raises SettingError, and changes nothing then. Other
        settings than those of cameras wait for the next start."""
        self._cameras.change(config.cameras)
        before, self._config = self._config, replace(self._config, cameras=config.cameras)
        if before.cameras != config.cameras:
            self._syncer.introduce(build.hello(self._config, self._replica.model))
            self._syncing.hurry()
        log.info("watching %s", ", ".join(camera.name for camera in config.cameras))
        if waiting := build.changed(self._config, config):
            log.warning("%s: counts from the next start on", ", ".join(waiting))

    def begin(self, lens: Lens) -> None:
        """A file waits for the galleries as they are now."""
        if lens.camera.is_file:
            self._wait(self._syncer.ready, FIRST_SYNC_S)

    def look(self, lens: Lens, frame: Frame) -> None:
        with self._watchdog.working(f"camera {lens.config.name}", LOOK_S):
            self._look(lens, frame)

    def _look(self, lens: Lens, frame: Frame) -> None:
        sight = lens.recognizer.look(frame, self._galleries(lens), admits=self._admits())
        self._recorder.record(sight.events)
        for viewer in self._viewers:
            viewer.offer(sight)

    def noticed(self, lens: Lens, notice: Notice) -> None:
        """Take a notice of a camera."""
        self._recorder.record(lens.recognizer.conclude())
        if notice.change is Change.END:
            log.info("camera %s: the file has ended", lens.config.name)
        else:
            kind = EventKind(f"camera_{notice.change}")
            self._recorder.record([build.camera_event(lens.config.name, kind, notice.at, notice.reason)])

    def left(self, lens: Lens) -> None:
        self._recorder.record(lens.recognizer.conclude())

    def _lens(self, camera: CameraConfig, offered: Callable[[], None]) -> Lens:
        return Lens(camera, self._recognizer(camera, self._replica.model, Counter()), offered)

    def _recognizer(self, camera: CameraConfig, model: str, funnel: Counter[Outcome]) -> Recognizer:
        engine = self._engines[model]
        policy = build.policy(camera, engine)
        return Recognizer(engine, camera.name, policy, os.urandom, funnel, lambda: self._syncer.keeps_probes)

    def _galleries(self, lens: Lens) -> Sequence[Held]:
        """The galleries as the engine in use can search them. The other engine takes over as soon as it has one."""
        held, model = self._replica.held, self._replica.model
        if lens.recognizer.model != model and any(h.gallery.model == model for h in held):
            self._recorder.record(lens.recognizer.conclude())
            lens.recognizer = self._recognizer(lens.config, model, lens.recognizer.funnel)
            log.info("camera %s: recognising by the engine %s from now on", lens.config.name, model)
        if all(h.gallery.model == lens.recognizer.model for h in held):
            return held
        return [h for h in held if h.gallery.model == lens.recognizer.model]

    def _engage(self, model: str) -> Hello:
        """Make ready to recognise by another engine, while the one in use goes on."""
        config = self._config
        log.info("galleries go by the engine %s: loading it", model)
        engine = Timed(build.engine(config, model), self._metrics.took)
        if config.th_accept is not None:
            log.warning(
                "TH_ACCEPT=%g was set for the engine %s; it counts for %s too", config.th_accept, config.engine, model
            )
        self._engines[model] = engine
        return build.hello(self._config, model)

    def _admits(self) -> bool:
        """Whether the lease lasts; it is said once when it has expired."""
        admits = not self._lease.expired(elapsed_s())
        if admits and not self._admitting:
            log.info("synced again: people are let pass")
        elif self._admitting and not admits:
            log.warning("no sync for %g days: nobody is let pass", self._lease.days)
        self._admitting = admits
        return admits

    def _drain(self) -> None:
        """Give the last events time to be delivered."""
        self._wait(lambda: not len(self._spool), DRAIN_S)
        if left := len(self._spool):
            log.warning("%d events are not delivered yet: they stay in the spool", left)

    def _live(self, health: Health) -> None:
        """Look after the parts until it is time to end."""
        files = self._config.exit_at_end
        while not (files and self._cameras.ended) and not self._stopping.wait(0.02 if files else TICK_S):
            health.tick()

    def _wait(self, condition: Callable[[], bool], timeout_s: float = math.inf) -> None:
        """Wait for a condition, for a while, and not when told to stop."""
        until = time.monotonic() + timeout_s
        while not condition() and time.monotonic() < until and not self._stopping.wait(0.02):
            pass

    def _figures(self) -> Figures:
        now = time.monotonic()
        return Figures(
            cameras=[lens.figures(now) for lens in self._cameras.lenses],
            spooled=len(self._spool),
            events=self._spool.outcomes,
            unconfirmed_s=self._lease.spent_s(elapsed_s()),
            failing={name: part.failing for name, part in self._parts.items() if isinstance(part, Repeater)},
            hangs=self._tally.count,
        )

    def _status(self) -> LinkStatus:
        now = time.monotonic()
        return LinkStatus(cameras=[lens.status(now) for lens in self._cameras.lenses], spooled=len(self._spool))


def _seal_kept(folder: Path, credential: Credential, seal: Seal) -> None:
    """Seal what was kept plain. Where the disk takes nothing an edge recognises all the same."""
    try:
        managed.seal_plain(folder, seal)
        credential.keep_sealed(seal)
    except OSError as error:
        log.warning("cameras and credential are not sealed yet: %s", error.strerror)


def main() -> int:
    logs.set_up("edge", logs.LogFormat.TEXT)
    bound_arenas()
    # They would say with which key this edge calls, and where.
    for name in ("websockets", "urllib3"):
        logging.getLogger(name).setLevel(logging.WARNING)

    def read() -> Config:
        return Config.read(os.environ, Path(".env"))

    try:
        config = read()
        logs.set_up("edge", config.log_format)
        if not config.encrypt:
            log.warning("ENCRYPT is off: encodings and thumbnails lie on the disk for whoever can read it")
        edge = Edge(config, build.engine(config, config.engine))
    except RollcallError as error:
        log.error("%s", " ".join((error.message, error.remedy)).strip())
        return 2
    except sqlite3.Error as error:
        # Unlike a setting, a disk may be mended by the next start.
        log.error("DATA_DIR: what lies there cannot be opened (%s)", error)
        return 1

    if hasattr(os, "geteuid") and os.geteuid() == 0:
        log.warning(
            "this runs as root, which an edge never needs: give it a user of its own (deploy/rollcall-edge.service)"
        )

    def ended(signum: int, frame: FrameType | None) -> None:
        edge.stop()

    signal.signal(signal.SIGTERM, ended)
    signal.signal(signal.SIGINT, ended)
    reloader = Reloader(config.file, read, edge.change)
    signal.signal(signal.SIGHUP, lambda signum, frame: reloader.ask())
    edge.run(reloader, Notifier(os.environ, os.getpid()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
