from __future__ import annotations

import contextlib
import ssl
import threading
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography import x509

from control_plane.__main__ import listen, make_server
from control_plane.app import create_app
from control_plane.certificate import Certificate
from control_plane.config import Config
from faces.errors import SettingError
from tests.certificates import issue


def shown(port: int) -> int:
    """The serial number of the certificate that is shown at a port of this machine."""
    pem = ssl.get_server_certificate(("127.0.0.1", port), timeout=10)
    return x509.load_pem_x509_certificate(pem.encode()).serial_number


def shown_if_at_all(port: int) -> int | None:
    """The same; None where the handshake fell into the moment of the exchange, as a client tries again then."""
    with contextlib.suppress(ssl.SSLError):
        return shown(port)
    return None


def test_over_tls_the_cookie_is_for_tls_alone_and_a_renewed_certificate_is_shown_without_a_restart(
    fresh: Any, tmp_path: Path, wait_for: Any
) -> None:
    cert, key, first = issue(tmp_path)
    database = fresh(tmp_path)
    config = Config.read({"DATA_DIR": str(tmp_path), "PORT": "0", "STREAM_PORT": "0"}, tmp_path / "none")
    (bound,) = listen(config)
    port, certificate = bound.getsockname()[1], Certificate(cert, key)
    running = make_server(create_app(config, database), certificate)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [bound]})
    with certificate.renewed(look_every_s=0.02):
        thread.start()
        try:
            wait_for(lambda: running.started)
            assert shown(port) == first
            url = f"https://localhost:{port}/v1/session"
            assert requests.get(url, verify=str(cert), timeout=10).json()["role"] == "admin"
            _, _, second = issue(tmp_path)
            wait_for(lambda: shown_if_at_all(port) == second)
            cert.write_text("no certificate")
            assert shown(port) == second
        finally:
            running.should_exit = True
            thread.join()


@pytest.mark.parametrize("spoilt", ["cert", "key"])
def test_files_that_cannot_be_used_stop_the_start_and_are_named(tmp_path: Path, spoilt: str) -> None:
    cert, key, _ = issue(tmp_path)
    (tmp_path / spoilt).write_text("nothing")
    with pytest.raises(SettingError, match="TLS_CERT"):
        Certificate(cert, key)
    (tmp_path / spoilt).unlink()
    with pytest.raises(SettingError, match="TLS_CERT"):
        Certificate(cert, key)


def test_a_certificate_without_its_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="TLS_CERT and TLS_KEY"):
        Config.read({"TLS_CERT": str(tmp_path / "cert")}, tmp_path / "none")
