from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextvars import copy_context
from uuid import uuid4

import dramatiq
import pytest

from control_plane.dispatch import DELIVER, ENROLL, READ_ARCHIVE, Dispatch, Job
from faces.logs import REQUEST_ID
from jobs.broker import make_broker
from tests import services


@pytest.fixture
def job() -> Job:
    """A job on a queue of this test's own."""
    return Job(f"test-{uuid4().hex[:8]}", "enroll")


@pytest.fixture(params=[services.BROKER] if services.BROKER else ["redis", "rabbitmq"])
def broker(request: pytest.FixtureRequest, job: Job) -> Iterator[tuple[str, dramatiq.Broker]]:
    """A worker's broker, and its URL."""
    url = services.redis_url() if request.param == "redis" else services.rabbitmq_url()
    made = make_broker(url)
    made.declare_queue(job.queue)
    yield url, made
    made.flush(job.queue)
    made.close()


def test_a_worker_gets_one_message_a_row_by_the_actors_name_with_the_request_s_id(
    broker: tuple[str, dramatiq.Broker], job: Job
) -> None:
    url, worker = broker
    dispatch = Dispatch(url)
    asking = copy_context()
    asking.run(REQUEST_ID.set, "request-7")
    asking.run(dispatch.send, job, "row-1", "row-2")
    dispatch.close()
    got = []
    consumer = worker.consume(job.queue, prefetch=2, timeout=2000)
    while len(got) < 2 and (message := next(consumer)) is not None:
        sent = json.loads(message.encode())
        got.append((message.actor_name, sent["args"], sent["options"]["request_id"]))
        consumer.ack(message)
    consumer.close()
    assert got == [("enroll", ["row-1"], "request-7"), ("enroll", ["row-2"], "request-7")]


def test_without_a_broker_nothing_is_sent() -> None:
    dispatch = Dispatch(None)
    assert not dispatch.sends
    dispatch.send(ENROLL, "row-1")
    dispatch.close()


def test_a_broker_out_of_reach_is_logged_and_costs_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    dispatch = Dispatch("redis://127.0.0.1:1")
    with caplog.at_level(logging.WARNING):
        dispatch.send(ENROLL, "row-1")
    assert "broker" in caplog.text
    dispatch.close()


def test_the_jobs_are_those_that_the_worker_declares() -> None:
    assert {ENROLL, READ_ARCHIVE, DELIVER} == {
        ("encode", "enroll"),
        ("housekeeping", "read_archive"),
        ("webhooks", "deliver"),
    }
