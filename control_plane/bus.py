"""What control planes of one database tell each other: which lenses they watch, live frames, and that there are news.

All of it may be lost. A watch is a lease on a lens, renewed by each control plane that has watchers; frames go to those
alone whose lease is valid. No socket and no clock in here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from control_plane.fanout import Fanout, Frame, Lens, Mailbox
from faces.wire import decode_text, unpack_frame

LEASE_S = 10.0
ANNOUNCE_EVERY_S = 4.0
"""What is watched is told this often at least, whether or not it changes."""

ALL = "all"
"""The channel that every control plane reads; beside it each one reads a channel of its own, for frames."""


class Watched(msgspec.Struct, frozen=True, tag="watched"):
    """To all: what the control plane `by` has watchers for, from now on for LEASE_S."""

    by: str
    lenses: list[Lens]


class News(msgspec.Struct, frozen=True, tag="news"):
    """To all: `by` has just committed something that others will want to read."""

    by: str


class Letter(NamedTuple):
    """What is to be published, and on which channel."""

    channel: str
    body: bytes


class Other:
    """Another control plane, as far as it has told."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self.mailbox = Mailbox(wake, elsewhere=True)
        self.lenses: frozenset[Lens] = frozenset()
        self.until = 0.0


class Bus:
    """One control plane's side, called `name`. `wake` is called when there is something to publish, `news` when others
    say that there are news. `now` is in seconds, of a clock that never steps."""

    def __init__(self, name: str, fanout: Fanout, *, wake: Callable[[], None], news: Callable[[], None]) -> None:
        self.name = name
        self._fanout = fanout
        self._wake = wake
        self._news = news
        self._others: dict[str, Other] = {}
        self._told: frozenset[Lens] = frozenset()
        self._announce_at = float("-inf")
        self._committed = False

    @property
    def channels(self) -> tuple[str, str]:
        """What this control plane reads."""
        return ALL, self.name

    def committed(self) -> None:
        """There are news here that others will want."""
        self._committed = True
        self._wake()

    def hurry(self) -> None:
        """Tell what is watched here at once: others may not know."""
        self._announce_at = float("-inf")
        self._wake()

    def due(self, now: float) -> list[Letter]:
        """What is to be published at `now`."""
        self.expire(now)
        letters = []
        watched = self._fanout.watched_here()
        if watched != self._told or now >= self._announce_at:
            self._told, self._announce_at = watched, now + ANNOUNCE_EVERY_S
            letters.append(Letter(ALL, msgspec.json.encode(Watched(self.name, sorted(watched)))))
        if self._committed:
            self._committed = False
            letters.append(Letter(ALL, msgspec.json.encode(News(self.name))))
        for name, other in self._others.items():
            letters += [Letter(name, frame.packed) for frame in other.mailbox.take()]
        return letters

    def expire(self, now: float) -> None:
        """Forget whoever has not been heard of for too long; `due` does so, too."""
        for name, other in list(self._others.items()):
            if now >= other.until:
                self._watch(other, frozenset())
                del self._others[name]

    def wait_s(self, now: float) -> float:
        """How long nothing will be due, unless `wake` is called."""
        return max(0.0, min([self._announce_at, *(other.until for other in self._others.values())]) - now)

    def leave(self) -> Letter:
        """What is published last: that nothing is watched here any more."""
        return Letter(ALL, msgspec.json.encode(Watched(self.name, [])))

    def receive(self, letter: Letter, now: float) -> None:
        """Take what came; raises Invalid for what another version says."""
        if letter.channel == self.name:
            header, jpeg = unpack_frame(letter.body)
            self._fanout.publish(Lens(header.edge, header.camera), Frame(header, jpeg), pass_on=False)
            return
        said: Watched | News = decode_text(letter.body, Watched | News)  # type: ignore[arg-type]
        if said.by == self.name:
            return
        if isinstance(said, News):
            self._news()
        else:
            self._lease(said, now)

    def _lease(self, said: Watched, now: float) -> None:
        other = self._others.get(said.by)
        if other is None:
            # It has just started, or was out of reach: it does not know what is watched here.
            other = self._others[said.by] = Other(self._wake)
            self.hurry()
        self._watch(other, frozenset(said.lenses))
        other.until = now + LEASE_S

    def _watch(self, other: Other, lenses: frozenset[Lens]) -> None:
        before, other.lenses = other.lenses, lenses
        self._fanout.unwatch(other.mailbox, before - lenses)
        for lens in lenses - before:
            self._fanout.watch(other.mailbox, lens)
