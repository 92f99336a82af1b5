"""The disk under a spool: reserved before it is used, so that a full disk finds the spool able to work on."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

log = logging.getLogger("edge.spool")

PAGE: Final = 4096
"""Bytes of a page of the database, as of every SQLite since 3.12."""

STEP_PAGES: Final = 128
"""The database grows by about so much at once."""

LOG_BYTES: Final = 4 << 20
"""Reserved for the write-ahead log. It is written back to the database when it is a quarter full, and no transaction
is larger than half of it, so it never grows."""

BALLAST_BYTES: Final = 4 << 20
"""What is given back to a full disk; as much as the log takes, which a database closed in order is without."""

SPARE_BYTES: Final = 4 << 20
"""The spool does not grow into a disk's last bytes: the galleries lie there too."""

MOST_SCRUBBED_PAGES: Final = 4096
"""So much of a database is written anew at once."""

MOST_PAGES: Final = 0x7FFFFFFF
"""No bound: what SQLite's own largest is lies below."""

BALLAST_EVERY_S: Final = 60.0
"""So often is it tried to get the ballast back."""


def is_full(error: sqlite3.Error) -> bool:
    """Whether this is what a full disk, or a full database, amounts to."""
    name = getattr(error, "sqlite_errorname", "")
    return name == "SQLITE_FULL" or name.startswith("SQLITE_IOERR") or name == "SQLITE_CANTOPEN"


class Room:
    """One SQLite database in WAL mode that writes in place only.

    A full disk wedges SQLite where a commit lengthens the log, or where writing the log back lengthens the database:
    then neither DELETE nor a checkpoint works. So both files are lengthened beforehand, with zeros, and
    `max_page_count` holds every other transaction to the pages that are there. For one thread at a time.
    """

    def __init__(self, path: Path, most_bytes: int, elapsed: Callable[[], float]) -> None:
        self._path = path
        self._ballast = path.with_suffix(".ballast")
        self._most_pages = most_bytes // PAGE
        self._elapsed = elapsed
        self._ballast_tried = float("-inf")
        # SQLite's locks are the process's: to close another descriptor of its file would end them all.
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            self.db = self._opened()
        except sqlite3.OperationalError as error:
            if not is_full(error):
                raise
            self._ballast.unlink(missing_ok=True)
            self.db = self._opened()

    def _opened(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None)
        try:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=FULL")
            db.execute("PRAGMA secure_delete=ON")
            db.execute(f"PRAGMA wal_autocheckpoint={LOG_BYTES // PAGE // 4}")
            db.execute("BEGIN IMMEDIATE")
            db.execute("CREATE TABLE IF NOT EXISTS room (filler BLOB NOT NULL)")
            db.execute("COMMIT")
        except BaseException:
            db.close()
            raise
        return db

    def settle(self) -> None:
        """Hold the database to the pages that it has, and reserve its log: from now on it writes in place."""
        with suppress(sqlite3.OperationalError):
            self.checkpoint()
        self._hold(self.pages)
        if not self._reserve_log():
            self._ballast.unlink(missing_ok=True)
            self._reserve_log()
        self.keep_ballast()

    @property
    def pages(self) -> int:
        return self._number("page_count")

    @property
    def free(self) -> int:
        """Pages that may be written to, within a transaction too."""
        return self._number("freelist_count")

    def grow(self, pages: int) -> None:
        """Have so many pages free, as far as the bound and the disk allow."""
        with suppress(OSError, sqlite3.OperationalError):
            while self.free < pages and self._grows():
                self._step()

    def pressed(self, least: int) -> bool:
        """Whether little is left: less than an eighth or than so many pages free, and no more to be had."""
        return self.free < max(self.pages // 8, least) and not self._grows()

    def relieve(self) -> None:
        """Give the ballast back to a full disk, and empty the log."""
        if self._ballast.exists():
            log.warning("the disk is full: the spool's ballast is released")
            self._ballast.unlink(missing_ok=True)
        with suppress(sqlite3.OperationalError):
            self.checkpoint()

    def keep_ballast(self) -> None:
        """Have the ballast, if the disk has room for it again."""
        if self._elapsed() - self._ballast_tried < BALLAST_EVERY_S:
            return
        self._ballast_tried = self._elapsed()
        if not self._ballast.exists() and self._disk_has(BALLAST_BYTES // PAGE):
            self._make_ballast()

    def checkpoint(self) -> None:
        """Write the log back, so that it begins anew."""
        self.db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def scrub(self) -> bool:
        """Have no byte of deleted rows left: SQLite overwrites a row that is deleted, but not the copies it has left in
        its pages whenever it moved the row, nor those in its log. So both are written anew.

        False while the database is so large that others would wait for long, or where the disk has no room for it.
        """
        live = self.pages - self.free
        if live > MOST_SCRUBBED_PAGES or not self._disk_has(3 * live):
            return False
        try:
            self._hold(MOST_PAGES)
            self.db.execute("VACUUM")
            emptied: bool = self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
        except sqlite3.OperationalError as error:
            if not is_full(error):
                raise
            return False
        finally:
            self.settle()
        return emptied

    def close(self) -> None:
        self.db.close()
        os.close(self._file)

    def _grows(self) -> bool:
        return self.pages + STEP_PAGES <= self._most_pages and self._disk_has(STEP_PAGES)

    def _step(self) -> None:
        """One step of growth: first the disk's blocks, then the pages, which are written at once."""
        self.checkpoint()
        held = self.pages
        _lengthen(self._file, (held + STEP_PAGES) * PAGE)
        self._hold(held + STEP_PAGES)
        try:
            # The filler takes the free pages first and one for its own row; freed again, all are zeros, and written.
            self.db.execute("BEGIN IMMEDIATE")
            self.db.execute(
                "INSERT INTO room VALUES (zeroblob(?))", ((self.free + STEP_PAGES - 1) * (PAGE - 4) - PAGE,)
            )
            self.db.execute("DELETE FROM room")
            self.db.execute("COMMIT")
        except sqlite3.OperationalError:
            if self.db.in_transaction:
                self.db.execute("ROLLBACK")
            raise
        finally:
            self._hold(self.pages)
        self.checkpoint()

    def _hold(self, pages: int) -> None:
        self.db.execute(f"PRAGMA max_page_count={pages}").fetchall()

    def _reserve_log(self) -> bool:
        file = os.open(f"{self._path}-wal", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _lengthen(file, LOG_BYTES)
        except OSError:
            return False
        finally:
            os.close(file)
        return True

    def _make_ballast(self) -> None:
        file = os.open(self._ballast, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _lengthen(file, BALLAST_BYTES)
        except OSError:
            self._ballast.unlink()
        finally:
            os.close(file)

    def _disk_has(self, pages: int) -> bool:
        return shutil.disk_usage(self._path.parent).free >= pages * PAGE + SPARE_BYTES

    def _number(self, pragma: str) -> int:
        value: int = self.db.execute(f"PRAGMA {pragma}").fetchone()[0]
        return value


def _lengthen(file: int, to_bytes: int) -> None:
    """Lengthen a file with zeros that really take their place on the disk; raises OSError and leaves it as it was."""
    size = os.fstat(file).st_size
    try:
        for at in range(size, to_bytes, 1 << 20):
            _write_all(file, bytes(min(1 << 20, to_bytes - at)), at)
    except OSError:
        os.ftruncate(file, size)
        raise


def _write_all(file: int, data: bytes, at: int) -> None:
    while data:
        written = os.pwrite(file, data, at)
        data, at = data[written:], at + written
