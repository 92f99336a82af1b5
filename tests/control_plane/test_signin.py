"""Signing in, in a real browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from control_plane.store import users
from control_plane.store.db import Database, utcnow
from control_plane.store.keys import Role

pytestmark = pytest.mark.browser

GOOD = "correct horse battery"


@pytest.fixture(scope="module")
def server(fresh: Callable[[Path], Database], running: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("signin")
    with running(fresh(folder), folder) as server:
        server.user("Ann", Role.OPERATOR)
        yield server


def sign_in(page: Page, name: str, password: str) -> None:
    """By the keyboard alone."""
    expect(page.get_by_label("Name")).to_be_focused()
    page.keyboard.type(name)
    page.keyboard.press("Tab")
    page.keyboard.type(password)
    page.keyboard.press("Enter")


def test_whoever_is_not_signed_in_signs_in_and_goes_on_where_they_were(server: Any, page: Page) -> None:
    page.goto(f"{server.url}/?camera=door#events")
    page.wait_for_url("**/dashboard/signin.html?next=*")
    sign_in(page, "Ann", GOOD)
    page.wait_for_url(f"{server.url}/?camera=door#events")
    expect(page.locator("#connection")).to_have_text("Connected")
    assert page.evaluate("document.cookie") == ""
    page.goto(f"{server.url}/dashboard/signin.html")
    page.wait_for_url(f"{server.url}/")


def test_a_wrong_password_is_told_and_nothing_is_in_the_address(server: Any, page: Page) -> None:
    page.goto(f"{server.url}/dashboard/signin.html")
    sign_in(page, "Ann", "wrong horse battery")
    expect(page.get_by_role("alert")).to_have_text("The name or the password is wrong.")
    expect(page.get_by_label("Password")).to_be_focused()
    assert page.url == f"{server.url}/dashboard/signin.html"
    page.keyboard.type(GOOD)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{server.url}/")


ELSEWHERE = (
    "https://evil.example/",
    "//evil.example/",
    "/\\evil.example",
    "javascript:alert(1)",
    "/.//evil.example",
    "http://[",
)


def test_nobody_is_led_elsewhere_after_signing_in(server: Any, page: Page) -> None:
    page.goto(f"{server.url}/dashboard/signin.html")
    sign_in(page, "Ann", GOOD)
    page.wait_for_url(f"{server.url}/")
    for wanted in ELSEWHERE:
        page.goto(f"{server.url}/dashboard/signin.html?{urlencode({'next': wanted})}")
        page.wait_for_url(lambda url: "signin" not in url)
        assert page.url.startswith(f"{server.url}/"), wanted


def test_an_open_page_of_whoever_is_shut_out_leaves_for_the_sign_in(server: Any, page: Page) -> None:
    user_id = server.user("Short")
    page.goto(server.url)
    sign_in(page, "Short", GOOD)
    expect(page.locator("#connection")).to_have_text("Connected")
    with server.database.write() as connection:
        users.disable(connection, user_id, utcnow())
    page.wait_for_url("**/dashboard/signin.html?next=*")


SIGN_IN = """(told) => fetch("/v1/session", {
  method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(told),
}).then((response) => response.status)"""
CHANGE = """() => import("/dashboard/session.js")
  .then(({ authorized }) => authorized("/v1/tickets", {method: "POST"}))
  .then((response) => response.status)"""


def test_a_page_goes_on_when_another_tab_has_signed_in_anew_and_signs_out(server: Any, page: Page) -> None:
    page.goto(server.url)
    sign_in(page, "Ann", GOOD)
    expect(page.locator("#connection")).to_have_text("Connected")
    assert page.evaluate(SIGN_IN, {"name": "Ann", "password": GOOD}) == 201
    assert page.evaluate(CHANGE) == 201
    page.evaluate("() => { import('/dashboard/session.js').then((session) => session.signOut()); }")
    page.wait_for_url("**/dashboard/signin.html")
    expect(page.get_by_label("Name")).to_be_focused()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 320)])
def test_the_page_is_for_everybody(server: Any, browser: Browser, scheme: Any, width: int) -> None:
    context = browser.new_context(viewport={"width": width, "height": 640}, color_scheme=scheme)
    page = context.new_page()
    page.goto(f"{server.url}/dashboard/signin.html")
    sign_in(page, "Ann", "wrong horse battery")
    expect(page.get_by_role("alert")).not_to_be_empty()
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    context.close()
