"""Every page is for everybody: no violation of WCAG's levels A and AA that axe finds, in both schemes and sizes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.control_plane.conftest import Server
from tests.dashboard.placeholder import NAMES, PAGES, filled

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

LEVELS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
CUT_OFF = "[...document.querySelectorAll('.scroll')].some((frame) => frame.scrollWidth > frame.clientWidth)"
SIZES = {"laptop": (1200, 760), "phone": (390, 844)}


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with filled(tmp_path_factory.mktemp("shown")) as server:
        yield server


def violations(page: Page) -> list[str]:
    found: dict[str, Any] = Axe().run(page, options={"runOnly": LEVELS, "resultTypes": ["violations"]}).response
    return [
        f"{v['id']}: {n['html'][:160]}: {n['failureSummary'][:200]}" for v in found["violations"] for n in v["nodes"]
    ]


def settled(page: Page, server: Server, place: str) -> None:
    page.goto(f"{server.url}/#/{place}")
    page.reload()
    expect(page.locator("#connection")).to_have_text("Connected")
    page.locator("h1").first.wait_for()
    expect(page.locator(".loading")).to_have_count(0)


VIEWS = [
    pytest.param(("light", "laptop"), id="light-laptop"),
    pytest.param(("dark", "phone"), id="dark-phone"),
    pytest.param(("dark", "laptop"), id="dark-laptop", marks=pytest.mark.soak),
    pytest.param(("light", "phone"), id="light-phone", marks=pytest.mark.soak),
]
"""Schemes differ in colours and sizes in where things stand: two of the four see every one of both."""


@pytest.fixture(params=VIEWS)
def view(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Page]:
    scheme, size = request.param
    width, height = SIZES[size]
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce"
    )
    yield context.new_page()
    context.close()


def test_no_page_and_no_dialog_violates_level_a_or_aa_and_all_fit_the_screen(shown: Server, view: Page) -> None:
    person = shown.get("/v1/identities", params={"name": NAMES[0]}).json()["items"][0]["id"]
    found = {}
    for place in (*PAGES, f"people/{person}", "nowhere"):
        if place == "nowhere":
            view.goto(f"{shown.url}/#/{place}")
            view.get_by_text("There is no such page").wait_for()
        else:
            settled(view, shown, place)
        if place == "live":
            view.get_by_role("button", name="Main door").click()
            expect(view.locator(".notice")).to_be_hidden()
        found[place] = violations(view)
        if view.evaluate("document.documentElement.scrollWidth > window.innerWidth"):
            found[place].append("it is wider than the screen")
        if view.viewport_size["width"] > 1000 and view.evaluate(CUT_OFF):  # type: ignore[index]
            found[place].append("a table on it is cut off")
    settled(view, shown, "people")
    view.get_by_role("button", name="Add somebody").click()
    view.get_by_text("Validity, consent").click()
    found["adding"] = violations(view)
    settled(view, shown, "events")
    view.locator(".event .who").first.click()
    view.get_by_role("dialog").get_by_text("Captured").wait_for()
    found["an event"] = violations(view)
    settled(view, shown, "sites")
    view.locator(".edge").first.locator(".card-head").get_by_role("button", name="Remove").click()
    view.get_by_role("dialog").get_by_text("wipe it").wait_for()
    found["removing an edge"] = violations(view)
    assert {place: wrong for place, wrong in found.items() if wrong} == {}


def test_the_keyboard_alone_opens_a_page_a_picture_and_an_event_and_comes_back(shown: Server, browser: Browser) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    settled(page, shown, "live")
    page.keyboard.press("Tab")
    expect(page.locator("#skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    page.get_by_role("button", name="Gate").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".stage")).to_have_count(1)
    page.get_by_role("link", name="Events").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Events", exact=True)).to_be_focused()
    first = page.locator(".event .who").first
    first.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(first).to_be_focused()
    page.close()


def test_the_keyboard_alone_removes_an_edge_after_it_was_asked_and_keeps_it_else(
    shown: Server, browser: Browser
) -> None:
    gone = shown.edge("edge-gone", ())
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    settled(page, shown, "sites")
    remove = page.locator(f'[data-key="remove {gone.id}"]')
    for keys, left in ((("Escape",), 1), (("Tab", "Tab", "Enter"), 0)):
        remove.focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("dialog")).to_contain_text("until its lease ends")
        for key in keys:
            page.keyboard.press(key)
        expect(page.get_by_role("dialog")).to_have_count(0)
        expect(remove).to_have_count(left)
        assert shown.get(f"/v1/edges/{gone.id}").status_code == (200 if left else 404)
    page.close()


def test_the_scheme_is_switched_and_stays(shown: Server, browser: Browser, tmp_path: Path) -> None:
    context = browser.new_context(color_scheme="light")
    page = context.new_page()
    settled(page, shown, "events")
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.get_by_role("button", name="Colours: as the system").click()
    page.get_by_role("button", name="Colours: light").click()
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert light != dark
    page.reload()
    page.get_by_role("button", name="Colours: dark").wait_for()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == dark
    context.close()
