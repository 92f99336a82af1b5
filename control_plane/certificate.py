"""The certificate that we show, read anew whenever its files change: renewing it takes no restart."""

from __future__ import annotations

import contextlib
import logging
import ssl
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from cryptography import x509

from faces.errors import SettingError

log = logging.getLogger(__name__)

LOOK_EVERY_S = 30.0


class Certificate:
    """A certificate with its key, in PEM files. `context` shows it to whoever connects; raises SettingError."""

    def __init__(self, cert: Path, key: Path) -> None:
        self._cert, self._key = cert, key
        self._stamp = self._stamped()
        try:
            self.context = self._loaded()
        except (OSError, ssl.SSLError) as error:
            raise SettingError(
                f"TLS_CERT, TLS_KEY: cannot be used: {error.strerror or error}",
                remedy="PEM files of a certificate with its chain, and of its private key without a passphrase.",
            ) from error

    def expires_at(self) -> datetime:
        """Until when it is good, with UTC."""
        # The file's first is our own; its issuers follow.
        return x509.load_pem_x509_certificates(self._cert.read_bytes())[0].not_valid_after_utc

    @contextlib.contextmanager
    def renewed(self, look_every_s: float = LOOK_EVERY_S) -> Iterator[None]:
        """While the block runs, take up changed files; those that cannot be used are complained of, and change
        nothing."""
        stop = threading.Event()

        def look() -> None:
            while not stop.wait(look_every_s):
                self._look()

        thread = threading.Thread(target=look, name="certificate", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _look(self) -> None:
        stamp = self._stamped()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            # Elsewhere first: a new certificate with the old key would spoil the context that is in use.
            self._loaded()
            self.context.load_cert_chain(self._cert, self._key, _no_passphrase)
        except (OSError, ssl.SSLError) as error:
            log.warning("TLS_CERT, TLS_KEY: what is there now cannot be used: %s", error.strerror or error)
        else:
            log.info("the certificate was renewed")

    def _loaded(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._cert, self._key, _no_passphrase)
        return context

    def _stamped(self) -> tuple[tuple[int, int], ...]:
        """What changes when the files do."""
        with contextlib.suppress(OSError):
            found = [path.stat() for path in (self._cert, self._key)]
            return tuple((stat.st_mtime_ns, stat.st_ino) for stat in found)
        return ()


def _no_passphrase() -> str:
    # Without this OpenSSL would ask on the terminal, and wait.
    return ""
