"""`rollcall edge funnel`: what became of the faces before each camera, and what most are lost by."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import requests
from rich.console import Console
from rich.table import Table
from rich.text import Text

from faces.errors import RollcallError
from rollcall.access import credentials

REMEDIES = {
    "too_small": "people pass too far away: bring the camera nearer, zoom in, or raise its resolution",
    "too_blurred": "pictures are not sharp: clean and focus the lens, give more light or a shorter exposure",
    "turned": "faces are turned away: hang the camera at eye level, where people walk towards it",
    "not_clear": "a second look finds no face: something else looks like one, or it is covered or too dark",
    "too_brief": "faces are in sight too briefly: widen the view, or raise max_fps; also false finds end here",
    "no_candidate": "nobody enrolled is like them: they are strangers",
    "not_near": "somebody enrolled is like them, but not enough: enrol more photos of them, taken by this camera",
    "margin": "two enrolled people are about equally like them: enrol more photos of both, or merge the two",
    "lease_expired": "no sync for too long: let the edge reach the control plane",
}


class NotShown(RollcallError):
    """The product is not to be reached, or refuses."""

    code = "not_shown"


def run(url: str, console: Console, edge: str | None = None) -> None:
    """Show the funnel of every camera, or of those of the edge of this name or id; raises NotShown."""
    table = Table("edge", "camera", "faces followed", "recognised", "most are lost by")
    advice: dict[str, None] = {}
    for found in _edges(url):
        if edge is not None and edge not in (found["id"], found["name"]):
            continue
        for camera in found["cameras"]:
            lost = dominant(camera["funnel"])
            table.add_row(Text(found["name"]), Text(camera["name"]), *_figures(camera["funnel"]), _shown(lost))
            advice |= {lost[0]: None} if lost else {}
    if not table.row_count:
        raise NotShown("there is no such camera", remedy="GET /v1/edges lists edges and their cameras.")
    console.print(table)
    for reason in advice:
        console.print(f"{reason}: {REMEDIES[reason]}", markup=False)


def dominant(funnel: dict[str, int] | None) -> tuple[str, int] | None:
    """The reason that most faces are lost by, and how many; None if none is."""
    losses = {reason: count for reason, count in (funnel or {}).items() if reason in REMEDIES and count}
    return max(losses.items(), key=lambda loss: loss[1], default=None)


def _figures(funnel: dict[str, int] | None) -> tuple[str, str]:
    if funnel is None:
        return "not told", ""
    return str(sum(funnel.values())), str(funnel["recognised"])


def _shown(lost: tuple[str, int] | None) -> str:
    return f"{lost[0]} ({lost[1]})" if lost else ""


def _edges(url: str) -> Iterator[dict[str, Any]]:
    after: str | None = ""
    while after is not None:
        try:
            answer = requests.get(
                f"{url}/v1/edges", params={"after": after, "limit": "100"}, headers=credentials(), timeout=30
            )
            found: dict[str, Any] = answer.json()
        except requests.RequestException as error:
            remedy = "Start it with rollcall up, or name its address with --url."
            raise NotShown(f"Rollcall does not answer at {url}", remedy=remedy) from error
        if answer.status_code != 200:
            raise NotShown(found.get("detail") or found.get("title", ""), remedy=found.get("remedy", ""))
        yield from found["items"]
        after = found["next"]
