"""Camera orders: the control plane has this edge watch a camera, watch it no more, or show a picture of it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from edge import managed, parts
from edge.camera import Camera
from edge.config import CAMERA_SCHEMES
from edge.frames import Frame, Sight
from edge.plane import ControlPlane
from edge.seal import PLAIN, Seal
from edge.source import redact
from faces.engine import images
from faces.errors import Invalid, RollcallError, SettingError
from faces.wire import CameraOrder, OrderAction, OrderOutcome

log = logging.getLogger("edge.orders")

POLL_S = 30.0
"""How often orders are asked for where no hint of any came."""

LOOK_S = 12.0
"""How long a look waits for a picture."""

QUALITY = 85
"""Of the JPEG that a look brings."""


class Orders:
    """Does what it is told, one order after the other, and says how each went.

    `step` is called by one thread; `offer` by those that look at the cameras.
    """

    def __init__(
        self,
        plane: ControlPlane,
        folder: Path,
        own: Callable[[], set[str]],
        reload: Callable[[], None],
        *,
        allowed: bool,
        seal: Seal = PLAIN,
    ) -> None:
        """`own`: the names of the cameras that are watched. `reload` reads the configuration anew, with the cameras
        kept in `folder`, sealed by `seal`; it raises RollcallError, and changes nothing then. Not `allowed`: every
        order is refused."""
        self._plane = plane
        self._folder = folder
        self._own = own
        self._reload = reload
        self._allowed = allowed
        self._seal = seal
        self._wanted: str | None = None
        self._seen = threading.Condition()
        self._frame: Frame | None = None

    def step(self) -> float:
        """Do what there is to do; returns the seconds until it is worth asking again. Raises RollcallError where the
        control plane cannot be asked or told: the order is then done once more, which changes nothing."""
        for order in self._plane.orders():
            self._plane.finish(order.id, self._done(order))
        return POLL_S

    def offer(self, sight: Sight) -> None:
        """Take what was seen, if a look waits for it; never waits."""
        if sight.frame.camera == self._wanted:
            with self._seen:
                self._frame = sight.frame
                self._seen.notify_all()

    def _done(self, order: CameraOrder) -> OrderOutcome:
        try:
            if not self._allowed:
                raise Invalid("this edge takes no orders", remedy="Set REMOTE_CAMERAS=true at the edge.")
            return self._look(order) if order.action is OrderAction.LOOK else self._change(order)
        except RollcallError as error:
            log.warning("order for camera %s: %s", order.camera, error.message)
            return OrderOutcome(done=False, message=error.message, remedy=error.remedy)
        except OSError as error:
            log.error("order for camera %s: %s", order.camera, error)
            return OrderOutcome(
                done=False,
                message=f"the edge cannot keep its cameras: {error.strerror}",
                remedy="See whether the disk that DATA_DIR lies on is full or broken, then order it once more.",
            )

    def _change(self, order: CameraOrder) -> OrderOutcome:
        cameras = managed.load(self._folder, lambda: self._seal)
        if order.camera not in cameras and order.camera in self._own():
            raise Invalid(
                "this camera is set at the edge itself", remedy="Change it in the edge's own file or environment."
            )
        before = dict(cameras)
        if order.action is OrderAction.PUT:
            _check_source(order.settings.get("source", ""))
            cameras[order.camera] = order.settings
        else:
            cameras.pop(order.camera, None)
        managed.save(self._folder, cameras, self._seal)
        try:
            self._reload()
        except RollcallError:
            managed.save(self._folder, before, self._seal)
            raise
        return OrderOutcome(done=True)

    def _look(self, order: CameraOrder) -> OrderOutcome:
        source = order.settings.get("source")
        if source is None and order.camera not in self._own():
            raise Invalid("the edge watches no camera of this name")
        frame = self._newest(order.camera) if source is None else _opened(order.camera, _check_source(source))
        width, height = frame.size
        return OrderOutcome(done=True, message=f"{width} x {height}", picture=images.jpeg(frame.picture, QUALITY))

    def _newest(self, camera: str) -> Frame:
        """The next frame of a camera that is watched."""
        with self._seen:
            self._frame, self._wanted = None, camera
            self._seen.wait_for(lambda: self._frame is not None, LOOK_S)
            frame, self._frame, self._wanted = self._frame, None, None
        if frame is None:
            raise Invalid("the camera gives no picture", remedy="See whether it is on, and reachable from the edge.")
        return frame


def _check_source(source: str) -> int | str:
    """A source that may come from afar: a camera's number or URL, and no file of the edge's. Raises SettingError."""
    if source.isascii() and source.isdigit() and len(source) <= 3:
        return int(source)
    scheme, found, _ = source.partition("://")
    if not found or scheme.lower() not in CAMERA_SCHEMES:
        raise SettingError(
            "the source is no camera's number or URL", remedy=f"Write it as {CAMERA_SCHEMES[0]}://host/path."
        )
    return source


def _opened(name: str, source: int | str) -> Frame:
    """The first frame of a camera that is opened for it alone; raises Invalid."""
    camera = Camera(name, source)
    stopping = threading.Event()
    running = parts.start(f"look at {name}", camera, stopping)
    try:
        item = camera.next(LOOK_S)
    finally:
        stopping.set()
        camera.stop()
        running.thread.join(parts.STOP_S)
    if isinstance(item, Frame):
        return item
    reason = f": {item.reason}" if item and item.reason else ""
    raise Invalid(
        f"{redact(source)} gives no picture{reason}",
        remedy="Check address, user and password, and whether the edge can reach the camera.",
    )
