"""Two control planes and two workers on Postgres and Redis behind a load balancer, restarted one after the other under
load: no request fails beyond a retry, no event is lost, no job is doubled.

The short form runs with the other tests; `pytest -m soak tests/production` has 50 watchers and 20 edges.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest
import requests
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import connect

from control_plane.store import schema
from control_plane.store.db import Database, utcnow
from faces import wire
from faces.events import Event, Status
from rollcall.up import free_port
from tests.production.balancer import Balancer
from tests.production.own import OwnPostgres, OwnRedis, running

ROOT = Path(__file__).resolve().parents[2]
COME_BACK = 1012


class Process:
    """One of the processes, which is replaced as a deployment does it."""

    def __init__(self, module: str, log: Path, settings: dict[str, str], ready: Callable[[], bool]) -> None:
        self._module, self._log, self._settings, self._ready = module, log, settings, ready
        self._start()

    def replace(self) -> None:
        """SIGTERM, wait for the end, start a new one, wait until it is ready."""
        self._running.send_signal(signal.SIGTERM)
        assert self._running.wait(40) in (0, -signal.SIGTERM), self._log.read_text()[-2000:]
        self._start()

    def kill(self) -> None:
        self._running.kill()
        self._running.wait()

    def _start(self) -> None:
        self._log.write_text("")
        with self._log.open("ab") as file:
            self._running = subprocess.Popen(
                [sys.executable, "-m", self._module],
                env={**os.environ, **self._settings},
                cwd=ROOT,
                stdout=file,
                stderr=file,
            )
        until(lambda: self._running.poll() is not None or self._ready(), "it is ready", 90)
        assert self._running.poll() is None, self._log.read_text()[-2000:]


class Receiver(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.host = f"127.0.0.1:{self.server_port}"
        self.told: Counter[str] = Counter()


class _Answer(BaseHTTPRequestHandler):
    server: Receiver
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.server.told[json.loads(self.rfile.read(int(self.headers["Content-Length"])))["id"]] += 1
        self.send_response(204)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


class Load:
    """Edges that send events, a desk that enrols, and watchers that follow the log; each tries once more, no more."""

    def __init__(self, port: int, edges: int, watchers: int, photo: bytes | None) -> None:
        self.url, self.sent, self.enrolled = f"http://127.0.0.1:{port}", list[str](), 0
        self.retries, self.failures, self.closes = Counter[str](), list[str](), Counter[int]()
        self.seen: list[list[int]] = [[] for _ in range(watchers)]
        self._stop, self._port, self._photo = threading.Event(), port, photo
        self._watching = threading.Event()
        work: list[Callable[[], None]] = [lambda n=n: self._edge(f"edge-{n}") for n in range(edges)]  # type: ignore[misc]
        work += [self._desk] if photo else []
        self._senders = [threading.Thread(target=w) for w in work]
        self._watchers = [threading.Thread(target=self._watch, args=(seen,)) for seen in self.seen]
        for thread in (*self._watchers, *self._senders):
            thread.start()

    def stop(self, last: Callable[[], int]) -> None:
        """Have the senders end, and the watchers when they have seen the last event."""
        self._stop.set()
        for thread in self._senders:
            thread.join()
        head = last()
        until(lambda: all(seen and seen[-1] >= head for seen in self.seen), "all watchers have seen all", 60)
        self._watching.set()
        for thread in self._watchers:
            thread.join()

    def ask(self, what: str, **options: Any) -> requests.Response | None:
        """A request, and once more if it failed; each on a connection of its own, as from many clients."""
        for attempt in range(2):
            try:
                answer = requests.request(url=self.url + what, timeout=40, **options)
                if answer.status_code < 500:
                    return answer
                why = str(answer.status_code)
            except requests.ConnectionError as error:
                why = type(error).__name__
            if attempt == 0:
                self.retries[f"{what}: {why}"] += 1
                time.sleep(0.5)
            else:
                self.failures.append(f"{what}: {why}")
        return None

    def _edge(self, name: str) -> None:
        headers = {wire.EDGE_HEADER: name, wire.WIRE_HEADER: str(wire.WIRE), "Content-Type": wire.MSGPACK}
        hello = wire.encode(wire.Hello(name=name, version="1", engine="sface", cameras=["door"]))
        self.ask(f"/v1/edges/{name}", method="PUT", data=hello, headers=headers)
        while not self._stop.wait(0.1):
            event = Event(id=uuid4(), camera="door", captured_at=utcnow(), status=Status.PASS, name="Ann", distance=0.2)
            batch = wire.encode(wire.EventBatch([msgspec.Raw(wire.encode(event))]))
            answer = self.ask("/v1/events", method="POST", data=batch, headers=headers)
            if answer is not None:
                (verdict,) = wire.decode(answer.content, wire.Verdicts).verdicts
                assert verdict.outcome in ("stored", "known"), verdict
                self.sent.append(str(event.id))

    def _desk(self) -> None:
        while not self._stop.wait(0.5):
            form = {"data": {"name": f"P{self.enrolled}", "force": "true"}, "files": {"image": self._photo}}
            answer = self.ask("/register", method="POST", **form)
            if answer is not None and answer.ok:
                self.enrolled += 1

    def _watch(self, seen: list[int]) -> None:
        while not self._watching.is_set():
            try:
                with connect(
                    f"ws://127.0.0.1:{self._port}/ws/face-stream",
                    subprotocols=[wire.WATCH_PROTOCOL],
                    compression=None,  # type: ignore[list-item]
                ) as socket:
                    socket.send(json.dumps({"type": "events", "after": seen[-1] if seen else 0}))
                    self._follow(socket, seen)
            except ConnectionClosed as closed:
                self.closes[closed.rcvd.code if closed.rcvd else 0] += 1
            except (InvalidHandshake, OSError, EOFError):
                time.sleep(0.2)

    def _follow(self, socket: Any, seen: list[int]) -> None:
        while not self._watching.is_set():
            try:
                message = json.loads(socket.recv(timeout=0.2))
            except TimeoutError:
                continue
            if message["type"] == "event":
                seen.append(message["position"])


def until(true: Callable[[], object], what: str, within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        time.sleep(0.05)


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).status_code == 200
    except requests.RequestException:
        return False


@contextmanager
def receiving() -> Iterator[Receiver]:
    with Receiver() as receiver:
        thread = threading.Thread(target=receiver.serve_forever, args=(0.01,))
        thread.start()
        yield receiver
        receiver.shutdown()
        thread.join()


def roll(folder: Path, *, edges: int, watchers: int, photo: bytes | None, rounds: int = 1) -> None:
    with ExitStack() as stack:
        postgres, broker = stack.enter_context(running(OwnPostgres)), stack.enter_context(running(OwnRedis))
        receiver = stack.enter_context(receiving())
        database = Database(postgres.url)
        stack.callback(database.close)
        schema.migrate(database, utcnow())
        ports = [free_port() for _ in range(4)]
        common = {
            "DATABASE_URL": postgres.url,
            "BROKER_URL": broker.url,
            "BUS_URL": broker.url,
            "DATA_DIR": str(folder),
            "STREAM_PORT": "0",
            "DRAIN_S": "2",
            "WEBHOOK_ALLOW": receiver.host,
        }
        centre = []
        for number, port in enumerate(ports):
            module, told, page = "control_plane", {"PORT": str(port)}, "readyz"
            if number >= 2:
                module, told, page = "jobs.worker", {"METRICS_PORT": str(port)}, "metrics"
            url = f"http://127.0.0.1:{port}/{page}"
            ready = (lambda u=url: answers(u)) if number < 2 else (lambda u=url: swept(u))  # type: ignore[misc]
            centre.append(Process(module, folder / f"{number}.log", {**common, **told}, ready))
            stack.callback(centre[-1].kill)
        balancer = Balancer(ports[:2])
        stack.callback(balancer.stop)
        until(lambda: len(balancer.ready) == 2, "both are ready", 30)
        hook = {"url": f"http://{receiver.host}/hook", "statuses": ["PASS"]}
        requests.post(f"http://127.0.0.1:{balancer.port}/v1/webhooks", json=hook, timeout=9).raise_for_status()
        load = Load(balancer.port, edges, watchers, photo)
        try:
            until(lambda: len(load.sent) > edges, "events flow", 60)
            for process in centre * rounds:
                process.replace()
                until(lambda: len(balancer.ready) == 2, "both are ready again", 30)
        finally:
            load.stop(lambda: newest(load.url))
        assert load.failures == []
        log = {e["id"]: e for e in logged(load.url)}
        assert set(load.sent) <= set(log)
        assert all(seen == sorted(set(seen)) and len(seen) == len(log) for seen in load.seen)
        until(lambda: len(receiver.told) == len(log), "every event is told", 60)
        assert set(receiver.told.values()) == {1}, "no job is doubled"
        assert not set(load.closes) - {COME_BACK, 1000}, load.closes
        if photo:
            people = requests.get(f"{load.url}/faces", timeout=9).json()
            assert load.enrolled > 0
            assert set(Counter(people).values()) == {1}
            assert len(people) >= load.enrolled


def swept(url: str) -> bool:
    try:
        return "rollcall_swept_timestamp_seconds 0.0" not in requests.get(url, timeout=2).text
    except requests.RequestException:
        return False


def newest(url: str) -> int:
    asked = {"order": "newest", "limit": "1"}
    return int(requests.get(f"{url}/v1/events", params=asked, timeout=9).json()["items"][0]["position"])


def logged(url: str) -> Iterator[dict[str, Any]]:
    after = 0
    while items := requests.get(f"{url}/v1/events", params={"after": after, "limit": 500}, timeout=9).json()["items"]:
        yield from items
        after = items[-1]["position"]


@pytest.mark.timeout(480)
def test_a_rolling_restart_loses_no_event_and_doubles_no_job(tmp_path: Path) -> None:
    roll(tmp_path, edges=4, watchers=6, photo=None)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_a_rolling_restart_under_the_whole_load_loses_nothing(tmp_path: Path, data: Path) -> None:
    roll(tmp_path, edges=20, watchers=50, photo=(data / "portraits" / "obama.jpg").read_bytes(), rounds=2)
