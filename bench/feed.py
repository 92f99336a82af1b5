"""How long it takes from the capture of the deciding frame until the event is drawn in the browser's feed.

`python -m bench.feed --json`: the all-in-one's three processes and a headless Chromium on one machine. The promise is
`feed_p95_ms` of at most 250.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import sync_playwright

from bench.machine import describe
from bench.river import DATA, register, start_camera
from rollcall.supervisor import Supervisor
from rollcall.up import Place, free_port, start_centre

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
EVENTS = 120
WITHIN_MS = 180_000
PASSES_EVERY_S = 0.4

OBSERVE = """() => {
  window.delays = [];
  const drawn = (row) => {
    if (!row.matches?.("li.event.fresh") || !row.querySelector('[data-state="pass"]')) return;
    const captured = Date.parse(row.querySelector("time").dateTime);
    requestAnimationFrame(() => window.delays.push(performance.timeOrigin + performance.now() - captured));
  };
  new MutationObserver((changes) => {
    for (const { addedNodes } of changes) addedNodes.forEach(drawn);
  }).observe(document.body, { childList: true, subtree: true });
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = {**describe(), "load": round(os.getloadavg()[0], 2), **measure(Path(folder))}
    print(json.dumps(figures, indent=2) if arguments.json else "\n".join(f"{k}: {v}" for k, v in figures.items()))


def measure(folder: Path) -> dict[str, Any]:
    with Supervisor(logs=folder / "logs") as supervisor:
        place = Place(data=folder, port=free_port(), stream_port=0)
        start_centre(supervisor, place)
        photo = (DATA / "portraits" / "biden.jpg").read_bytes()
        register(place, "Joe Biden", photo)
        start_camera(supervisor, place, photo, folder / "walk.avi", cooldown_s=PASSES_EVERY_S)
        delays = _delays(place)
    percentiles = {f"feed_p{p}_ms": round(float(np.percentile(delays, p)), 1) for p in (50, 95, 99)}
    return {"events": len(delays), **percentiles}


def _delays(place: Place) -> list[float]:
    """Milliseconds from capture to the frame that the browser drew, of each PASS."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(f"{place.url}/#/events")
        page.get_by_text("Connected").wait_for()
        page.locator(".event").first.wait_for()
        page.evaluate(OBSERVE)
        page.wait_for_function(f"() => window.delays.length >= {EVENTS}", timeout=WITHIN_MS)
        delays: list[float] = page.evaluate("window.delays")
        browser.close()
    return delays


if __name__ == "__main__":
    main()
