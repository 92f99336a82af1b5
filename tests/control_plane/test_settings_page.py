"""The page of settings in a real browser: who may sign in, and the keys of programs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from playwright.sync_api import Page, expect

from control_plane.store.db import Database
from control_plane.store.keys import Role

pytestmark = pytest.mark.browser

PASSWORD = "correct horse battery"
BOB = "<i>Bob</i>"


@pytest.fixture(scope="module")
def server(fresh: Callable[[Path], Database], running: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("settings")
    with running(fresh(folder), folder) as server:
        server.user("Ann", Role.ADMIN)
        yield server


@pytest.fixture
def settings(server: Any, page: Page) -> Page:
    """The page, with Ann signed in."""
    page.goto(f"{server.url}/#/settings")
    page.get_by_label("Name").fill("Ann")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Settings")
    return page


def test_a_user_is_made_and_shut_out(settings: Page) -> None:
    settings.get_by_role("button", name="New user").click()
    box = settings.locator("dialog")
    box.get_by_label("Name").fill(BOB)
    box.get_by_label("Password").fill("another battery staple")
    box.get_by_role("button", name="Save").click()
    row = settings.locator("tr", has_text=BOB)
    expect(row).to_contain_text("viewer")
    row.get_by_role("button", name="Disable").click()
    expect(row).to_contain_text("Disabled")


def test_a_key_is_shown_once_and_revoked(server: Any, settings: Page) -> None:
    settings.get_by_role("button", name="New key").click()
    settings.get_by_label("What for").fill("Turnstile")
    settings.get_by_role("button", name="Make it").click()
    key = settings.locator("dialog code").inner_text()
    bearer = {"Authorization": f"Bearer {key}"}
    assert requests.get(f"{server.url}/v1/webhooks", headers=bearer, timeout=10).status_code == 200
    settings.get_by_role("button", name="Close").click()
    row = settings.locator("tr", has_text="Turnstile")
    expect(row).not_to_contain_text(key)
    row.get_by_role("button", name="Revoke").click()
    settings.locator("dialog").get_by_role("button", name="Revoke").click()
    expect(row).to_contain_text("Revoked")


def test_one_changes_ones_own_password(settings: Page) -> None:
    settings.get_by_label("Old password").fill(PASSWORD)
    settings.get_by_label("New password").fill("short")
    settings.get_by_role("button", name="Change it").click()
    expect(settings.locator(".outcome").last).to_have_attribute("data-state", "reject")
    settings.get_by_label("New password").fill("a longer battery staple")
    settings.get_by_role("button", name="Change it").click()
    expect(settings.locator(".outcome").last).to_have_text("It is changed. Everywhere else you are signed out.")
