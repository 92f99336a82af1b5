"""A headless browser, and the product: control plane, worker and edge as processes, nothing in place of anything."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from rollcall.supervisor import Supervisor
from rollcall.up import Place, free_port, start_centre, start_edge
from tests import services

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
)
WITHIN_MS = 60_000
expect.set_options(timeout=WITHIN_MS)


def until(condition: Callable[[], Any], *, within_s: float = 30.0) -> Any:
    """The condition's first true answer."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if answer := condition():
            return answer
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")


@dataclass
class Product:
    """The three processes, and what a test asks them beside what the browser shows."""

    supervisor: Supervisor
    place: Place

    def get(self, path: str, **query: Any) -> Any:
        return requests.get(self.place.url + path, params=query, timeout=20).json()

    def watch(self, film: Path, **settings: str) -> None:
        """Start the edge on a film that it plays over and over."""
        camera = {"VIDEO_SOURCE": str(film), "VIDEO_LOOP": "loop", "CAMERA": "stage", "COOLDOWN": "1", **settings}
        start_edge(self.supervisor, self.place, camera)

    def enrol(self, name: str, photo: Path) -> str:
        """Enrol somebody by the API; returns the id."""
        answer = requests.post(
            f"{self.place.url}/register",
            data={"name": name},
            files={"image": ("p.jpg", photo.read_bytes())},
            timeout=40,
        )
        assert answer.json().get("success"), answer.text
        return str(self.get("/v1/identities", name=name)["items"][0]["id"])

    def kill_control_plane(self) -> None:
        os.kill(self.supervisor.pid("control plane"), signal.SIGKILL)
        until(lambda: self.supervisor.ended("control plane"))

    def revive(self) -> None:
        self.supervisor.wait_ready(f"{self.place.url}/readyz")


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    folder = tmp_path_factory.mktemp("product")
    with services.environment(), Supervisor(logs=folder / "logs") as supervisor:
        place = Place(data=folder, port=free_port(), stream_port=free_port())
        start_centre(supervisor, place)
        yield Product(supervisor, place)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip("Chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1280, "height": 800}, permissions=["camera"])
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A page on which nothing may go wrong unseen."""
    page = context.new_page()
    page.set_default_timeout(WITHIN_MS)
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda m: wrong.append(m.text) if "Content Security Policy" in m.text else None)
    yield page
    assert wrong == []


def open_page(page: Page, product: Product, place: str) -> None:
    page.goto(f"{product.place.url}/#/{place}")
    expect(page.locator("#connection")).to_have_text("Connected")


@pytest.fixture(name="open_page", scope="session")
def open_page_fixture() -> Callable[[Page, Product, str], None]:
    return open_page


@pytest.fixture(name="until", scope="session")
def until_fixture() -> Callable[..., Any]:
    return until
