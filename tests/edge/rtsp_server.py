"""An RTSP camera for tests, run by the system's Python, which has GStreamer.

Its arguments: port, width, height, user, password. Each picture says when it was drawn: 8 x 5 cells of equal size,
black or white, row by row, are 32 bits of the milliseconds of the monotonic clock, which all processes share, and then
8 bits of their CRC-32, the highest bit first. It prints `ready` when it listens.
"""

from __future__ import annotations

import sys
import time
import zlib
from typing import Any

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

FPS = 25
LAUNCH = (
    "appsrc name=source is-live=true format=time do-timestamp=true"
    " caps=video/x-raw,format=I420,width={width},height={height},framerate={fps}/1"
    " ! openh264enc gop-size={fps} complexity=low ! h264parse ! rtph264pay name=pay0 pt=96"
)


def picture(width: int, height: int) -> bytes:
    """I420: the luma, then both halves of the colour, which is none."""
    drawn = (time.monotonic_ns() // 1_000_000 & 0xFFFFFFFF).to_bytes(4, "big")
    rows = drawn + bytes([zlib.crc32(drawn) & 0xFF])
    luma = b"".join(
        b"".join((b"\xeb" if bits >> (7 - x) & 1 else b"\x10") * (width // 8) for x in range(8)) * (height // 5)
        for bits in rows
    )
    return luma + b"\x80" * (width * height // 2)


class Camera:
    """Draws for whatever pipeline the server has made last."""

    def __init__(self, width: int, height: int) -> None:
        self.size = (width, height)
        self.source: Any = None

    def configure(self, factory: Any, media: Any) -> None:
        self.source = media.get_element().get_by_name("source")

    def draw(self) -> bool:
        if self.source:
            self.source.emit("push-buffer", Gst.Buffer.new_wrapped(picture(*self.size)))
        return True


def main(port: str, width: str, height: str, user: str, password: str) -> None:
    Gst.init(None)
    camera = Camera(int(width), int(height))
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_shared(True)
    factory.set_launch(f"( {LAUNCH.format(width=width, height=height, fps=FPS)} )")
    factory.connect("media-configure", camera.configure)
    guest = GstRtspServer.RTSPToken()
    guest.set_string("media.factory.role", "guest")
    role = Gst.Structure.new_empty("guest")
    role.set_value("media.factory.access", True)
    role.set_value("media.factory.construct", True)
    factory.add_role_from_structure(role)
    auth = GstRtspServer.RTSPAuth()
    auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), guest)
    server = GstRtspServer.RTSPServer()
    server.set_auth(auth)
    server.set_address("127.0.0.1")
    server.set_service(port)
    server.get_mount_points().add_factory("/live", factory)
    # Load what the pictures need before the first client waits for them.
    Gst.parse_launch(LAUNCH.format(width=width, height=height, fps=FPS))
    Gst.ElementFactory.make("rtpbin")
    if not server.attach(None):
        raise SystemExit(f"port {port} is taken")
    GLib.timeout_add(1000 // FPS, camera.draw)
    print("ready", flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main(*sys.argv[1:])
