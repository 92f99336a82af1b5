"""The webhook bench measures what it says, with few events."""

from __future__ import annotations

from bench import webhooks_load


def test_every_event_arrives_at_both_receivers() -> None:
    assert webhooks_load.webhooks_per_s(200) > 0


def test_events_arrive_at_receivers_that_answer_while_others_hang() -> None:
    assert 0 < webhooks_load.p99_s(webhooks_load.HUNG, 1.0) < 15, "the time that a hung one is waited for"
