"""Sends jobs by name, after the commit. The row is the truth, the message only a nudge: losing one costs a moment."""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

import dramatiq
from dramatiq.common import xq_name

from faces.logs import REQUEST_ID

log = logging.getLogger(__name__)


class Job(NamedTuple):
    """An actor by name; its one argument is a row's id."""

    queue: str
    actor: str


ENCODE = "encode"
IMPORTS = "imports"
REENCODE = "reencode"
WEBHOOKS = "webhooks"
SLOW_WEBHOOKS = "slow_webhooks"
HOUSEKEEPING = "housekeeping"
CHORES = "chores"
QUEUES = (ENCODE, IMPORTS, REENCODE, WEBHOOKS, SLOW_WEBHOOKS, HOUSEKEEPING, CHORES)
"""All queues on which workers take jobs."""

ENROLL = Job(ENCODE, "enroll")
READ_ARCHIVE = Job(HOUSEKEEPING, "read_archive")
IDENTIFY = Job(ENCODE, "identify")
PLAN_REENCODING = Job(HOUSEKEEPING, "plan_reencoding")
DELIVER = Job(WEBHOOKS, "deliver")


class Dispatch:
    """Sends messages to the broker at `url`. No URL: the worker notices the row by itself, and nothing is sent."""

    def __init__(self, url: str | None) -> None:
        self._broker = None if url is None else _broker(url)
        self._failures = broker_failures(url)

    @property
    def sends(self) -> bool:
        return self._broker is not None

    def send(self, job: Job, *row_ids: str) -> None:
        """Nudge a worker about rows that are committed, and tell it the request's id. A broker out of reach is logged:
        the sweeper sends again."""
        if self._broker is None:
            return
        options = {"request_id": REQUEST_ID.get()}
        try:
            for row_id in row_ids:
                self._broker.enqueue(dramatiq.Message(job.queue, job.actor, (row_id,), {}, options))
        except self._failures as error:
            log.warning("the broker does not take messages: %s", type(error).__name__)

    def close(self) -> None:
        if self._broker is not None:
            self._broker.close()


def dead_letters(url: str) -> dict[str, int]:
    """How many messages the broker at `url` has put aside, by queue, as their jobs raised an error.

    Raises `broker_failures`, or OSError.
    """
    broker, count = _broker(url), _dead_in_redis if url.startswith("redis") else _dead_in_rabbitmq
    try:
        return {queue: count(broker, queue) for queue in QUEUES}
    finally:
        broker.close()


def broker_failures(url: str | None) -> tuple[type[Exception], ...]:
    """What sending raises while the broker at `url` is out of reach. Each library is imported only where it is used."""
    if url is None:
        return ()
    if url.startswith("redis"):
        import redis

        return (redis.RedisError, dramatiq.BrokerError)
    return (dramatiq.BrokerError,)


class NotLetIn(ConnectionError):
    """A broker answers, and does not take us; tells what it says."""


def enter(url: str) -> None:
    """Open a connection to the broker at `url` as those do who send to it, and end it. Raises NotLetIn, and OSError
    where it is out of reach."""
    if url.startswith("redis"):
        import redis

        try:
            with redis.Redis.from_url(url, **redis_patience()) as client:
                client.ping()
        except redis.RedisError as error:
            raise NotLetIn(str(error)) from None
    else:
        from pika import BlockingConnection, URLParameters
        from pika.adapters.utils.connection_workflow import AMQPConnectorException
        from pika.exceptions import AMQPError

        try:
            BlockingConnection(URLParameters(url)).close()
        except (AMQPError, AMQPConnectorException) as error:
            raise NotLetIn(str(error) or type(error).__name__) from None


def redis_patience() -> dict[str, float]:
    """How long Redis is waited for: a machine that is gone would else be waited for without end."""
    return {"socket_connect_timeout": 3.0, "socket_timeout": 10.0}


def _broker(url: str) -> dramatiq.Broker:
    # No middleware: what it adds concerns those who run actors.
    if url.startswith("redis"):
        from dramatiq.brokers.redis import RedisBroker

        return RedisBroker(url=url, middleware=[], **redis_patience())  # type: ignore[no-untyped-call]
    from dramatiq.brokers.rabbitmq import RabbitmqBroker

    return RabbitmqBroker(url=url, middleware=[])


def _dead_in_redis(broker: Any, queue: str) -> int:
    return int(broker.client.zcard(f"{broker.namespace}:{xq_name(queue)}"))


def _dead_in_rabbitmq(broker: Any, queue: str) -> int:
    # Makes the queue where no worker has yet; and a broker out of reach is told by dramatiq's error, not by pika's.
    broker.declare_queue(queue, ensure=True)
    return int(broker.get_queue_message_counts(queue)[2])
