"""The broker by URL: in this process's memory, Redis or RabbitMQ."""

from __future__ import annotations

import dramatiq
from dramatiq.brokers.stub import StubBroker

from control_plane.dispatch import redis_patience
from faces.errors import SettingError

ENCODE = "encode"
IMPORTS = "imports"
REENCODE = "reencode"
WEBHOOKS = "webhooks"
SLOW_WEBHOOKS = "slow_webhooks"
HOUSEKEEPING = "housekeeping"
CHORES = "chores"


def make_broker(url: str | None) -> dramatiq.Broker:
    """No URL: messages live in this process only, which is enough as the sweeper sends what the rows say is due."""
    broker: dramatiq.Broker
    if url is None:
        broker = StubBroker()
    elif url.startswith(("redis://", "rediss://")):
        from dramatiq.brokers.redis import RedisBroker

        broker = RedisBroker(url=url, **redis_patience())  # type: ignore[no-untyped-call]
    elif url.startswith(("amqp://", "amqps://")):
        from dramatiq.brokers.rabbitmq import RabbitmqBroker

        broker = RabbitmqBroker(url=url)
    else:
        raise SettingError("BROKER_URL is not a redis:// or amqp:// URL", remedy="Leave it empty to need no broker.")
    return broker
