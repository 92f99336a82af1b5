"""The broker by URL: in this process's memory, Redis or RabbitMQ."""

from __future__ import annotations

from typing import Any

import dramatiq
from dramatiq.brokers.stub import StubBroker
from dramatiq.middleware import AgeLimit

from control_plane.dispatch import redis_patience
from faces.errors import SettingError
from faces.logs import JOB, JOB_ID, REQUEST_ID


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
    # The first to hear of a job, and so the last to hear that it has ended: others log of it, too.
    broker.add_middleware(Told(), before=AgeLimit)
    return broker


class Told(dramatiq.Middleware):
    """While a job runs, and is said to have failed, what its thread logs bears its name and its row's id, and the id of
    the request that sent it, if one did."""

    def before_process_message(self, broker: dramatiq.Broker, message: dramatiq.MessageProxy) -> None:
        JOB.set(message.actor_name)
        JOB_ID.set(message.args[0])
        REQUEST_ID.set(message.options.get("request_id", ""))

    def after_process_message(self, broker: dramatiq.Broker, message: dramatiq.MessageProxy, **_: Any) -> None:
        for told in (JOB, JOB_ID, REQUEST_ID):
            told.set("")

    after_skip_message = after_process_message
