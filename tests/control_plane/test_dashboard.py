"""The first page in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from control_plane.store import keys
from control_plane.store.db import Database, utcnow
from control_plane.store.keys import Role
from faces import wire
from faces.events import EventKind, Status
from faces.wire import FrameHeader, Seen

pytestmark = pytest.mark.browser

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")
SCRIPT = "<script>document.title='run'</script>"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip("Chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page on which nothing may go wrong unseen."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.set_default_timeout(10_000)
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda m: wrong.append(m.text) if "Content Security Policy" in m.text else None)
    yield page
    page.close()
    assert wrong == []


@pytest.fixture
def lone(running: Any, fresh: Any, tmp_path: Path) -> Iterator[Any]:
    with running(fresh(tmp_path), tmp_path) as server:
        yield server


def opened(page: Page, server: Any) -> None:
    page.goto(server.url)
    expect(page.locator("#connection")).to_have_text("Connected")


def test_it_works_with_a_key_as_the_browsers_password(browser: Browser, lone: Any) -> None:
    with lone.database.write() as connection:
        key = keys.create(connection, Role.VIEWER, utcnow())
    context = browser.new_context(http_credentials={"username": "any", "password": key})
    page = context.new_page()
    opened(page, lone)
    context.close()
    stranger = browser.new_page()
    stranger.goto(lone.url)
    expect(stranger.locator("#connection")).not_to_have_text("Connected")
    stranger.close()


def names(page: Page) -> list[str]:
    return page.locator("#events .who").all_text_contents()


def photo(data: Path) -> bytes:
    return (data / "portraits" / "obama2.jpg").read_bytes()


def test_events_are_shown_as_they_come_newest_on_top_and_names_are_text(
    lone: Any, page: Page, event: Any, data: Path
) -> None:
    edge = lone.edge()
    edge.send(event(name="Before"))
    opened(page, lone)
    expect(page.locator("#events .who")).to_have_text(["Before"])
    edge.send(
        event(name=SCRIPT),
        event(name=None, identity_id=None, status=Status.REJECT, thumbnail=photo(data)[:60_000]),
        event(kind=EventKind.CAMERA_LOST, status=None, name=None, identity_id=None, camera="yard", thumbnail=None),
    )
    expect(page.locator("#events .who")).to_have_text(["yard", "Somebody unknown", SCRIPT, "Before"])
    assert page.locator("#events .pill").all_text_contents() == ["Camera lost", "Rejected", "Passed", "Passed"]
    assert "distance 0.25" in page.locator("#events .where").nth(2).inner_text()
    assert page.title() == "Rollcall"


def test_an_event_has_its_thumbnail(lone: Any, page: Page, event: Any, data: Path) -> None:
    small = (data / "strangers" / "Eric_Idle_0001.jpg").read_bytes()
    lone.edge().send(event(thumbnail=small))
    opened(page, lone)
    page.wait_for_function("document.querySelector('#events img')?.naturalWidth > 10")


def test_older_events_are_shown_on_request(lone: Any, page: Page, event: Any) -> None:
    lone.edge().send(*(event(name=f"N{n:02}", thumbnail=None) for n in range(50)))
    opened(page, lone)
    expect(page.locator("#events li")).to_have_count(40)
    page.click("#older")
    expect(page.locator("#events li")).to_have_count(50)
    assert names(page) == [f"N{n:02}" for n in reversed(range(50))]
    expect(page.locator("#older")).to_be_hidden()


def test_the_live_picture_is_drawn_with_boxes_over_it(lone: Any, page: Page, data: Path, wait_for: Any) -> None:
    edge = lone.edge(cameras=("door", "yard"))
    with edge.link() as link:
        opened(page, lone)
        assert page.locator("#camera option").all_text_contents() == ["door", "yard"]
        header = FrameHeader(
            camera="door",
            captured_at=datetime.now(UTC),
            width=600,
            height=400,
            faces=[Seen(box=(100, 100, 300, 300), status=Status.PASS, name="Ann", distance=0.3)],
        )

        def drawn() -> bool:
            link.send(wire.pack_frame(header, photo(data)))
            return page.locator("#notice").is_hidden()

        wait_for(drawn)
        assert page.evaluate("picture.width") > 100
        assert page.evaluate(COLOURED, "#picture") > 1000
        assert page.evaluate(COLOURED, "#overlay") > 100
        page.select_option("#camera", "yard")
        expect(page.locator("#notice")).to_have_text("Waiting for a picture.")
        assert page.evaluate(COLOURED, "#picture") == 0


COLOURED = """(id) => {
  const canvas = document.querySelector(id);
  const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  let count = 0;
  for (let i = 3; i < pixels.length; i += 4) if (pixels[i]) count++;
  return count;
}"""


def test_a_person_is_added_by_a_photo_and_a_refusal_is_told_in_words(
    server: Any, decider: Any, page: Page, tmp_path: Path
) -> None:
    (tmp_path / "good.jpg").write_bytes(b"\xff\xd8\xffface")
    (tmp_path / "bad.jpg").write_bytes(b"refuse:several_faces")
    opened(page, server)
    page.fill("#add input[name=name]", SCRIPT)
    page.set_input_files("#add input[name=image]", tmp_path / "bad.jpg")
    page.click("#add button")
    expect(page.locator("#add-outcome")).to_have_text("This will not do. Another.")
    page.set_input_files("#add input[name=image]", tmp_path / "good.jpg")
    page.click("#add button")
    expect(page.locator("#add-outcome")).to_contain_text("registered successfully")
    expect(page.locator("#people .who")).to_have_text([SCRIPT])
    page.fill("#search", "nobody")
    expect(page.locator("#people li")).to_have_count(0)
    assert page.title() == "Rollcall"


def test_after_a_lost_connection_it_goes_on_by_cursor_nothing_missing_and_nothing_twice(
    running: Any, fresh: Any, tmp_path: Path, page: Page, event: Any
) -> None:
    with running(fresh(tmp_path), tmp_path) as server:
        port = str(server.port)
        server.edge("e1").send(*(event(name=f"N{n}", thumbnail=None) for n in range(3)))
        opened(page, server)
        expect(page.locator("#events li")).to_have_count(3)
    expect(page.locator("#connection")).to_have_text("Reconnecting")
    with running(Database(f"sqlite:///{tmp_path / 'rollcall.db'}"), tmp_path, PORT=port) as server:
        server.edge("e1").send(*(event(name=f"N{n}", thumbnail=None) for n in range(3, 6)))
        expect(page.locator("#connection")).to_have_text("Connected")
        expect(page.locator("#events li")).to_have_count(6)
        server.edge("e1").send(event(name="N6", thumbnail=None))
        expect(page.locator("#events li")).to_have_count(7)
        assert names(page) == [f"N{n}" for n in reversed(range(7))]


@pytest.mark.parametrize(("width", "height"), [(390, 844), (1280, 800), (320, 600)])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_and_a_laptop(
    lone: Any, browser: Browser, event: Any, width: int, height: int, scheme: Any
) -> None:
    lone.edge().send(event(name="x" * 200), event(camera="c" * 200))
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    page = context.new_page()
    opened(page, lone)
    expect(page.locator("#events li")).to_have_count(2)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    context.close()
