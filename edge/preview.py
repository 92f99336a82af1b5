"""SHOW_WINDOW: the annotated picture on a page of this machine."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import parse_qsl, urlsplit

import msgspec
import numpy as np

from edge.frames import Sight, live
from edge.latest import Latest
from edge.page import serves
from faces.engine import images
from faces.errors import SettingError
from faces.events import Status
from faces.face import Picture
from faces.wire import FrameHeader, Seen

COLOURS = {Status.PASS: (40, 190, 80), Status.REJECT: (225, 60, 50)}
LINE_PX = 2

QUIET_S = 3.0
"""A picture that does not change for so long ends."""

GONE_S = 60.0
"""A camera that has shown nothing for so long is no longer on the page."""

PAGE = b"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Rollcall edge</title>
<style>
body { margin: 0; background: #111; color: #eee; font: 16px system-ui, sans-serif }
main { display: flex; flex-wrap: wrap }
figure { position: relative; margin: 0 }
img { display: block; max-width: 100vw; max-height: 100vh }
span { position: absolute; padding: 0 .3em; transform: translateY(-100%); white-space: nowrap }
.PASS { background: #28be50; color: #000 } .REJECT { background: #e13c32 }
</style>
<main></main>
<script>
const figures = new Map();
function added(camera) {
  const figure = document.createElement("figure"), img = document.createElement("img");
  img.alt = "What the camera " + camera + " shows";
  figure.append(img);
  document.querySelector("main").append(figure);
  figures.set(camera, { figure, img, shown: null, since: 0 });
}
function label(camera, frame) {
  const { figure, img, shown, since } = figures.get(camera);
  if (frame.captured_at !== shown) {
    if (Date.now() - since > 4000) img.src = `/picture?camera=${encodeURIComponent(camera)}&${Date.now()}`;
    Object.assign(figures.get(camera), { shown: frame.captured_at, since: Date.now() });
  }
  figure.querySelectorAll("span").forEach(span => span.remove());
  for (const face of frame.faces) {
    const span = document.createElement("span");
    span.className = face.status;
    span.textContent = (face.name || "UNKNOWN") + (face.distance === null ? "" : " " + face.distance.toFixed(3));
    span.style.left = 100 * face.box[0] / frame.width + "%";
    span.style.top = 100 * Math.max(face.box[1], 0) / frame.height + "%";
    figure.append(span);
  }
}
async function look() {
  try {
    const frames = await (await fetch("/faces")).json();
    for (const frame of frames) {
      if (!figures.has(frame.camera)) added(frame.camera);
      label(frame.camera, frame);
    }
    const here = new Set(frames.map(frame => frame.camera));
    for (const [camera, { figure }] of figures) if (!here.has(camera)) figures.delete(camera), figure.remove();
  } finally { setTimeout(look, 200) }
}
look();
</script>
</html>
"""


def annotated(sight: Sight) -> tuple[FrameHeader, Picture]:
    """A live frame with a box around each face."""
    header, picture = live(sight)
    picture = picture.copy()
    for seen in header.faces:
        _outline(picture, seen)
    return header, picture


def _outline(picture: Picture, seen: Seen) -> None:
    height, width = picture.shape[:2]
    x1, x2 = (min(max(x, 0), width) for x in seen.box[0::2])
    y1, y2 = (min(max(y, 0), height) for y in seen.box[1::2])
    colour = np.array(COLOURS[seen.status], np.uint8)
    picture[y1 : y1 + LINE_PX, x1:x2] = colour
    picture[max(y2 - LINE_PX, 0) : y2, x1:x2] = colour
    picture[y1:y2, x1 : x1 + LINE_PX] = colour
    picture[y1:y2, max(x2 - LINE_PX, 0) : x2] = colour


class Preview:
    """Serves the page. Pictures are annotated and encoded only while somebody looks."""

    def __init__(self, host: str, port: int, quality: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._shown = _Shown(clock)
        request = type("Request", (_Request,), {"shown": self._shown, "quality": quality, "host": host})
        try:
            self._server = ThreadingHTTPServer((host, port), request)
        except OSError as error:
            raise SettingError(
                f"PREVIEW_PORT {port} cannot be used: {error.strerror}", remedy="Name another."
            ) from error
        self._server.daemon_threads = True
        self.url = f"http://{host}:{self._server.server_port}/"

    def offer(self, sight: Sight) -> None:
        """Take what is shown next; never waits."""
        self._shown.put(sight)

    def run(self) -> None:
        self._server.serve_forever(poll_interval=0.1)
        self._server.server_close()

    def stop(self) -> None:
        self._server.shutdown()


class _Shown:
    """The newest sight of each camera that has shown something of late."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._sights: dict[str, Latest[Sight]] = {}
        self._at: dict[str, float] = {}
        self._changing = threading.Lock()

    def put(self, sight: Sight) -> None:
        camera = sight.frame.camera
        with self._changing:
            self._at[camera] = self._clock()
            self._sights.setdefault(camera, Latest()).put(sight)

    def newest(self) -> list[Sight]:
        """One sight a camera, by name."""
        with self._changing:
            for camera in [camera for camera, at in self._at.items() if self._clock() - at > GONE_S]:
                del self._sights[camera], self._at[camera]
            found = [latest.after(0, 0)[1] for _, latest in sorted(self._sights.items())]
        return [sight for sight in found if sight]

    def of(self, camera: str | None) -> Latest[Sight] | None:
        """Where a camera's sights come; without a name the first camera's."""
        with self._changing:
            return self._sights.get(min(self._sights, default="") if camera is None else camera)


class _Request(BaseHTTPRequestHandler):
    shown: ClassVar[_Shown]
    quality: ClassVar[int]
    host: ClassVar[str]

    def do_GET(self) -> None:
        if not serves(self.host, self.headers.get("Host")):
            self.send_error(403)
        elif self.path == "/":
            self._answer("text/html; charset=utf-8", PAGE)
        elif self.path == "/faces":
            self._faces()
        elif self.path.partition("?")[0] == "/picture":
            self._picture()
        else:
            self.send_error(404)

    def log_message(self, *_: object) -> None:
        """Nothing: requests of this page are of no interest."""

    def _answer(self, kind: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def _faces(self) -> None:
        self._answer("application/json", msgspec.json.encode([live(sight)[0] for sight in self.shown.newest()]))

    def _picture(self) -> None:
        """Motion JPEG: one picture after the other, while the camera gives any and somebody looks.

        The boundary is sent with the picture that it ends: a browser shows nothing before that.
        """
        sights = self.shown.of(dict(parse_qsl(urlsplit(self.path).query)).get("camera"))
        if sights is None:
            return self.send_error(404)
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        number = 0
        try:
            self.wfile.write(b"--frame\r\n")
            while True:
                number, sight = sights.after(number, QUIET_S)
                if sight is None:
                    return
                jpeg = images.jpeg(annotated(sight)[1], self.quality)
                head = b"Content-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(jpeg)
                self.wfile.write(head + jpeg + b"\r\n--frame\r\n")
        except OSError:
            return
