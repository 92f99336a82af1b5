"""`rollcall evaluate --tracks`: the error rates of whole tracks, as the edge decides them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple, TypeVar

import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from faces import engine as engines
from faces.errors import Invalid
from rollcall import evaluation
from rollcall.evaluate import Options, percent
from rollcall.evaluation import Rate
from rollcall.people import photos_in
from rollcall.terminal import progress
from rollcall.track_trials import FILMED, Subject, Trial, gallery, of_person, shoot, trials
from rollcall.track_trials import splits as all_splits

S = TypeVar("S")
T = TypeVar("T")


class Failure(msgspec.Struct, frozen=True):
    """A trial that failed, and why."""

    trial: Trial
    why: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The report, as `--json` prints it. `fpir` counts people left out and strangers together."""

    engine: str
    photos: int
    filmed: int
    splits: int
    seed: int
    gallery: int
    strangers: int
    distance: float
    fnir: Rate
    fpir: Rate
    fpir_left_out: Rate
    fpir_strangers: Rate
    failed_to_enroll: Rate
    refused: dict[str, int]
    failures: list[Failure]


class _Cast(NamedTuple):
    """Who plays: people with as many photos as are enrolled and filmed, and strangers with as many as are filmed."""

    people: list[Subject]
    strangers: list[Subject]


def run(options: Options, console: Console, *, splits: int | None = None) -> Report:
    """Film, play and report; raises Invalid if the folder holds too few people or photos.

    Some of each person's photos, drawn by the seed, are parted in every way (or in `splits` ways) into those that are
    enrolled and those that are filmed. Whoever has too few photos for that is a stranger.
    """
    engine = engines.load(options.engine, models=options.models, threads=1, detector=options.detector)
    distance = engine.th_accept if options.distance is None else options.distance
    cast = _cast(options, engine, console)
    if len(cast.people) < 2:
        raise Invalid(
            f"{len(cast.people)} people have {options.photos + FILMED} photos; at least 2 must",
            remedy="Add photos, or enrol fewer with --photos.",
        )
    parted = _drawn(all_splits(options.photos), splits, options.seed)
    galleries = [(split, gallery(engine.model, cast.people, split)) for split in parted]
    films = [partial(of_person, engine, p, split, known, distance) for p in cast.people for split, known in galleries]
    every = [known for _, known in galleries]
    films += [partial(trials, engine, s.name, s.shots, every, distance) for s in cast.strangers]
    played = [trial for found in _each(lambda play: play(), films, "Playing films", console) for trial in found]
    return _report(engine, options, cast, len(parted), distance, played)


def show(report: Report, console: Console) -> None:
    """The report for a person."""
    title = f"{report.engine}: {report.photos} photos a person, tracks of {report.filmed} others, at {report.distance}"
    table = Table("", "rate", title=title)
    for name, rate in (
        ("FNIR: an enrolled person is not", report.fnir),
        ("FPIR: a stranger is given a name", report.fpir),
        ("... of people left out in turn", report.fpir_left_out),
        ("... of strangers", report.fpir_strangers),
    ):
        table.add_row(name, percent(rate))
    console.print(table)
    console.print(f"Gallery: {report.gallery} people; their photos are parted in {report.splits} ways.")
    console.print(f"Photos that could not be enrolled: {percent(report.failed_to_enroll)} {report.refused or ''}")
    for failure in report.failures:
        trial = failure.trial
        said = f"nearest at {trial.distance:.3f}" if trial.distance is not None else "never judged"
        filmed = ", ".join(trial.files)
        console.print(
            f"{trial.person} ({filmed}): {failure.why}; {said}; {trial.probes} probes", markup=False, soft_wrap=True
        )


def _cast(options: Options, engine: engines.Engine, console: Console) -> _Cast:
    random = np.random.default_rng(options.seed)
    needed = options.photos + FILMED
    listed = [(name, _drawn(paths, needed, random)) for name, paths in photos_in(options.folder).items()]
    if options.strangers:
        listed += [(name, _drawn(paths, FILMED, random)) for name, paths in photos_in(options.strangers).items()]
    people = [len(paths) == needed for _, paths in listed]
    paths = [path for _, paths in listed for path in paths]
    shots = iter(_each(partial(shoot, engine), paths, "Encoding photos", console))
    subjects = [Subject(name, tuple(next(shots) for _ in paths)) for name, paths in listed]
    return _Cast(
        [subject for subject, mated in zip(subjects, people, strict=True) if mated],
        [Subject(s.name, s.shots[:FILMED]) for s, mated in zip(subjects, people, strict=True) if not mated],
    )


def _drawn(items: Sequence[T], count: int | None, seed: int | np.random.Generator) -> list[T]:
    """`count` of the items at random, or all."""
    return [items[i] for i in np.random.default_rng(seed).permutation(len(items))[:count]]


def _each(work: Callable[[S], T], items: Sequence[S], what: str, console: Console) -> list[T]:
    """`work` of each item, on all processors."""
    with progress(what, len(items), console) as advance, ThreadPoolExecutor(os.cpu_count()) as pool:

        def counted(item: S) -> T:
            done = work(item)
            advance()
            return done

        return list(pool.map(counted, items))


def _report(
    engine: engines.Engine, options: Options, cast: _Cast, splits: int, distance: float, played: list[Trial]
) -> Report:
    unknown = {subject.name for subject in cast.strangers}
    mated = [trial for trial in played if trial.enrolled]
    out = [trial for trial in played if not trial.enrolled and trial.person not in unknown]
    strangers = [trial for trial in played if trial.person in unknown]
    shots = [shot for subject in (*cast.people, *cast.strangers) for shot in subject.shots]
    return Report(
        engine=engine.name,
        photos=options.photos,
        filmed=FILMED,
        splits=splits,
        seed=options.seed,
        gallery=len(cast.people),
        strangers=len(cast.strangers),
        distance=distance,
        fnir=_rate(mated),
        fpir=_rate(out + strangers),
        fpir_left_out=_rate(out),
        fpir_strangers=_rate(strangers),
        failed_to_enroll=evaluation.rate(np.array([s.encoding is None for s in shots]), np.arange(len(shots))),
        refused=dict(Counter(shot.refusal for shot in shots if shot.refusal)),
        failures=[Failure(trial, trial.why) for trial in played if trial.failed],
    )


def _rate(played: Sequence[Trial]) -> Rate:
    """How many of these failed, clustered by person."""
    numbers = {name: number for number, name in enumerate(dict.fromkeys(trial.person for trial in played))}
    person = np.array([numbers[trial.person] for trial in played], np.intp)
    return evaluation.rate(np.array([trial.failed for trial in played], bool), person)
