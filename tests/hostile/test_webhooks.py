"""Hostile input 40: URLs that lead to this machine or to private nets. Seen from outside: by traps that listen where
nobody may knock, by the kernel's own account of what the worker connects to, and by a name server that lies."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from control_plane.store import deliveries, events, webhooks
from control_plane.store.db import Database, utcnow
from control_plane.store.deliveries import Attempt
from faces.addresses import is_public
from faces.events import Event, Status, uuid7
from tests.conftest import absent

NAMESERVER = f"127.40.{os.getpid() >> 8 & 255}.{os.getpid() & 255}"
"""This process's own, as all of 127 is this machine."""

PUBLIC = "192.88.98.7"
"""An address of the internet as far as anybody can tell; nothing here leads to it."""

WITHIN_S = 120.0
FORBIDDEN = (
    "127.0.0.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]",
    "[::ffff:169.254.169.254]", "[64:ff9b::a9fe:a9fe]", "[64:ff9b::7f00:1]", "[fe80::1]", "[fd00::1]", "10.0.0.1",
    "169.254.169.254", "localhost", "user@127.0.0.1", "1.1.1.1@127.0.0.1", "turncoat.test", "both.test",
)  # fmt: skip


class Listener:
    """Counts who connects; answers what it is given, else nothing."""

    def __init__(self, answer: bytes = b"", then: bytes = b"") -> None:
        self._socket = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
        self.port = self._socket.getsockname()[1]
        self.knocks = 0
        self._answer, self._then = answer, then
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self.knocks += 1
                threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            connection.recv(65536)
            connection.sendall(self._answer)
            while self._then:
                connection.sendall(self._then)

    def close(self) -> None:
        self._socket.close()


class Liar:
    """A name server: `turncoat` has a public address when it is first asked and is this machine from then on; `both`
    is both at once."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((NAMESERVER, 53))
        self.asked: list[str] = []
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        with suppress(OSError):
            while True:
                question, sender = self._socket.recvfrom(512)
                if not question:
                    return
                self._socket.sendto(self._answer(question), sender)

    def _answer(self, question: bytes) -> bytes:
        name = question[13 : 13 + question[12]].decode()
        end = question.index(b"\0", 12) + 5
        (kind,) = struct.unpack("!H", question[end - 4 : end - 2])
        addresses = self._addresses(name) if kind == 1 else []
        records = [b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 0, 4) + socket.inet_aton(a) for a in addresses]
        return (
            question[:2]
            + b"\x81\x80\0\1"
            + struct.pack("!H", len(records))
            + bytes(4)
            + question[12:end]
            + b"".join(records)
        )

    def _addresses(self, name: str) -> list[str]:
        self.asked.append(name)
        if name == "both":
            return [PUBLIC, "127.0.0.1"]
        if name == "turncoat":
            return [PUBLIC] if self.asked.count(name) == 1 else ["127.0.0.1"]
        return []

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def liar() -> Iterator[Liar]:
    if os.geteuid() != 0 or shutil.which("strace") is None or shutil.which("unshare") is None:
        absent("root, strace or unshare")
    made = Liar()
    yield made
    made.close()


def attempts_of(database: Database, webhook_id: str) -> list[Attempt]:
    with database.read() as connection:
        (delivery,) = deliveries.listing(connection, webhook_id)
        return deliveries.attempts(connection, webhook_id, delivery.id)


def connected_to(account: str) -> list[str]:
    """The addresses of all TCP connections that were tried, by strace's account."""
    lines = [line for line in account.splitlines() if re.search(r"connect\(\d+<TCP", line)]
    return [m[1] for line in lines if (m := re.search(r'inet_(?:addr|pton)\((?:AF_INET6, )?"([^"]+)"', line))]


@pytest.mark.timeout(180)
def test_hostile_40_no_connection_to_a_forbidden_address(store: Database, tmp_path: Path, liar: Liar) -> None:
    trap = Listener()
    moved = f"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{trap.port}/\r\nContent-Length: 0\r\n\r\n".encode()
    redirecting = Listener(moved)
    huge = Listener(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n", b"a" * 65536)
    endless = Listener(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n")
    allowed = [redirecting, huge, endless]
    now = utcnow()
    with store.write() as connection:
        hooks = {
            url: webhooks.create(connection, url, [Status.PASS], now).id
            for url in [f"http://{host}:{trap.port}/" for host in FORBIDDEN]
            + [f"http://127.0.0.1:{receiver.port}/" for receiver in allowed]
        }
        event = Event(id=uuid7(now, bytes(10)), camera="door", captured_at=now, status=Status.PASS)
        events.append(connection, [event], site_id="default", edge_id="e", now=now)
    resolver, account = tmp_path / "resolv.conf", tmp_path / "account"
    resolver.write_text(f"nameserver {NAMESERVER}\noptions timeout:1 attempts:1\n")
    # The lying name server is this worker's alone: in a mount namespace of its own.
    traced = f"strace -f -yy -e trace=connect -o {account}"
    script = f'mount --bind {resolver} /etc/resolv.conf && exec {traced} "$0" -m jobs.worker'
    environment = {
        "DATABASE_URL": str(store.url),
        "DATA_DIR": str(tmp_path),
        "WEBHOOK_ALLOW": ",".join(f"127.0.0.1:{receiver.port}" for receiver in allowed),
    }
    worker = subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", script, sys.executable],
        env={**os.environ, **environment},
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + WITHIN_S
        turncoat = hooks[f"http://turncoat.test:{trap.port}/"]
        while not (all(attempts_of(store, h) for h in hooks.values()) and len(attempts_of(store, turncoat)) > 1):
            assert worker.poll() is None, "the worker has ended"
            assert time.monotonic() < deadline, {u: attempts_of(store, h) for u, h in hooks.items()}
            time.sleep(0.2)
    finally:
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
    found = {url: attempts_of(store, h) for url, h in hooks.items()}
    assert trap.knocks == 0
    assert liar.asked.count("turncoat") >= 2
    tried = connected_to(account.read_text())
    assert PUBLIC in tried, "the account must show what was allowed, or it shows nothing"
    ports = {receiver.port for receiver in allowed} | ({store.url.port} - {None})
    assert {a for a in tried if not is_public(a)} == {"127.0.0.1"}
    lines = [line for line in account.read_text().splitlines() if "127.0.0.1" in line and "<TCP" in line]
    assert {int(p) for line in lines for p in re.findall(r"sin6?_port=htons\((\d+)\)", line)} == ports
    errors = {url: attempts[-1].error or "" for url, attempts in found.items()}
    refused = [url for url, error in errors.items() if "leads to this machine or to a private net" in error]
    assert sorted(refused) == sorted(url for url in hooks if f":{trap.port}/" in url)
    assert found[f"http://127.0.0.1:{redirecting.port}/"][0].status == 302
    assert found[f"http://127.0.0.1:{huge.port}/"][0].status == 200
    assert found[f"http://127.0.0.1:{endless.port}/"][0].error == "ConnectionError"
    for listener in (trap, *allowed):
        listener.close()
