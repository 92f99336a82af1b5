"""The edge's root: reads the settings, builds the parts, runs them until told to end."""

from __future__ import annotations

import logging
import os
import platform
import signal
import sqlite3
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import NamedTuple, Protocol

from edge import VERSION
from edge.camera import Camera, Change, Notice
from edge.config import Config
from edge.decide import Held, Thresholds
from edge.frames import Frame, Sight
from edge.gate import Gate
from edge.journal import line
from edge.lease import DAY_S, Lease
from edge.link import Link, link_url
from edge.plane import ControlPlane, edge_id, headers
from edge.preview import Preview
from edge.recognize import Policy, Recognizer
from edge.repeat import Backoff, Repeater
from edge.replica import Replica
from edge.spool import Bounds, Spool
from edge.stream import Stream
from edge.uplink import Poster, Syncer, elapsed_s
from faces import engine as engines
from faces.encoding import SFACE
from faces.engine import Engine
from faces.errors import RollcallError, SettingError
from faces.events import Event, EventKind, Status, uuid7
from faces.wire import CameraStatus, Hello, Hint, LinkStatus

log = logging.getLogger("edge")

FIRST_SYNC_S = 10.0
"""A file waits so long for the galleries as they are now; a camera does not wait."""

DRAIN_S = 30.0
"""At a file's end its events have so long to be delivered."""

FPS_OVER_S = 5.0
"""What the frames a second are counted over."""

STOP_S = 10.0
"""What a part has to end by itself."""


class Part(Protocol):
    """What runs on a thread of its own until stopped."""

    def run(self) -> None: ...

    def stop(self) -> None: ...


class Viewer(Protocol):
    """What shows sights; it never makes anybody wait."""

    def offer(self, sight: Sight) -> None: ...


class Running(NamedTuple):
    part: Part
    thread: threading.Thread


class Edge:
    """One camera's edge, built from its settings."""

    def __init__(self, config: Config, engine: Engine) -> None:
        _make(config.data_dir)
        self._config = config
        self._stopping = threading.Event()
        self._camera = Camera(config.camera, config.video_source, config.video_pace, config.video_loop)
        self._replica = Replica(config.data_dir / "galleries.db", engine.model)
        self._lease = Lease(config.lease_days, self._replica.spent(), elapsed_s(), time.time())
        self._lease.limit(self._replica.lease_days())
        if self._replica.model != engine.model:
            engine = _engine(config, self._replica.model)
        self._recognizers = {engine.model: Recognizer(engine, config.camera, _policy(config, engine), os.urandom)}
        self._model = engine.model
        self._spool = Spool(config.data_dir / "spool.db", _bounds(config), camera=config.camera, elapsed=elapsed_s)
        self._admitting = True
        self._looked: deque[float] = deque(maxlen=1000)
        key = edge_id(config.data_dir / "edge-id")
        self._poster = Repeater(
            "delivery of events",
            Poster(ControlPlane(config.control_plane_url, key), self._spool).step,
            Backoff(0.5, 5.0),
        )
        self._syncer = Syncer(
            ControlPlane(config.control_plane_url, key),
            self._replica,
            _hello(config, engine),
            self._poster.hurry,
            self._lease,
            self._spool,
            self._engage,
        )
        self._syncing = Repeater("synchronisation of galleries", self._syncer.step, Backoff(0.5, 5.0))
        self._link = Link(
            link_url(config.control_plane_url),
            headers(key),
            hinted=self._hinted,
            status=self._status,
            quality=config.ws_jpeg_quality,
        )
        self._gate: Gate | None = None
        if config.webhook_url:
            self._gate = Gate(config.webhook_url, config.webhook_max_age, config.webhook_secret)
        self._viewers: list[Viewer] = []
        self._parts: dict[str, Part] = {"sync": self._syncing, "delivery": self._poster, "link": self._link}
        if self._gate:
            self._parts["gate"] = self._gate
        self._add_viewers()

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
            preview = Preview(config.preview_port, config.ws_jpeg_quality)
            log.info("the picture is shown at %s", preview.url)
            self._viewers.append(preview)
            self._parts["preview"] = preview

    def stop(self) -> None:
        """End soon; may be called from anywhere."""
        self._stopping.set()

    def run(self) -> None:
        running = [self._start(name, part) for name, part in self._parts.items()]
        if self._camera.is_file:
            self._wait(self._syncer.ready, FIRST_SYNC_S)
        log.info("camera %s: %s", self._config.camera, self._camera.shown)
        running.append(self._start("camera", self._camera))
        try:
            self._watch()
            if self._config.exit_at_end:
                self._drain()
        finally:
            self._stopping.set()
            for part, _ in running:
                part.stop()
            for _, thread in running:
                thread.join(STOP_S)
            self._replica.close()
            self._spool.close()

    def _start(self, name: str, part: Part) -> Running:
        thread = threading.Thread(target=_keep_running, args=(part, name, self._stopping), name=name, daemon=True)
        thread.start()
        return Running(part, thread)

    def _watch(self) -> None:
        """Take what the camera gives until told to stop, or until a file's end ends it."""
        while not self._stopping.is_set():
            item = self._camera.next(0.2)
            try:
                if isinstance(item, Frame):
                    self._look(item)
                elif isinstance(item, Notice) and self._noticed(item) and self._config.exit_at_end:
                    return
            except Exception:
                # One bad frame is no reason to stop looking; should all be bad, the log must not fill the disk.
                log.exception("a frame was lost")
                self._stopping.wait(1.0)

    def _look(self, frame: Frame) -> None:
        galleries = self._galleries()
        sight = self._recognizers[self._model].look(frame, galleries, admits=self._admits())
        self._looked.append(time.monotonic())
        self._record(sight.events)
        for viewer in self._viewers:
            viewer.offer(sight)

    def _galleries(self) -> Sequence[Held]:
        """The galleries as the engine in use can search them. The other engine takes over as soon as it has one."""
        held = self._replica.held
        if self._model != self._replica.model and any(h.gallery.model == self._replica.model for h in held):
            self._record(self._recognizers[self._model].conclude())
            self._model = self._replica.model
            log.info("recognising by the engine %s from now on", self._model)
        if all(h.gallery.model == self._model for h in held):
            return held
        return [h for h in held if h.gallery.model == self._model]

    def _engage(self, model: str) -> Hello:
        """Make ready to recognise by another engine, while the one in use goes on."""
        config = self._config
        log.info("galleries go by the engine %s: loading it", model)
        engine = _engine(config, model)
        if config.th_accept is not None:
            log.warning(
                "TH_ACCEPT=%g was set for the engine %s; it counts for %s too", config.th_accept, config.engine, model
            )
        if model not in self._recognizers:
            self._recognizers[model] = Recognizer(engine, config.camera, _policy(config, engine), os.urandom)
        return _hello(config, engine)

    def _admits(self) -> bool:
        """Whether the lease lasts; it is said once when it has expired."""
        admits = not self._lease.expired(elapsed_s())
        if admits and not self._admitting:
            log.info("synced again: people are let pass")
        elif self._admitting and not admits:
            log.warning("no sync for %g days: nobody is let pass", self._lease.days)
        self._admitting = admits
        return admits

    def _record(self, events: Iterable[Event]) -> None:
        """Spool the events, tell the gate, and wake whoever delivers them."""
        decided_s = self._gate.clock() if self._gate else None
        for event in events:
            log.info("%s", line(event))
            try:
                self._spool.append(event)
            except sqlite3.Error as error:
                log.error("event %s is lost: the spool cannot be written to (%s)", event.id, error)
            if self._gate and event.status is Status.PASS:
                self._gate.offer(event, decided_s)
            self._poster.wake()

    def _noticed(self, notice: Notice) -> bool:
        """Take a notice of the camera; tells whether it was a file's end."""
        self._record(self._recognizers[self._model].conclude())
        if notice.change is Change.END:
            log.info("camera %s: the file has ended", self._config.camera)
            return True
        kind = EventKind(f"camera_{notice.change}")
        self._record([_camera_event(self._config.camera, kind, notice.at, notice.reason)])
        return False

    def _drain(self) -> None:
        """Give the last events time to be delivered."""
        self._wait(lambda: not len(self._spool), DRAIN_S)
        if left := len(self._spool):
            log.warning("%d events are not delivered yet: they stay in the spool", left)

    def _wait(self, condition: Callable[[], bool], timeout_s: float) -> None:
        """Wait for a condition, for a while, and not when told to stop."""
        until = time.monotonic() + timeout_s
        while not condition() and time.monotonic() < until and not self._stopping.wait(0.02):
            pass

    def _status(self) -> LinkStatus:
        width, height = self._camera.size
        since = time.monotonic() - FPS_OVER_S
        fps = sum(looked > since for looked in list(self._looked)) / FPS_OVER_S
        camera = CameraStatus(name=self._camera.name, up=self._camera.up, fps=fps, width=width, height=height)
        return LinkStatus(cameras=[camera], spooled=len(self._spool))


