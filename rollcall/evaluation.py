"""An open-set identification test after ISO/IEC 19795-1: who is recognised, and which stranger is given a name.

Pure: encodings in, rates out. A *mated* trial searches for somebody who is enrolled; it fails unless they are the
nearest and within the distance (FNIR). A *non-mated* trial searches for a stranger; it fails if anybody at all is
within the distance (FPIR).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

from faces.encoding import Matrix, distances, mean_encoding

Z95 = 1.959964
"""The normal distribution's 97.5 % quantile."""


class Person(msgspec.Struct, frozen=True):
    """One person's encodings, float32 of shape (photos, 128), in the order of their files."""

    name: str
    encodings: Matrix


@dataclass(frozen=True, slots=True)
class Trials:
    """Outcomes of all trials of a test, pooled over rotations.

    `mated`: the mate's distance, infinite where somebody else was nearer. `non_mated`: the nearest distance of a
    stranger. The `*_person` arrays say whose trial it was, as trials of one person are not independent. `impostors`
    are all distances between a stranger's probe and one enrolled person. `ranked_first` counts mated trials in which
    the mate was the nearest.
    """

    gallery: int
    mated: npt.NDArray[np.float32]
    mated_person: npt.NDArray[np.intp]
    non_mated: npt.NDArray[np.float32]
    non_mated_person: npt.NDArray[np.intp]
    impostors: npt.NDArray[np.float32]
    ranked_first: int


class Rate(msgspec.Struct, frozen=True):
    """A proportion with its 95 % confidence interval; `rate` None where there was no trial."""

    rate: float | None
    count: int
    of: int
    interval: tuple[float, float] | None


class Operating(msgspec.Struct, frozen=True):
    """Both error rates at one distance."""

    distance: float
    fpir: Rate
    fnir: Rate


def trials(
    model: str, people: Sequence[Person], strangers: Sequence[Person], *, photos: int, probes: int, rotations: int
) -> Trials:
    """Run every trial. Each person has at least `photos + probes` encodings.

    In rotation r each person is enrolled with `photos` encodings from the r-th on, cyclically; the others are probed
    in groups of `probes`, whose mean is searched for. Without strangers, each person is left out in turn.
    """
    parts = [_rotation(model, people, strangers, photos, probes, r) for r in range(rotations)]
    arrays = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("mated", "mated_person", "non_mated", "non_mated_person", "impostors")
    }
    return Trials(gallery=len(people), ranked_first=sum(part.ranked_first for part in parts), **arrays)


def at(found: Trials, distance: float) -> Operating:
    """FPIR and FNIR when everybody within `distance` passes."""
    return Operating(
        distance,
        rate(found.non_mated <= distance, found.non_mated_person),
        rate(found.mated > distance, found.mated_person),
    )


def at_fpir(found: Trials, fpir: float) -> Operating:
    """The largest distance at which at most this share of strangers is given a name, and the rates there."""
    allowed = math.floor(fpir * len(found.non_mated))
    ordered = np.sort(found.non_mated)
    if allowed >= len(ordered):
        return at(found, float(ordered[-1]) if len(ordered) else 0.0)
    # Just below the first stranger that is one too many.
    return at(found, float(np.nextafter(ordered[allowed], np.float32(-1))))


def rank1(found: Trials) -> Rate:
    """How often the mate is the nearest, whatever the distance."""
    first = np.isfinite(found.mated)
    return rate(first, found.mated_person)


def distance_for(found: Trials, fpir: float, gallery: int) -> float | None:
    """The distance that keeps FPIR at `fpir` in a gallery of `gallery` people; None if too few trials say so.

    With p(d) the share of single comparisons within d, a stranger among N people is given a name with probability
    1 - (1 - p)^N (comparisons taken as independent; ISO/IEC 19795-1, annex on the relation of 1:1 and 1:N).
    """
    wanted = 1 - (1 - fpir) ** (1 / gallery)
    ordered = np.sort(found.impostors)
    allowed = math.floor(wanted * len(ordered))
    if allowed < 1:
        return None
    return float(np.nextafter(ordered[min(allowed, len(ordered) - 1)], np.float32(-1)))


