"""The page of strangers who came again, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.control_plane.api.test_unknowns import Scene, stranger

pytestmark = pytest.mark.browser


@pytest.fixture
def scene(running: Any, fresh: Any, tmp_path: Path, event: Any, decider_type: Any) -> Iterator[Scene]:
    """Somebody who came three times, and somebody who came once."""
    with running(fresh(tmp_path), tmp_path) as server:
        scene = Scene(server, event)
        scene.seen(stranger(1), 3)
        scene.seen(stranger(2), 1)
        scene.group()
        decider = decider_type(server)
        yield scene
        decider.stop()


def opened(page: Page, scene: Scene) -> None:
    page.goto(f"{scene.server.url}/#/unknowns")
    expect(page.locator(".unknown")).to_have_count(1)
    expect(page.locator(".unknown h2")).to_have_text("Seen 3 times")


def test_a_stranger_who_came_again_is_looked_at_and_enrolled(page: Page, scene: Scene) -> None:
    opened(page, scene)
    page.get_by_role("button", name="Look").click()
    expect(page.locator(".unknown-looks figure")).to_have_count(3)
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Enrol").click()
    page.get_by_label("Name").fill("<u>Zoe</u>")
    page.locator("dialog").get_by_role("button", name="Enrol").click()
    expect(page.get_by_text("<u>Zoe</u>").first).to_be_visible()


def test_a_group_is_dismissed(page: Page, scene: Scene) -> None:
    opened(page, scene)
    page.get_by_role("button", name="Dismiss").click()
    page.locator("dialog").get_by_role("button", name="Dismiss").click()
    expect(page.locator(".empty-title")).to_have_text("No stranger came again")
