"""What is looked at on an edge, by the settings that the edge itself reads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from uuid import UUID

from edge import credential
from edge.config import USUAL_URL, CameraConfig, Config, cores
from edge.credential import MEMBERSHIP
from edge.plane import edge_id, headers
from faces import engine as engines
from faces.errors import RollcallError
from rollcall.doctor import box, camera, disk, network
from rollcall.doctor.finding import Check, Finding, fault, good
from rollcall.doctor.machine import machine

GALLERIES_MB = 100
"""What a gallery of 100,000 people takes, twice while it starts over."""

NOBODY = UUID(int=0)
"""An edge that has no id yet."""


def checks() -> Iterator[Check]:
    """Of the edge that the environment, `.env` and the file of cameras describe; raises SettingError."""
    config = Config.read(os.environ, Path(".env"))
    yield machine
    yield partial(models, config)
    yield partial(storage, config)
    yield partial(cameras, config)
    yield partial(control_plane, config)


def models(config: Config) -> Iterator[Finding]:
    """Whether the engine's weights are the pinned ones, and how quick it is here; raises RollcallError."""
    engine = engines.load(config.engine, models=config.models, threads=1, detector=config.detector)
    yield good("model", f"the weights of {engine.name} are there, and their digests are right")
    yield from box.judged(box.measured(engine, config.scale), config.cameras_at_once or cores(), len(config.cameras))


def storage(config: Config) -> Iterator[Finding]:
    remedy = "Make room, lower SPOOL_MAX_MB, or choose another DATA_DIR."
    yield from disk.folder(config.data_dir, config.spool_max_mb + 2 * GALLERIES_MB, remedy=remedy)


def cameras(config: Config) -> Iterator[Finding]:
    """All of them at once, as the edge watches them."""
    with ThreadPoolExecutor(max_workers=len(config.cameras)) as pool:
        for found in pool.map(_camera, config.cameras):
            yield from found


def _camera(config: CameraConfig) -> list[Finding]:
    try:
        return list(camera.examine(config))
    except RollcallError as error:
        return [fault(f"camera {config.name}", error.message, error.remedy)]


def control_plane(config: Config) -> Iterator[Finding]:
    """By the edge's own id and key, where it has some."""
    url, held = credential.read(config.data_dir / MEMBERSHIP, config.opener) or (USUAL_URL, credential.NONE)
    path = config.data_dir / "edge-id"
    edge = edge_id(path) if path.exists() else NOBODY
    key = config.edge_key or held.key
    yield from network.control_plane(config.control_plane_url or url, headers(edge, key))