def rate(failed: npt.NDArray[np.bool_], person: npt.NDArray[np.intp]) -> Rate:
    """A proportion over trials that come in clusters, one a person.

    Wilson's interval on the effective number of trials: n divided by the design effect, which is estimated from how
    unevenly the failures fall on the people, and is the cluster size where there are none to tell (Korn and
    Graubard, Survey Methodology 24, 1998).
    """
    of, count = len(failed), int(failed.sum())
    if of == 0:
        return Rate(None, 0, 0, None)
    share = count / of
    low, high = wilson(share, of / _design_effect(failed, person, share))
    return Rate(share, count, of, (low, high))


def wilson(share: float, n: float) -> tuple[float, float]:
    """Wilson's 95 % score interval for a proportion of `n` trials."""
    centre = (share + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
    half = Z95 / (1 + Z95**2 / n) * math.sqrt(share * (1 - share) / n + Z95**2 / (4 * n**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def _design_effect(failed: npt.NDArray[np.bool_], person: npt.NDArray[np.intp], share: float) -> float:
    sizes = np.bincount(person)
    sizes, failures = sizes[sizes > 0], np.bincount(person, weights=failed)[sizes > 0]
    clusters, of = len(sizes), len(failed)
    largest = of / clusters
    if share in (0.0, 1.0) or clusters < 2:
        return largest
    between = float(((failures - sizes * share) ** 2).sum()) * clusters / (clusters - 1) / of**2
    independent = share * (1 - share) / of
    return min(max(between / independent, 1.0), largest)


def _rotation(
    model: str, people: Sequence[Person], strangers: Sequence[Person], photos: int, probes: int, rotation: int
) -> Trials:
    enrolled, probed, probed_by = [], [], []
    for index, person in enumerate(people):
        turned = np.roll(person.encodings, -rotation, axis=0)
        enrolled.append(turned[:photos])
        for group in _groups(turned[photos:], probes):
            probed.append(mean_encoding(model, group))
            probed_by.append(index)
    mated_by = np.asarray(probed_by, np.intp)
    starts = np.arange(0, len(people) * photos, photos)
    table = _nearest(model, np.stack(probed), np.concatenate(enrolled), starts)
    own = table[np.arange(len(table)), mated_by]
    others = table.copy()
    others[np.arange(len(table)), mated_by] = np.inf
    first = own <= others.min(axis=1, initial=np.inf)
    mated = np.where(first, own, np.float32(np.inf)).astype(np.float32)
    if strangers:
        groups = [(i, mean_encoding(model, g)) for i, s in enumerate(strangers) for g in _groups(s.encodings, probes)]
        apart = _nearest(model, np.stack([g for _, g in groups]), np.concatenate(enrolled), starts)
        apart_by = np.asarray([i for i, _ in groups], np.intp)
        impostors = apart.ravel()
    else:
        apart, apart_by = others, mated_by
        impostors = others[np.isfinite(others)]
    return Trials(len(people), mated, mated_by, apart.min(axis=1), apart_by, impostors, int(first.sum()))


def _groups(encodings: Matrix, size: int) -> list[Matrix]:
    """Groups of `size`, or the one smaller group of somebody who has fewer."""
    whole = [encodings[i : i + size] for i in range(0, len(encodings) - size + 1, size)]
    return whole or [encodings]


def _nearest(model: str, probes: Matrix, enrolled: Matrix, starts: npt.NDArray[np.intp]) -> npt.NDArray[np.float32]:
    """Distance of each probe to each person's nearest encoding, float32 of shape (probes, people)."""
    nearest: npt.NDArray[np.float32] = np.minimum.reduceat(distances(model, probes, enrolled), starts, axis=1)
    return nearest
