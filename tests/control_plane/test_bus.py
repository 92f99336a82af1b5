"""Control planes on a bus that loses what it likes, joined by lists."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control_plane.bus import ALL, ANNOUNCE_EVERY_S, LEASE_S, Bus, Letter
from control_plane.fanout import Fanout, Frame, Lens, Mailbox
from faces.errors import Invalid
from faces.wire import FrameHeader

NOW = datetime(2026, 1, 1, tzinfo=UTC)
JPEG = b"\xff\xd8picture"
LENSES = [Lens("e1", "door"), Lens("e1", "yard"), Lens("e2", "door")]
QUIET_S = LEASE_S + 2 * ANNOUNCE_EVERY_S


def frame(lens: Lens) -> Frame:
    header = FrameHeader(camera=lens.camera, captured_at=NOW, width=64, height=36, faces=[], edge=lens.edge)
    return Frame(header, JPEG)


class Plane:
    """A control plane of this file: a fan-out, its bus, one watcher, and what it was told."""

    def __init__(self, name: str) -> None:
        self.woken = 0
        self.looks = 0
        self.shown: Counter[Lens] = Counter()
        self.watching: set[Lens] = set()
        self.mailbox = Mailbox(lambda: None)
        self.fanout = Fanout(lambda _: self.wake(), clock=lambda: 0.0)
        self.bus = Bus(name, self.fanout, wake=self.wake, news=self.look)

    def wake(self) -> None:
        self.woken += 1

    def look(self) -> None:
        self.looks += 1

    def toggle(self, lens: Lens) -> None:
        if lens in self.watching:
            self.watching.remove(lens)
            self.fanout.unwatch(self.mailbox, [lens])
        else:
            self.watching.add(lens)
            self.fanout.watch(self.mailbox, lens)

    def leased(self) -> set[Lens]:
        return {Lens(edge, camera) for edge in ("e1", "e2") for camera in self.fanout.watched(edge)}

    def show(self) -> None:
        header: FrameHeader
        for each in self.mailbox.take():
            header = each._header
            self.shown[Lens(header.edge, header.camera)] += 1


class Net:
    """Several planes and a clock. Letters reach whoever reads their channel, unless they are lost."""

    def __init__(self, count: int) -> None:
        self.now = 0.0
        self.planes = [Plane(f"p{n}") for n in range(count)]
        self.sent: Counter[str] = Counter()

    def step(self, lost: frozenset[int] = frozenset()) -> int:
        """Everybody publishes what is due; what `lost` numbers publish reaches nobody. How many letters there were."""
        letters = [(n, letter) for n, plane in enumerate(self.planes) for letter in plane.bus.due(self.now)]
        for sender, letter in letters:
            self.sent["frames" if letter.channel != ALL else "words"] += 1
            for plane in self.planes:
                if sender not in lost and letter.channel in plane.bus.channels:
                    plane.bus.receive(letter, self.now)
        for plane in self.planes:
            plane.show()
        return len(letters)

    def settle(self) -> None:
        for _ in range(10):
            if not self.step():
                return
        raise AssertionError("they never stop talking")

    def pass_time(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until:
            self.now += 0.5
            self.settle()


steps = st.lists(
    st.one_of(
        st.tuples(st.just("watch"), st.integers(0, 2), st.sampled_from(LENSES)),
        st.tuples(st.just("frame"), st.integers(0, 2), st.sampled_from(LENSES)),
        st.tuples(st.just("lose"), st.frozensets(st.integers(0, 2)), st.none()),
        st.tuples(st.just("wait"), st.floats(0, 12), st.none()),
    ),
    max_size=30,
)


@settings(max_examples=150)
@given(steps)
def test_whatever_is_lost_all_agree_on_what_is_watched_when_the_bus_works_again(
    history: list[tuple[str, int, Lens]],
) -> None:
    net = Net(3)
    for what, number, lens in history:
        if what == "watch":
            net.planes[number].toggle(lens)
        elif what == "frame":
            net.planes[number].fanout.publish(lens, frame(lens))
        elif what == "wait":
            net.now += number
        net.step(number if isinstance(number, frozenset) else frozenset())
    net.pass_time(QUIET_S)
    everything = set().union(*(plane.watching for plane in net.planes))
    for plane in net.planes:
        assert plane.leased() == everything
        assert plane.fanout.watched_here() == plane.watching
        plane.shown.clear()
    # Each watcher is shown a frame once, wherever the edge's link is, and it goes nowhere else.
    for lens in LENSES:
        for holder in net.planes:
            net.sent.clear()
            holder.fanout.publish(lens, frame(lens))
            net.settle()
            assert net.sent["frames"] == sum(lens in p.watching for p in net.planes if p is not holder)
    for plane in net.planes:
        assert plane.shown == Counter({lens: len(net.planes) for lens in plane.watching})


def test_a_watch_elsewhere_is_a_lease_that_ends_by_itself() -> None:
    net = Net(2)
    here, there = net.planes
    there.toggle(LENSES[0])
    net.settle()
    assert here.leased() == {LENSES[0]}
    net.planes = [here]
    net.pass_time(LEASE_S - 1)
    assert here.leased() == {LENSES[0]}
    net.pass_time(1)
    assert here.leased() == set()


def test_a_control_plane_that_leaves_or_whose_watchers_do_ends_its_leases_at_once() -> None:
    net = Net(2)
    here, there = net.planes
    for ending in (lambda: there.toggle(LENSES[0]), lambda: here.bus.receive(there.bus.leave(), net.now)):
        net.settle()
        if LENSES[0] not in there.watching:
            there.toggle(LENSES[0])
        net.settle()
        assert here.leased() == {LENSES[0]}
        ending()
        if LENSES[0] not in there.watching:
            net.settle()
        assert here.leased() == set()


def test_one_that_comes_later_is_told_at_once() -> None:
    net = Net(1)
    net.planes[0].toggle(LENSES[0])
    net.settle()
    late = Plane("late")
    net.planes.append(late)
    net.settle()
    assert late.leased() == {LENSES[0]}


def test_while_nothing_changes_little_is_said() -> None:
    net = Net(3)
    net.planes[0].toggle(LENSES[0])
    net.settle()
    net.sent.clear()
    net.pass_time(10 * ANNOUNCE_EVERY_S)
    assert net.sent["words"] <= 3 * 11


def test_of_frames_that_could_not_be_published_the_newest_is() -> None:
    net = Net(2)
    here, there = net.planes
    there.toggle(LENSES[0])
    net.settle()
    for _ in range(100):
        here.fanout.publish(LENSES[0], frame(LENSES[0]))
    net.sent.clear()
    net.settle()
    assert net.sent["frames"] == 1


def test_news_wake_the_others_once_and_not_oneself() -> None:
    net = Net(3)
    net.settle()
    for _ in range(5):
        net.planes[0].bus.committed()
    net.settle()
    assert [plane.looks for plane in net.planes] == [0, 1, 1]


def test_it_says_how_long_nothing_is_due() -> None:
    plane = Plane("p")
    assert plane.bus.wait_s(5.0) == 0.0
    plane.bus.due(5.0)
    assert plane.bus.wait_s(5.0) == ANNOUNCE_EVERY_S
    before = plane.woken
    plane.toggle(LENSES[0])
    assert plane.woken > before
    assert len(plane.bus.due(6.0)) == 1


@pytest.mark.parametrize("body", [b"", b"nonsense", b"\xff", b"{}", b'{"type":"watched","by":"x"}', b'{"type":"new"}'])
@pytest.mark.parametrize("channel", [ALL, "p"])
def test_what_another_version_says_is_refused_and_changes_nothing(channel: str, body: bytes) -> None:
    plane = Plane("p")
    with pytest.raises(Invalid):
        plane.bus.receive(Letter(channel, body), 0.0)
    assert (plane.leased(), plane.looks) == (set(), 0)
