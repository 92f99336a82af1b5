"""The bus's connection to Redis. Without it each control plane serves its own watchers, and polls."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from control_plane.bus import ANNOUNCE_EVERY_S, Bus, Letter
from control_plane.parts import first_of
from faces.errors import Invalid

log = logging.getLogger(__name__)

FIRST_WAIT_S, LONGEST_WAIT_S = 0.25, 8.0
ANSWER_WITHIN_S = 5.0
SILENT_S = 3 * ANNOUNCE_EVERY_S
"""Whoever announces itself hears that, too: a line on which nothing came for this long is dead."""


class Line:
    """Publishes what the bus has due, and hands it what comes. `wake` is set when there may be something due."""

    def __init__(self, url: str, name: str, bus: Bus, wake: asyncio.Event) -> None:
        self.connected = False
        self.losses = 0
        self._url = url
        self._prefix = f"{name}:"
        self._bus = bus
        self._wake = wake
        self._wait_s = FIRST_WAIT_S
        self._failing = False

    async def run(self) -> None:
        """Hold the line until cancelled, with growing waits after it was lost."""
        while True:
            try:
                await self._hold()
            except (RedisError, OSError) as error:
                self._lost(error)
            self._bus.expire(time.monotonic())
            await asyncio.sleep(self._wait_s * random.uniform(0.5, 1))
            self._wait_s = min(self._wait_s * 2, LONGEST_WAIT_S)

    async def _hold(self) -> None:
        async with (
            Redis.from_url(
                self._url,
                socket_timeout=ANSWER_WITHIN_S,
                socket_connect_timeout=ANSWER_WITHIN_S,
                retry=Retry(NoBackoff(), 0),
            ) as redis,
            redis.pubsub() as heard,
        ):
            await heard.subscribe(*(self._prefix + channel for channel in self._bus.channels))
            self._found()
            try:
                await first_of(self._read(heard), self._write(redis))
            except asyncio.CancelledError:
                with contextlib.suppress(RedisError, OSError):
                    await self._publish(redis, self._bus.leave())
                raise

    async def _read(self, heard: PubSub) -> None:
        while True:
            message = await heard.get_message(timeout=SILENT_S)
            if message is None:
                raise TimeoutError("nothing was heard on it for too long")
            if message["type"] != "message":
                continue
            channel = message["channel"].decode().removeprefix(self._prefix)
            try:
                self._bus.receive(Letter(channel, message["data"]), time.monotonic())
            except Invalid as error:
                log.debug("a message on the bus is not understood: %s", error)

    async def _write(self, redis: Redis) -> None:
        while True:
            self._wake.clear()
            for letter in self._bus.due(time.monotonic()):
                await self._publish(redis, letter)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._bus.wait_s(time.monotonic())):
                    await self._wake.wait()

    async def _publish(self, redis: Redis, letter: Letter) -> None:
        await redis.publish(self._prefix + letter.channel, letter.body)

    def _found(self) -> None:
        self.connected, self._failing, self._wait_s = True, False, FIRST_WAIT_S
        self._bus.hurry()
        log.info("the bus is connected")

    def _lost(self, error: Exception) -> None:
        # The URL may hold a password: what is logged is the kind of error alone.
        log.log(logging.DEBUG if self._failing else logging.WARNING, "no bus: %s", type(error).__name__)
        self.losses += self.connected
        self.connected, self._failing = False, True
