"""Both error rates over the distance, as an SVG picture."""

from __future__ import annotations

from html import escape
from pathlib import Path

import numpy as np

from rollcall.evaluation import Trials, at

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 720, 420, 70, 46, 24, 56
LOWEST = 1e-4
"""The vertical axis is logarithmic and ends here: a rate of 0 lies on it."""


def save(found: Trials, distance: float, title: str, path: Path) -> None:
    """Draw FPIR and FNIR from distance 0 to 1 with a line at the configured distance."""
    path.write_text(draw(found, distance, title), encoding="utf-8")


def draw(found: Trials, distance: float, title: str) -> str:
    grid = np.linspace(0, 1, 201)
    rates = [at(found, float(d)) for d in grid]
    curves = (
        ("FPIR: a stranger is named", "#c0392b", [r.fpir.rate or 0 for r in rates]),
        ("FNIR: an enrolled person is not", "#2471a3", [r.fnir.rate or 0 for r in rates]),
    )
    parts = [*_axes(title), _marker(distance)]
    for number, (name, colour, values) in enumerate(curves):
        points = " ".join(f"{_x(d):.1f},{_y(v):.1f}" for d, v in zip(grid, values, strict=True))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2.5"/>')
        parts.append(_text(LEFT + 12, HEIGHT - BOTTOM - 34 + 20 * number, name, colour=colour))
    body = "\n".join(parts)
    frame = f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {frame}>\n{body}\n</svg>\n'


def _axes(title: str) -> list[str]:
    parts = [f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>', _text(LEFT, 26, title, size=16)]
    for rate in (1, 0.1, 0.01, 0.001, LOWEST):
        parts.append(_line(LEFT, _y(rate), WIDTH - RIGHT, _y(rate)))
        parts.append(_text(LEFT - 8, _y(rate) + 4, f"{rate:.2%}".rstrip("0%").rstrip(".") + " %", anchor="end"))
    for tenth in range(0, 11, 2):
        parts.append(_line(_x(tenth / 10), TOP, _x(tenth / 10), HEIGHT - BOTTOM))
        parts.append(_text(_x(tenth / 10), HEIGHT - BOTTOM + 20, f"{tenth / 10:.1f}", anchor="middle"))
    parts.append(
        _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, "distance up to which a person passes", anchor="middle")
    )
    return parts


def _marker(distance: float) -> str:
    line = _line(_x(distance), TOP, _x(distance), HEIGHT - BOTTOM, colour="#333", dash="5 4")
    return line + _text(_x(distance) + 6, TOP + 14, f"TH_ACCEPT {distance:.2f}")


def _x(distance: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * min(distance, 1.0)


def _y(rate: float) -> float:
    share = np.log10(max(rate, LOWEST)) / np.log10(LOWEST)
    return float(TOP + (HEIGHT - TOP - BOTTOM) * share)


def _line(x1: float, y1: float, x2: float, y2: float, *, colour: str = "#ddd", dash: str = "") -> str:
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"{dashed}/>'


def _text(x: float, y: float, said: str, *, size: int = 12, anchor: str = "start", colour: str = "#333") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{colour}">{escape(said)}</text>'
    )
