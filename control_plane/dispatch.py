"""Sends jobs by name, after the commit. The row is the truth, the message only a nudge: losing one costs a moment."""

from __future__ import annotations

import logging
from typing import NamedTuple

import dramatiq

log = logging.getLogger(__name__)


class Job(NamedTuple):
    """An actor by name; its one argument is a row's id."""

    queue: str
    actor: str


ENROLL = Job("encode", "enroll")
READ_ARCHIVE = Job("housekeeping", "read_archive")
IDENTIFY = Job("encode", "identify")
PLAN_REENCODING = Job("housekeeping", "plan_reencoding")
DELIVER = Job("webhooks", "deliver")


class Dispatch:
    """Sends messages to the broker at `url`. No URL: the worker notices the row by itself, and nothing is sent."""

    def __init__(self, url: str | None) -> None:
        self._broker: dramatiq.Broker | None = None
        self._failures: tuple[type[Exception], ...] = ()
        if url is not None:
            self._broker, self._failures = _broker(url)

    @property
    def sends(self) -> bool:
        return self._broker is not None

    def send(self, job: Job, *row_ids: str) -> None:
        """Nudge a worker about rows that are committed. A broker out of reach is logged: the sweeper sends again."""
        if self._broker is None:
            return
        try:
            for row_id in row_ids:
                self._broker.enqueue(dramatiq.Message(job.queue, job.actor, (row_id,), {}, {}))
        except self._failures as error:
            log.warning("the broker does not take messages: %s", type(error).__name__)

    def close(self) -> None:
        if self._broker is not None:
            self._broker.close()


def _broker(url: str) -> tuple[dramatiq.Broker, tuple[type[Exception], ...]]:
    """The broker, and what it raises when it is out of reach. Each is imported only where it is used."""
    # No middleware: what it adds concerns those who run actors.
    if url.startswith("redis"):
        import redis
        from dramatiq.brokers.redis import RedisBroker

        return RedisBroker(url=url, middleware=[]), (redis.RedisError,)  # type: ignore[no-untyped-call]
    from dramatiq.brokers.rabbitmq import RabbitmqBroker

    return RabbitmqBroker(url=url, middleware=[]), (dramatiq.BrokerError,)
