"""A tiny load balancer: each connection goes to one of the backends that say they are ready."""

from __future__ import annotations

import itertools
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress

import requests

ASK_EVERY_S = 0.2


class Balancer:
    """Listens on a port of its own; `ports` are the backends' on this machine. It knows of connections only: what is
    inside, it passes on."""

    def __init__(self, ports: Sequence[int]) -> None:
        self._ports, self._ready, self._stop = ports, set[int](), threading.Event()
        self._turn = itertools.count()
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self._listening.getsockname()[1]
        for work in (self._ask, self._accept):
            threading.Thread(target=work, daemon=True).start()

    @property
    def ready(self) -> set[int]:
        return set(self._ready)

    def stop(self) -> None:
        self._stop.set()
        self._listening.close()

    def _ask(self) -> None:
        while not self._stop.wait(ASK_EVERY_S):
            for port in self._ports:
                up = False
                with suppress(requests.RequestException):
                    up = requests.get(f"http://127.0.0.1:{port}/readyz", timeout=2).status_code == 200
                (self._ready.add if up else self._ready.discard)(port)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                threading.Thread(target=self._pass_on, args=(client,), daemon=True).start()

    def _pass_on(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            chosen = sorted(self._ready)
            if chosen:
                port = chosen[next(self._turn) % len(chosen)]
                with socket.create_connection(("127.0.0.1", port)) as backend:
                    back = threading.Thread(target=_copy, args=(backend, client), daemon=True)
                    back.start()
                    _copy(client, backend)
                    back.join()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
    for end in (source, sink):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
