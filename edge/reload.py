"""Taking up a changed configuration without a restart."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from edge.config import Config
from faces.errors import RollcallError

log = logging.getLogger("edge.reload")

LOOK_S = 0.5
"""How often the file is looked at."""

Stamp = tuple[int, int, int]


class Reloader:
    """Reads the configuration anew when its file has changed, or when asked to, and hands it on.

    A file that is being written is left alone until it stays as it is. One that cannot be used changes nothing, and is
    complained of once.
    """

    def __init__(self, path: Path, read: Callable[[], Config], change: Callable[[Config], None]) -> None:
        """`read` and `change` raise RollcallError for what cannot be used."""
        self._path = path
        self._read = read
        self._change = change
        self._asked = threading.Event()
        self._stopped = False
        self._reading = threading.Lock()
        self._taken = self._seen = _stamp(path)

    def ask(self) -> None:
        """Read it now, changed or not. May be called from a signal's handler."""
        self._asked.set()

    def now(self) -> None:
        """Read it, changed or not, and hand it on; raises RollcallError for what cannot be used."""
        with self._reading:
            self._change(self._read())

    def run(self) -> None:
        while not self._stopped:
            asked = self._asked.wait(LOOK_S)
            self._asked.clear()
            if not self._stopped and (self._changed() or asked):
                self._reload()

    def stop(self) -> None:
        self._stopped = True
        self._asked.set()

    def _changed(self) -> bool:
        """Whether the file is another than the one taken, and the same as a moment ago."""
        before, self._seen = self._seen, _stamp(self._path)
        return self._seen == before != self._taken

    def _reload(self) -> None:
        before, self._taken = self._taken, self._seen
        try:
            if before and not self._taken:
                log.error("%s is gone: the cameras stay as they are", self._path)
            else:
                self.now()
        except RollcallError as error:
            log.error("nothing is changed: %s", " ".join((error.message, error.remedy)).strip())


def _stamp(path: Path) -> Stamp | None:
    """What tells one state of a file from another; None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
