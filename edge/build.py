"""What an edge's parts are built with, made from its settings."""

from __future__ import annotations

import os
import platform
from dataclasses import fields
from datetime import datetime
from pathlib import Path

from edge import VERSION
from edge.config import CameraConfig, Config
from edge.decide import Thresholds
from edge.lease import DAY_S
from edge.recognize import Policy
from edge.spool import Bounds
from faces import engine as engines
from faces.encoding import SFACE
from faces.engine import Engine
from faces.errors import SettingError
from faces.events import Event, EventKind, uuid7
from faces.wire import Hello


def changed(before: Config, now: Config) -> list[str]:
    """The settings that differ, by name."""
    return [field.name.upper() for field in fields(Config) if getattr(before, field.name) != getattr(now, field.name)]


def folder(path: Path) -> None:
    """Have the folder of the edge's data; raises SettingError."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingError(f"DATA_DIR {path} cannot be made: {error.strerror}", remedy="Name another.") from error


def bounds(config: Config) -> Bounds:
    """Of the spool."""
    return Bounds(bytes=config.spool_max_mb << 20, events=config.spool_max_events, age_s=config.spool_max_days * DAY_S)


def policy(camera: CameraConfig, engine: Engine) -> Policy:
    """What decides before a camera."""
    accept = engine.th_accept if camera.th_accept is None else camera.th_accept
    return Policy(camera.scale, camera.cooldown, Thresholds(accept, camera.threshold))


def engine(config: Config, name: str) -> Engine:
    """An engine by its name, which is that of its encodings' model too; DETECTOR is that of the one configured.
    Raises SettingError and ModelFileError."""
    detector = config.detector if name == config.engine or name != SFACE else engines.YUNET
    return engines.load(name, models=config.models, threads=config.threads, detector=detector)


def hello(config: Config, engine: str) -> Hello:
    """How the edge introduces itself."""
    name = config.edge_name or platform.node() or "edge"
    cameras = [camera.name for camera in config.cameras]
    return Hello(name=name, site=config.site, version=VERSION, engine=engine, cameras=cameras)


def camera_event(camera: str, kind: EventKind, at: datetime, reason: str) -> Event:
    """That something happened to a camera."""
    return Event(id=uuid7(at, os.urandom(10)), kind=kind, camera=camera, captured_at=at, reason=reason or None)
