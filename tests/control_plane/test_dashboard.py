"""The dashboard in a real browser, on a real control plane with edges made by hand."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from control_plane.store import alarms
from control_plane.store.alarms import AlarmKind
from control_plane.store.db import utcnow
from faces import wire
from faces.events import EventKind, Status
from faces.wire import FrameHeader, Seen
from tests.control_plane.conftest import reserved_port

pytestmark = pytest.mark.browser

SCRIPT = "<script>document.title='run'</script>"


@pytest.fixture
def lone(running: Any, fresh: Any, tmp_path: Path) -> Iterator[Any]:
    with running(fresh(tmp_path), tmp_path) as server:
        yield server


@pytest.fixture
def port() -> Iterator[str]:
    """One for a control plane that ends and comes back."""
    with reserved_port() as port:
        yield str(port)


def opened(page: Page, server: Any, place: str = "events") -> None:
    page.goto(f"{server.url}/#/{place}")
    expect(page.locator("#connection")).to_have_text("Connected")


def names(page: Page) -> list[str]:
    return page.locator(".event .who").all_text_contents()


def photo(data: Path) -> bytes:
    return (data / "portraits" / "obama2.jpg").read_bytes()


def test_events_are_shown_as_they_come_newest_on_top_and_names_are_text(
    lone: Any, page: Page, event: Any, data: Path
) -> None:
    edge = lone.edge()
    edge.send(event(name="Before"))
    opened(page, lone)
    expect(page.locator(".event .who")).to_have_text(["Before"])
    edge.send(
        event(name=SCRIPT),
        event(name=None, identity_id=None, status=Status.REJECT, thumbnail=photo(data)[:60_000]),
        event(kind=EventKind.CAMERA_LOST, status=None, name=None, identity_id=None, camera="yard", thumbnail=None),
    )
    expect(page.locator(".event .who")).to_have_text(["yard", "Somebody unknown", SCRIPT, "Before"])
    assert page.locator(".event .pill").all_text_contents() == ["Camera lost", "Rejected", "Passed", "Passed"]
    assert "distance 0.25" in page.locator(".event .where").nth(2).inner_text()
    assert page.title() == "Events · Rollcall"


def test_an_event_has_its_thumbnail(lone: Any, page: Page, event: Any, data: Path) -> None:
    small = (data / "strangers" / "Eric_Idle_0001.jpg").read_bytes()
    lone.edge().send(event(thumbnail=small))
    opened(page, lone)
    page.wait_for_function("() => document.querySelector('.event img')?.naturalWidth > 10")


def test_one_scrolls_back_to_the_first_event_and_up_again_though_few_rows_are_kept(
    lone: Any, page: Page, event: Any
) -> None:
    edge = lone.edge()
    for start in range(0, 600, 200):
        edge.send(*(event(name=f"N{n:03}", thumbnail=None) for n in range(start, start + 200)))
    opened(page, lone)
    expect(page.locator(".event .who").first).to_have_text("N599")
    first = page.locator(".event .who", has_text="N000")
    page.wait_for_function(SCROLLED_DOWN)
    expect(first).to_have_count(1)
    assert page.locator(".event").count() == 400
    assert names(page) == [f"N{n:03}" for n in reversed(range(400))]
    edge.send(event(name="Newest", thumbnail=None))
    page.evaluate("window.scrollTo(0, 0)")
    page.wait_for_function(SCROLLED_UP)
    expect(page.locator(".event .who").first).to_have_text("Newest")
    assert names(page) == ["Newest", *(f"N{n:03}" for n in reversed(range(201, 600)))]


SCROLLED_DOWN = """() => {
  window.scrollTo(0, document.documentElement.scrollHeight);
  return [...document.querySelectorAll(".event .who")].at(-1).textContent === "N000";
}"""
SCROLLED_UP = """() => {
  window.scrollTo(0, 0);
  return document.querySelector(".event .who").textContent === "Newest";
}"""


def test_filters_stay_in_the_address_and_hold_for_what_comes(lone: Any, page: Page, event: Any) -> None:
    edge = lone.edge(cameras=("door", "yard"))
    edge.send(event(name="At the door"), event(name="In the yard", camera="yard"))
    opened(page, lone)
    page.get_by_role("combobox", name="Camera").select_option(label="yard · default")
    expect(page.locator(".event .who")).to_have_text(["In the yard"])
    page.reload()
    expect(page.locator(".event .who")).to_have_text(["In the yard"])
    edge.send(event(name="Door again"), event(name="Yard again", camera="yard"))
    expect(page.locator(".event .who")).to_have_text(["Yard again", "In the yard"])
    page.get_by_role("button", name="Clear").click()
    expect(page.locator(".event")).to_have_count(4)


def test_an_alarm_stands_out_and_is_acknowledged(lone: Any, page: Page) -> None:
    with lone.database.write() as connection:
        alarms.sound(connection, AlarmKind.DENIED_PERSON, "x", SCRIPT, utcnow())
    opened(page, lone)
    expect(page.locator(".alarm .where")).to_contain_text(SCRIPT)
    expect(page.locator("#nav .count")).to_contain_text("1")
    page.get_by_role("button", name="Acknowledge").click()
    expect(page.locator(".alarm")).to_have_count(0)
    expect(page.locator("#nav .count")).to_have_count(0)


def test_the_live_picture_is_drawn_with_boxes_over_it_while_its_tile_is_open(
    lone: Any, page: Page, data: Path, wait_for: Any
) -> None:
    edge = lone.edge(cameras=("door", "yard"))
    with edge.link() as link:
        opened(page, lone, "live")
        expect(page.locator(".tile h2")).to_have_text(["door", "yard"])
        expect(page.locator(".stage")).to_have_count(0)
        page.get_by_role("button", name="door").click()
        expect(page.locator(".notice")).to_have_text("Waiting for a picture.")
        header = FrameHeader(
            camera="door",
            captured_at=datetime.now(UTC),
            width=600,
            height=400,
            faces=[Seen(box=(100, 100, 300, 300), status=Status.PASS, name="Ann", distance=0.3)],
        )

        def drawn() -> bool:
            link.send(wire.pack_frame(header, photo(data)))
            return page.locator(".notice").is_hidden()

        wait_for(drawn)
        assert page.evaluate(COLOURED, ".picture") > 1000
        assert page.evaluate(COLOURED, ".overlay") > 100
        page.get_by_role("button", name="door").click()
        expect(page.locator(".stage")).to_have_count(0)


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
    opened(page, server, "people")
    page.get_by_role("button", name="Add somebody").click()
    page.get_by_label("Name", exact=True).fill(SCRIPT)
    page.locator("input[type=file]").set_input_files(tmp_path / "bad.jpg")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator(".photo-words")).to_contain_text("This will not do. Another.")
    page.locator("input[type=file]").set_input_files(tmp_path / "good.jpg")
    expect(page.locator(".photo-words").nth(1)).to_contain_text("Enrolled")
    page.get_by_role("button", name=f"Go on to {SCRIPT}").click()
    expect(page.locator("h1")).to_have_text(SCRIPT)
    page.get_by_role("link", name="All people").click()
    expect(page.locator(".person .who")).to_have_text([SCRIPT])
    page.get_by_label("Search").fill("nobody")
    expect(page.locator(".person")).to_have_count(0)


def test_after_a_lost_connection_it_goes_on_by_cursor_nothing_missing_and_nothing_twice(
    running: Any, fresh: Any, tmp_path: Path, browser: Browser, page: Page, event: Any, port: str
) -> None:
    late = browser.new_page()
    database = fresh(tmp_path)
    with running(database, tmp_path, PORT=port) as server:
        server.edge("e1").send(*(event(name=f"N{n}", thumbnail=None) for n in range(3)))
        opened(page, server)
        expect(page.locator(".event")).to_have_count(3)
        late.route("**/v1/events?limit=40*", lambda route: route.abort())
        opened(late, server)
        expect(late.get_by_role("button", name="Try again")).to_be_visible()
        late.unroute_all()
    expect(page.locator("#connection")).to_have_text("Reconnecting")
    expect(late.locator("#connection")).to_have_text("Reconnecting")
    with running(database, tmp_path, PORT=port) as server:
        server.edge("e1").send(*(event(name=f"N{n}", thumbnail=None) for n in range(3, 6)))
        for each in (page, late):
            # After some time they try every ten seconds at the most.
            expect(each.locator("#connection")).to_have_text("Connected", timeout=30_000)
        expect(page.locator(".event")).to_have_count(6)
        server.edge("e1").send(event(name="N6", thumbnail=None))
        expect(page.locator(".event")).to_have_count(7)
        assert names(page) == [f"N{n}" for n in reversed(range(7))]
        expect(late.locator(".event")).to_have_count(7)
        assert names(late) == names(page)
    late.close()


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (320, 600)])
@pytest.mark.parametrize("place", ["live", "events", "people"])
def test_it_fits_a_phone_and_a_laptop(
    lone: Any, browser: Browser, event: Any, width: int, height: int, place: str
) -> None:
    lone.edge(cameras=("c" * 200,)).send(event(name="x" * 200), event(camera="c" * 200))
    lone.person("y" * 200)
    page = browser.new_page(viewport={"width": width, "height": height})
    opened(page, lone, place)
    page.locator(".event, .person").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.close()
