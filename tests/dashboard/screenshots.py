"""Makes the screenshots in docs: `python -m tests.dashboard.screenshots docs/dashboard`. Nobody real is on them."""

from __future__ import annotations

import argparse
import io
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.control_plane.conftest import Server
from tests.dashboard.conftest import CHROMIUM, FLAGS
from tests.dashboard.placeholder import NAMES, PAGES, filled

SIZE = {"width": 1200, "height": 760}
COLOURS = 128


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--phone", action="store_true", help="as a phone shows them")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    size = {"width": 390, "height": 844} if arguments.phone else SIZE
    with tempfile.TemporaryDirectory() as folder, filled(Path(folder)) as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        for scheme in ("light", "dark"):
            _take(browser, server, scheme, size, arguments.folder)
        browser.close()


def _take(browser: Browser, server: Server, scheme: str, size: dict[str, int], folder: Path) -> None:
    context = browser.new_context(viewport=size, color_scheme=scheme, locale="en-GB")  # type: ignore[arg-type]
    page = context.new_page()
    person = server.get("/v1/identities", params={"name": NAMES[0]}).json()["items"][0]["id"]
    site = next(s["id"] for s in server.get("/v1/sites").json()["items"] if s["name"] == "Harbour")
    places = {name: name for name in PAGES} | {"person": f"people/{person}", "attendance": f"attendance?site={site}"}
    for name, place in places.items():
        page.goto(f"{server.url}/#/{place}")
        page.reload()
        expect(page.locator("#connection")).to_have_text("Connected")
        page.locator("h1").first.wait_for()
        expect(page.locator(".loading")).to_have_count(0)
        if name == "live":
            page.get_by_role("button", name="Main door").click()
            expect(page.locator(".notice")).to_be_hidden()
        page.wait_for_function(
            "() => [...document.images].every((image) => image.complete || image.loading === 'lazy')"
        )
        _save(page, folder / f"{name}-{scheme}.png")
    context.close()


def _save(page: Page, path: Path) -> None:
    picture = Image.open(io.BytesIO(page.screenshot(animations="disabled")))
    picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    main()
