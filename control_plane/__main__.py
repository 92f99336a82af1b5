"""The control plane's process: `python -m control_plane`."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import socket
import sys

import uvicorn
from starlette.applications import Starlette

from control_plane.app import create_app
from control_plane.certificate import Certificate
from control_plane.config import Config
from control_plane.heads import BoundedHeads
from control_plane.plane import Plane
from control_plane.server import Server
from control_plane.store import access, replay, schema, seals
from control_plane.store.blobs import BlobStore
from control_plane.store.db import Database, Unavailable, utcnow
from control_plane.store.vault import open_vault
from control_plane.ws.protocol import Protocol
from faces import logs
from faces.errors import RollcallError, SettingError

log = logging.getLogger("control_plane")

START_AGAIN, BAD_SETTING = 1, 2
"""Exit statuses: starting again will help in a moment, or would not."""

SILENT_CLIENT_MS = 15_000
"""How long a client may acknowledge nothing before its connection is dropped: one that never reads holds memory. Longer
than a WebSocket waits (`session.SEND_WITHIN_S`): that one tells the client by a reset, and this one nobody."""

MAX_MESSAGE_BYTES = 4 << 20
BACKLOG = 1024


def main() -> int:
    logs.set_up("control plane", logs.LogFormat.TEXT)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    for name, level in (("uvicorn", logging.WARNING), ("python_multipart", logging.ERROR)):
        logging.getLogger(name).setLevel(level)
    try:
        config = Config.read(os.environ)
        logs.set_up("control plane", config.log_format)
        vault = open_vault(config.vault_url, config.master_key, sealing=config.encrypt)
        database = Database(
            config.database_url,
            pool_size=config.database_pool,
            statement_timeout_s=config.database_timeout_s,
            vault=vault,
        )
        schema.prepare(database, utcnow())
        seals.bind(database)
        if back := replay.at_start(database, BlobStore(config.data_dir / "blobs", vault), utcnow()):
            log.warning("%d people who were erased were in the database again: they are erased once more", back)
        check_access(database, config)
        certificate = Certificate(config.tls_cert, config.tls_key) if config.tls_cert and config.tls_key else None
        sockets = listen(config)
        app = create_app(config, database)
        if config.metrics_port:
            app.state.plane.metrics.serve(config.metrics_host, config.metrics_port)
    except Unavailable as error:
        log.error("%s. %s", error.message, error.remedy)
        return START_AGAIN
    except RollcallError as error:
        log.error("%s. %s", error.message, error.remedy)
        return BAD_SETTING
    if not config.encrypt:
        log.warning(seals.OFF)
    server = make_server(app, certificate, app.state.plane)
    scheme = "https" if certificate else "http"
    # A pass of the garbage collector holds up all sockets at once: it leaves alone what is there for good.
    gc.collect()
    gc.freeze()
    log.info("listening on %s", ", ".join(f"{scheme}://{_address(s)}" for s in sockets))
    with contextlib.suppress(KeyboardInterrupt), certificate.renewed() if certificate else contextlib.nullcontext():
        server.run(sockets=sockets)
    return 0


def check_access(database: Database, config: Config) -> None:
    """Raises SettingError where others than this machine can reach us, and nobody has a key or a password."""
    if config.alone:
        return
    with database.read() as connection:
        if not access.read(connection).somebody:
            raise SettingError(
                f"HOST, TRUSTED_PROXIES: there are no users and no keys, and others than this machine can reach "
                f"{config.host}, or a proxy before it",
                remedy="Make one with rollcall users create NAME --role admin or rollcall keys create --role admin, "
                "or leave HOST at 127.0.0.1 and TRUSTED_PROXIES empty.",
            )
    if config.tls_cert is None and not config.trusted_proxies:
        log.warning(
            "others can reach %s, and what they send, passwords too, can be read on the way: set TLS_CERT and TLS_KEY, "
            "or put a proxy with TLS before it and name it in TRUSTED_PROXIES",
            config.host,
        )


def listen(config: Config) -> list[socket.socket]:
    """The listening sockets; raises SettingError, naming the setting, if one cannot be had."""
    ports = {"PORT": config.port}
    if config.stream_port not in (0, config.port):
        ports["STREAM_PORT"] = config.stream_port
    with contextlib.ExitStack() as bound:
        sockets = [bound.enter_context(_listening(config.host, port, name)) for name, port in ports.items()]
        bound.pop_all()
        return sockets


def make_server(app: Starlette, certificate: Certificate | None = None, plane: Plane | None = None) -> Server:
    """uvicorn, set up for long-lived sockets; run it with the sockets of `listen`. `plane` is told of the end."""
    return Server(
        uvicorn.Config(
            app,
            http=BoundedHeads,
            ws=Protocol,
            ws_max_size=MAX_MESSAGE_BYTES,
            # Frames are JPEGs: deflating them costs much and saves nothing.
            ws_per_message_deflate=False,
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            # The application sees to that itself (TRUSTED_PROXIES).
            proxy_headers=False,
            ssl_context_factory=None if certificate is None else lambda *_: certificate.context,
            timeout_keep_alive=65,
            timeout_graceful_shutdown=5,
        ),
        plane.config.drain_s if plane else 0,
        ending=plane.end if plane else _nobody,
        ended=plane.feed.hurry if plane else _nobody,
    )


def _nobody() -> None:
    """Nobody is to be told."""


def _listening(host: str, port: int, name: str) -> socket.socket:
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    found = socket.socket(family, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENT_CLIENT_MS)
    try:
        found.bind(address)
        found.listen(BACKLOG)
    except OSError as error:
        found.close()
        raise SettingError(
            f"{name}: port {port} cannot be had: {error.strerror}", remedy=f"Set another {name}."
        ) from error
    return found


def _address(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


if __name__ == "__main__":
    sys.exit(main())
