from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.lease import SAVE_EVERY_S, Lease, Spent
from edge.replica import Replica

DAY = 86400.0
WEEK = 7 * DAY


def test_it_runs_out_so_long_after_the_last_confirmation_and_is_renewed_by_one() -> None:
    lease = Lease(7, None, now=100.0, wall=0.0)
    assert not lease.expired(100 + WEEK - 1)
    assert lease.expired(100 + WEEK)
    lease.confirm(100 + WEEK)
    assert not lease.expired(100 + 2 * WEEK - 1)
    assert lease.expired(100 + 2 * WEEK)


def test_a_lease_of_no_length_never_runs_out() -> None:
    assert not Lease(0, None, now=0.0, wall=0.0).expired(1e12)


@pytest.mark.parametrize(
    ("wall", "left"),
    [
        (1000.0, 1.0),
        (1000.0 + 0.5 * DAY, 0.5),
        (1000.0 + DAY, 0.0),
        (1000.0 - 300 * DAY, 1.0),
        (0.0, 1.0),
    ],
    ids=["at once", "half a day later", "a day later", "the clock was set back", "the clock has no battery"],
)
def test_hostile_37_after_a_restart_it_goes_on_and_a_clock_set_back_extends_it_by_nothing(
    wall: float, left: float
) -> None:
    lease = Lease(7, Spent(6 * DAY, 1000.0), now=5.0, wall=wall)
    assert lease.expired(5.0 + left * DAY)
    assert left == 0 or not lease.expired(5.0 + left * DAY - 1)


def test_it_is_saved_each_minute_and_when_it_is_renewed() -> None:
    lease = Lease(7, None, now=0.0, wall=50.0)
    assert lease.due(0.0, 50.0) == Spent(0.0, 50.0)
    assert lease.due(SAVE_EVERY_S - 1, 109.0) is None
    assert lease.due(SAVE_EVERY_S, 110.0) == Spent(SAVE_EVERY_S, 110.0)
    lease.confirm(SAVE_EVERY_S + 1)
    assert lease.due(SAVE_EVERY_S + 1, 111.0) == Spent(0.0, 111.0)
    lease.confirm(SAVE_EVERY_S + 31)
    assert lease.due(SAVE_EVERY_S + 31, 141.0) is None, "as little as before: nothing to save"


def test_an_edge_that_synced_until_it_lost_power_has_its_whole_lease_left() -> None:
    lease, saved, now = Lease(7, None, now=0.0, wall=0.0), None, 0.0
    while now < 8 * DAY:
        now += 30.0
        lease.confirm(now)
        saved = lease.due(now, now) or saved
    lease = Lease(7, saved, now=5.0, wall=now + 60)
    assert not lease.expired(5.0 + WEEK - 60 - 2 * SAVE_EVERY_S)


def test_it_is_saved_anew_once_the_clock_was_put_right() -> None:
    lease = Lease(7, None, now=0.0, wall=1000.0)
    lease.due(0.0, 1000.0)
    assert lease.due(1.0, 1e9) == Spent(1.0, 1e9)
    assert lease.due(2.0, 1e9 - 3600) == Spent(2.0, 1e9 - 3600)


@given(st.lists(st.tuples(st.floats(0, DAY), st.floats(-30 * DAY, 30 * DAY), st.booleans()), max_size=30))
def test_hostile_37_however_the_wall_clock_jumps_and_the_edge_restarts_it_lasts_no_longer(
    steps: list[tuple[float, float, bool]],
) -> None:
    lease, saved, now, wall, ran = Lease(7, None, 0.0, 0.0), None, 0.0, 0.0, 0.0
    unsaved = 0.0
    for seconds, jump, restart in steps:
        now, wall, ran = now + seconds, wall + seconds + jump, ran + seconds
        saved = lease.due(now, wall) or saved
        if restart:
            unsaved += SAVE_EVERY_S
            now = 17.0
            lease = Lease(7, saved, now, wall)
        assert lease.expired(now + max(0.0, WEEK - ran + unsaved) + 1e-3)


def test_it_lies_with_the_galleries(tmp_path: Path) -> None:
    replica = Replica(tmp_path / "galleries.db", "sface")
    assert replica.spent() is None
    replica.save_spent(Spent(60.0, 1e9))
    replica.save_spent(Spent(120.5, 1e9 + 60))
    replica.close()
    replica = Replica(tmp_path / "galleries.db", "sface")
    assert replica.spent() == Spent(120.5, 1e9 + 60)
    replica.close()


def test_the_sites_word_counts_over_the_edges_own() -> None:
    lease = Lease(7, None, now=0.0, wall=0.0)
    lease.limit(1)
    assert lease.expired(DAY)
    lease.limit(0)
    assert not lease.expired(1e12)
    lease.limit(None)
    assert not lease.expired(WEEK - 1)
    assert lease.expired(WEEK)


@pytest.mark.parametrize("days", [0.0, 0.5, None])
def test_what_the_site_says_of_it_holds_offline_too(tmp_path: Path, days: float | None) -> None:
    replica = Replica(tmp_path / "galleries.db", "sface")
    assert replica.lease_days() is None
    replica.save_lease_days(3.0)
    replica.save_lease_days(days)
    replica.close()
    replica = Replica(tmp_path / "galleries.db", "sface")
    assert replica.lease_days() == days
    replica.close()
