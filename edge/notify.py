"""What systemd is told by a service of Type=notify (sd_notify(3)): datagrams on the socket that it names."""

from __future__ import annotations

import logging
import socket
from collections.abc import Mapping

log = logging.getLogger("edge.notify")


class Notifier:
    """Tells systemd how the process fares. Without a socket, nobody; a socket that takes nothing is not waited for."""

    def __init__(self, environ: Mapping[str, str], pid: int) -> None:
        """By systemd's variables; a watchdog that is meant for another process is none."""
        self._address = environ.get("NOTIFY_SOCKET", "")
        asked = environ.get("WATCHDOG_PID", str(pid)) == str(pid)
        self.watchdog_s = int(environ.get("WATCHDOG_USEC", "0")) / 1e6 if asked and self._address else 0.0
        """It waits so long for a sign of life; 0: it asks for none."""

    def ready(self) -> None:
        self._tell("READY=1")

    def alive(self) -> None:
        if self.watchdog_s:
            self._tell("WATCHDOG=1")

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._tell(f"STATUS={text}")

    def stopping(self) -> None:
        self._tell("STOPPING=1")

    def _tell(self, message: str) -> None:
        if not self._address:
            return
        # A name that begins with @ is of the abstract namespace, which the kernel marks with a null byte.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.setblocking(False)
                sender.sendto(message.encode(), address)
        except OSError as error:
            log.warning("systemd cannot be told %s: %s", message.partition("=")[0], error.strerror)


NOBODY = Notifier({}, 0)
"""Where nobody wants to know."""
