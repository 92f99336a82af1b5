"""`rollcall evaluate`: the error rates of an engine on the user's own people."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from faces import engine as engines
from faces.errors import Invalid
from rollcall import evaluation
from rollcall.evaluation import Operating, Person, Rate
from rollcall.people import Folder, encode, photos_in
from rollcall.terminal import progress

FPIRS = (0.003, 0.01)
MOST_ROTATIONS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What is evaluated and how."""

    folder: Path
    strangers: Path | None
    engine: str
    models: Path | None
    detector: str
    photos: int
    probes: int
    distance: float | None
    seed: int
    wanted_fpir: float
    wanted_gallery: int | None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The report, as `--json` prints it."""

    engine: str
    photos: int
    probes: int
    rotations: int
    seed: int
    gallery: int
    strangers: int
    operating: Operating
    at_fpir_0_003: Operating = msgspec.field(name="at_fpir_0.003")
    at_fpir_0_01: Operating = msgspec.field(name="at_fpir_0.01")
    rank1: Rate
    failed_to_enroll: Rate
    refused: dict[str, int]
    too_few_photos: list[str]
    advice: dict[str, Any]


def run(options: Options, console: Console) -> tuple[Report, evaluation.Trials]:
    """Encode, test and report; raises Invalid if the folder holds too few people or photos."""
    engine = engines.load(options.engine, models=options.models, threads=1, detector=options.detector)
    people, strangers = _encoded(options, engine, console)
    needed = options.photos + options.probes
    enough = [p for p in people.people if len(p.encodings) >= needed]
    few = [p for p in people.people if len(p.encodings) < needed]
    if len(enough) < 2:
        raise Invalid(
            f"{len(enough)} of {len(people.people)} people have {needed} usable photos; at least 2 must",
            remedy="Add photos, or ask for less with --photos and --probes.",
        )
    # Whoever has too few photos to be enrolled and probed is still somebody whom the gallery does not know.
    unknown = [*few, *(strangers.people if strangers else ())] if strangers else []
    rotations = min(MOST_ROTATIONS, min(len(p.encodings) for p in enough))
    found = evaluation.trials(
        engine.model,
        _shuffled(enough, options.seed),
        [p for p in _shuffled(unknown, options.seed) if len(p.encodings)],
        photos=options.photos,
        probes=options.probes,
        rotations=rotations,
    )
    distance = engine.th_accept if options.distance is None else options.distance
    report = Report(
        engine=engine.name,
        photos=options.photos,
        probes=options.probes,
        rotations=rotations,
        seed=options.seed,
        gallery=found.gallery,
        strangers=len(unknown),
        operating=evaluation.at(found, distance),
        at_fpir_0_003=evaluation.at_fpir(found, FPIRS[0]),
        at_fpir_0_01=evaluation.at_fpir(found, FPIRS[1]),
        rank1=evaluation.rank1(found),
        failed_to_enroll=_failed([people, *([strangers] if strangers else [])]),
        refused=dict(people.refused + (strangers.refused if strangers else people.refused.__class__())),
        too_few_photos=[p.name for p in few],
        advice=_advice(found, options),
    )
    return report, found


def show(report: Report, console: Console) -> None:
    """The report for a person."""
    table = Table(title=f"{report.engine}: {report.photos} photos a person, {report.probes} probe(s) a search")
    for heading in ("", "distance", "FPIR (a stranger is named)", "FNIR (an enrolled person is not)"):
        table.add_column(heading, justify="left" if not heading else "right")
    for name, row in (
        ("as configured", report.operating),
        ("at FPIR 0.3 %", report.at_fpir_0_003),
        ("at FPIR 1 %", report.at_fpir_0_01),
    ):
        table.add_row(name, f"{row.distance:.3f}", percent(row.fpir), percent(row.fnir))
    console.print(table)
    console.print(
        f"Gallery: {report.gallery} people; strangers: {report.strangers or 'each person left out in turn'}. "
        f"The right person is the nearest in {percent(report.rank1)}."
    )
    console.print(f"Photos that could not be enrolled: {percent(report.failed_to_enroll)} {report.refused or ''}")
    if report.too_few_photos:
        console.print(f"Too few usable photos to be enrolled and probed: {len(report.too_few_photos)} people.")
    console.print(report.advice["text"])


def percent(found: Rate) -> str:
    """A rate with its interval and counts."""
    if found.rate is None or found.interval is None:
        return "no trials"
    low, high = found.interval
    return f"{found.rate:.2%} ({low:.2%} to {high:.2%}; {found.count} of {found.of})"


def _encoded(options: Options, engine: engines.Engine, console: Console) -> tuple[Folder, Folder | None]:
    folders = [options.folder, *([options.strangers] if options.strangers else [])]
    total = sum(len(paths) for folder in folders for paths in photos_in(folder).values())
    with progress("Encoding photos", total, console) as advance:
        done = [encode(engine, f, threads=os.cpu_count() or 1, on_photo=advance) for f in folders]
    return done[0], done[1] if options.strangers else None


def _shuffled(people: list[Person], seed: int) -> list[Person]:
    """Each person's photos in an order of the seed's, so that no rotation follows the files' names."""
    random = np.random.default_rng(seed)
    return [Person(p.name, p.encodings[random.permutation(len(p.encodings))]) for p in people]


def _failed(folders: list[Folder]) -> Rate:
    failed = np.asarray([bad for f in folders for bad in [True] * f.refused.total() + [False] * _good(f)])
    return evaluation.rate(failed, np.arange(len(failed)))


def _good(folder: Folder) -> int:
    return folder.photos - folder.refused.total()


def _advice(found: evaluation.Trials, options: Options) -> dict[str, Any]:
    gallery = options.wanted_gallery or found.gallery
    distance = evaluation.distance_for(found, options.wanted_fpir, gallery)
    grows = "FPIR grows with the gallery: ten times the people, about ten times the strangers who are given a name."
    if distance is None:
        text = (
            f"{len(found.impostors)} comparisons with strangers are too few to say which distance keeps FPIR at "
            f"{options.wanted_fpir:.2%} among {gallery} people; give more photos with --strangers."
        )
    else:
        fnir = evaluation.at(found, distance).fnir
        text = (
            f"For FPIR {options.wanted_fpir:.2%} among {gallery} people set TH_ACCEPT to {distance:.2f} "
            f"(FNIR {percent(fnir)})."
        )
    return {
        "fpir": options.wanted_fpir,
        "gallery": gallery,
        "distance": distance,
        "text": f"{text} {grows}",
    }
