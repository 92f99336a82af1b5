"""Which strangers are alike: by the distance of an encoding to the mean of a group. No clock, no database.

Exact and explained in a sentence: in the order of arrival each encoding joins the group whose mean is nearest, if that
is near enough, and else begins one; groups whose means have come so near become one, the older of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from control_plane.store.unknowns import Known
from faces.encoding import DIMENSIONS, SFACE, Vector, distances, from_bytes, mean_encoding

ALIKE = {SFACE: 0.35}
ALIKE_EUCLIDEAN = 0.40
"""Distances up to which strangers are taken for one person: well below where somebody passes (0.45)."""


class Grouped(NamedTuple):
    """New groups with their model, who joins which group, and which groups go over into which."""

    new: dict[str, str]
    joined: dict[int, str]
    merged: dict[str, str]


class Groups:
    """The groups of one model: a sum and a mean each, in the order in which they began."""

    def __init__(self, model: str) -> None:
        self.ids: list[str] = []
        self._model = model
        self._alike = ALIKE.get(model, ALIKE_EUCLIDEAN)
        self._members: list[list[Vector]] = []
        self._means = np.zeros((0, DIMENSIONS), np.float32)

    def add(self, unknown_id: str, encoding: Vector) -> None:
        """Put an encoding into a group, which may be new."""
        if unknown_id not in self.ids:
            self.ids.append(unknown_id)
            self._members.append([])
            self._means = np.vstack([self._means, encoding[None, :]])
        at = self.ids.index(unknown_id)
        self._members[at].append(encoding)
        self._means[at] = mean_encoding(self._model, np.stack(self._members[at]))

    def nearest(self, encoding: Vector) -> str | None:
        """The group that is nearest, if it is near enough."""
        if not self.ids:
            return None
        found = distances(self._model, encoding[None, :], self._means)[0]
        at = int(found.argmin())
        return self.ids[at] if found[at] <= self._alike else None

    def met(self, unknown_id: str) -> tuple[str, str] | None:
        """The group nearest to this one, if it is near enough: the younger and the older of the two."""
        at = self.ids.index(unknown_id)
        found = distances(self._model, self._means[at : at + 1], self._means)[0]
        found[at] = np.inf
        other = int(found.argmin())
        if found[other] > self._alike:
            return None
        return self.ids[max(at, other)], self.ids[min(at, other)]

    def merge(self, gone: str, into: str) -> None:
        at = self.ids.index(gone)
        members = self._members.pop(at)
        self.ids.pop(at)
        self._means = np.delete(self._means, at, axis=0)
        for encoding in members:
            self.add(into, encoding)


def grouped(known: Sequence[Known], fresh_id: Callable[[], str]) -> Grouped:
    """What becomes of those that are in no group yet; `known` are all, oldest first. `fresh_id` makes an id."""
    result = Grouped({}, {}, {})
    for model in sorted({each.model for each in known}):
        _group(model, [each for each in known if each.model == model], fresh_id, result)
    return result


def _group(model: str, known: Sequence[Known], fresh_id: Callable[[], str], result: Grouped) -> None:
    groups = Groups(model)
    for each in known:
        if each.unknown_id is not None:
            groups.add(each.unknown_id, from_bytes(each.data))
    changed: list[str] = []
    for each in known:
        if each.unknown_id is None:
            encoding = from_bytes(each.data)
            unknown_id = groups.nearest(encoding)
            if unknown_id is None:
                unknown_id = fresh_id()
                result.new[unknown_id] = model
            groups.add(unknown_id, encoding)
            result.joined[each.position] = unknown_id
            changed.append(unknown_id)
    while changed:
        unknown_id = changed.pop()
        if unknown_id in groups.ids and (pair := groups.met(unknown_id)) is not None:
            gone, into = pair
            groups.merge(gone, into)
            result.merged[gone] = into
            changed.append(into)
