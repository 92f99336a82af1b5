"""Postgres, broker and bus killed under load: 503 where it must be, recovery by itself, nothing lost or doubled.

The short form runs with the other tests. `pytest -m soak tests/production` has each away for 30 s, RabbitMQ too.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

from control_plane.store import schema
from control_plane.store.db import Database, utcnow
from tests.events_kills.test_kills import World, world
from tests.production.own import Own, OwnPostgres, OwnRabbit, OwnRedis, running

BACK_WITHIN_S = 15.0


class Prober:
    """Reads and writes a site, again and again; keeps what it is answered and when."""

    def __init__(self, url: str) -> None:
        self.answers: list[tuple[float, str, int, str]] = []
        self._url, self._stop = f"{url}/v1/sites/default", threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(method,)) for method in ("GET", "PATCH")]
        for thread in self._threads:
            thread.start()

    def since(self, moment: float) -> Counter[tuple[str, int]]:
        return Counter((method, status) for at, method, status, _ in self.answers if at >= moment)

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, method: str) -> None:
        with requests.Session() as session:
            while not self._stop.wait(0.05):
                body = {"name": f"at {time.monotonic()}"} if method == "PATCH" else None
                answer = session.request(method, self._url, json=body, timeout=30)
                told = answer.headers.get("Retry-After", "") if answer.status_code == 503 else ""
                self.answers.append((time.monotonic(), method, answer.status_code, told))


def outage(service: Own, away_s: float, prober: Prober, mortals: World, *, felt: bool) -> None:
    """Have a service away under load; returns when all is well again. `felt`: requests cannot do without it."""
    began = time.monotonic()
    service.kill()
    time.sleep(away_s)
    refused = {("GET", 503), ("PATCH", 503)}
    if felt:
        until(lambda: refused <= set(prober.since(began)), "requests are told to come again")
    else:
        assert not refused <= set(prober.since(began))
    service.start()
    delivered, back = mortals.delivered(), time.monotonic()
    until(lambda: {("GET", 200), ("PATCH", 200)} <= set(prober.since(back)), "requests are served again")
    until(lambda: mortals.delivered() > delivered, "webhooks are delivered again")
    assert {status for _, status in prober.since(began)} <= {200, 503}
    assert all(told for at, _, status, told in prober.answers if status == 503)


def until(true: Callable[[], object], what: str, within_s: float = BACK_WITHIN_S) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        time.sleep(0.05)


def storm(broker: Callable[[Path], Own], away_s: float, folder: Path) -> None:
    with ExitStack() as stack:
        postgres, messages, hints = (stack.enter_context(running(make)) for make in (OwnPostgres, broker, OwnRedis))
        database = Database(postgres.url)
        stack.callback(database.close)
        schema.migrate(database, utcnow())
        mortals = stack.enter_context(world(database, folder, BROKER_URL=messages.url, BUS_URL=hints.url))
        prober = Prober(mortals.url)
        try:
            until(lambda: mortals.delivered() > 0, "the first delivery", 60)
            outage(postgres, away_s, prober, mortals, felt=True)
            outage(messages, away_s, prober, mortals, felt=False)
            outage(hints, away_s, prober, mortals, felt=False)
        finally:
            prober.stop()
        found = mortals.settled()
        assert found.right, found
        until(lambda: mortals.delivered() == 2 * found.spooled, "every delivery", 120)
        assert all(mortal.process.poll() is None for name, mortal in mortals.mortals.items() if name != "edge")


@pytest.mark.timeout(240)
def test_postgres_broker_and_bus_away_for_a_moment_lose_nothing(tmp_path: Path) -> None:
    storm(OwnRedis, 3, tmp_path)


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("broker", [OwnRedis, OwnRabbit])
def test_postgres_broker_and_bus_away_for_half_a_minute_lose_nothing(tmp_path: Path, broker: type[Own]) -> None:
    storm(broker, 30, tmp_path)
