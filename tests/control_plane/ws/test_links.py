from __future__ import annotations

from control_plane.ws.links import LEASE_S, RENEW_AFTER_S, Leases, Link, Links
from faces.wire import Hint, Watch


def link(edge: str, site: str = "s1") -> tuple[Link, list[int]]:
    woken: list[int] = []
    return Link(edge, site, lambda: woken.append(1)), woken


def test_a_lease_is_given_renewed_and_ended() -> None:
    leases = Leases()
    assert leases.due({"door"}, 100.0) == [Watch("door", LEASE_S)]
    assert leases.due({"door"}, 100.0 + RENEW_AFTER_S / 2) == []
    assert leases.due({"door"}, 100.0 + RENEW_AFTER_S) == [Watch("door", LEASE_S)]
    assert leases.due(set(), 105.0) == [Watch("door", 0)]
    assert leases.due(set(), 200.0) == []


def test_a_camera_watched_again_gets_a_lease_at_once() -> None:
    leases = Leases()
    leases.due({"door"}, 1.0)
    leases.due(set(), 1.1)
    assert leases.due({"door"}, 1.2) == [Watch("door", LEASE_S)]


def test_a_lease_outlives_a_renewal_that_is_missed() -> None:
    assert 2 * RENEW_AFTER_S < LEASE_S


def test_of_the_hints_for_one_gallery_the_newest_waits() -> None:
    one, woken = link("e1")
    one.hint("g1", 4)
    one.hint("g2", 9)
    one.hint("g1", 5)
    assert one.take() == [Hint("g1", 5), Hint("g2", 9)]
    assert one.take() == []
    assert len(woken) == 3


def test_a_hint_goes_to_the_edges_of_the_sites_that_follow() -> None:
    links = Links()
    here, _ = link("e1", "s1")
    there, _ = link("e2", "s2")
    links.add(here)
    links.add(there)
    links.hint("g1", 3, ["s2"])
    assert here.take() == []
    assert there.take() == [Hint("g1", 3)]


def test_of_two_connections_of_one_edge_the_newest_counts() -> None:
    links = Links()
    (older, woken), (newer, _) = link("e1"), link("e1")
    links.add(older)
    links.add(newer)
    assert older.replaced
    assert woken
    assert not newer.replaced
    links.remove(older)
    links.hint("g1", 3, ["s1"])
    assert newer.take() == [Hint("g1", 3)]


def test_an_edge_that_left_is_told_nothing() -> None:
    links = Links()
    one, woken = link("e1")
    links.add(one)
    links.remove(one)
    links.wake("e1")
    links.hint("g1", 3, ["s1"])
    assert woken == []
