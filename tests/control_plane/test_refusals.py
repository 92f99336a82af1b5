from __future__ import annotations

from control_plane.refusals import OF_STRANGERS, Refusals


def test_the_same_of_the_same_caller_is_told_once_a_minute() -> None:
    refusals = Refusals()
    asked = [("key:1", "user.list", 0.0), ("key:1", "user.list", 59.0), ("key:1", "key.list", 59.0)]
    asked += [("key:2", "user.list", 59.0), ("key:1", "user.list", 60.0)]
    told = [refusals.told(who, what, now, stranger=False) for who, what, now in asked]
    assert told == [True, False, True, True, True]


def test_strangers_cannot_flood_the_log_and_hide_nobody() -> None:
    refusals = Refusals()
    found = [refusals.told(f"10.0.{n // 250}.{n % 250}", "user.list", 0.0, stranger=True) for n in range(1000)]
    assert found.count(True) == OF_STRANGERS.count
    assert refusals.told("key:1", "user.list", 0.0, stranger=False)
    assert refusals.told("10.1.0.1", "user.list", 60.0, stranger=True)