def _keep_running(part: Part, name: str, stopping: threading.Event) -> None:
    """Run a part; a fault nobody thought of is logged and the part started again."""
    while True:
        try:
            return part.run()
        except Exception:
            log.exception("%s failed", name)
        if stopping.wait(1.0):
            return


def _make(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingError(f"DATA_DIR {folder} cannot be made: {error.strerror}", remedy="Name another.") from error


def _bounds(config: Config) -> Bounds:
    return Bounds(bytes=config.spool_max_mb << 20, events=config.spool_max_events, age_s=config.spool_max_days * DAY_S)


def _policy(config: Config, engine: Engine) -> Policy:
    accept = engine.th_accept if config.th_accept is None else config.th_accept
    return Policy(config.scale, config.cooldown, Thresholds(accept, config.threshold))


def _engine(config: Config, name: str) -> Engine:
    """An engine by its name, which is that of its encodings' model too; DETECTOR is that of the one configured."""
    detector = config.detector if name == config.engine or name != SFACE else engines.YUNET
    return engines.load(name, models=config.models, threads=config.threads, detector=detector)


def _hello(config: Config, engine: Engine) -> Hello:
    name = config.edge_name or platform.node() or "edge"
    return Hello(name=name, site=config.site, version=VERSION, engine=engine.name, cameras=[config.camera])


def _camera_event(camera: str, kind: EventKind, at: datetime, reason: str) -> Event:
    return Event(id=uuid7(at, os.urandom(10)), kind=kind, camera=camera, captured_at=at, reason=reason or None)


def main() -> int:
    logging.basicConfig(stream=sys.stdout, format="%(asctime)s %(levelname)s edge: %(message)s")
    log.setLevel(logging.INFO)
    try:
        config = Config.read(os.environ, Path(".env"))
        edge = Edge(config, _engine(config, config.engine))
    except RollcallError as error:
        log.error("%s", " ".join((error.message, error.remedy)).strip())
        return 2
    except sqlite3.Error as error:
        log.error("DATA_DIR: what lies there cannot be opened (%s)", error)
        return 2

    def ended(signum: int, frame: FrameType | None) -> None:
        edge.stop()

    signal.signal(signal.SIGTERM, ended)
    signal.signal(signal.SIGINT, ended)
    edge.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
