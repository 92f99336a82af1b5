"""What an operator does on a day, in a browser, on real faces: enrol, watch, find, correct, lose the line, erase."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

OBAMA = "Barack Obama"
SCRIPT = "<script>document.title='run'</script>"
COLOURED = """() => {
  const canvas = document.querySelector(".overlay");
  if (!canvas?.width) return false;
  const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  let count = 0;
  for (let i = 3; i < pixels.length; i += 4) if (pixels[i]) count++;
  return count > 100;
}"""


def add(page: Page, name: str, *photos: Path) -> None:
    page.get_by_role("button", name="Add somebody").click()
    page.get_by_label("Name", exact=True).fill(name)
    page.locator("input[type=file]").set_input_files([str(photo) for photo in photos])
    page.get_by_role("dialog").get_by_role("button", name="Add", exact=True).click()


def test_1_somebody_is_enrolled_by_photos_and_is_told_what_is_wrong_with_one(
    product: Any, open_page: Any, page: Page, data: Path
) -> None:
    open_page(page, product, "people")
    portraits = data / "portraits"
    add(page, OBAMA, portraits / "obama.jpg", portraits / "two_people.jpg")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("Enrolled", exact=True)).to_be_visible()
    expect(dialog.get_by_text("Refused", exact=True)).to_be_visible()
    expect(dialog.get_by_text("Send a photo of this person alone", exact=False)).to_be_visible()
    dialog.get_by_role("button", name=f"Go on to {OBAMA}").click()
    expect(page.get_by_role("heading", name=OBAMA)).to_be_visible()
    expect(page.locator(".photo-grid figure")).to_have_count(1)
    expect(page.locator(".photo-grid figcaption")).to_contain_text("face of")
    page.locator("input[type=file]").set_input_files(portraits / "obama2.jpg")
    expect(page.locator(".photo-grid figure")).to_have_count(2)


def test_2_a_name_of_markup_is_text_and_a_webcam_without_a_face_is_refused(
    product: Any, open_page: Any, page: Page, data: Path
) -> None:
    open_page(page, product, "people")
    add(page, SCRIPT, data / "portraits" / "lin-manuel-miranda.png")
    expect(page.locator("h1")).to_have_text(SCRIPT)
    page.get_by_role("button", name="Take with the webcam").click()
    page.get_by_role("button", name="Take", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Close").click()
    expect(page.locator(".photo-words")).to_contain_text("Refused Webcam 1")
    expect(page.locator(".photo-words")).to_contain_text("face")
    assert page.title() == f"{SCRIPT} · Rollcall"


def test_3_the_camera_shows_who_passes_and_the_event_comes_by_itself(
    product: Any, open_page: Any, page: Page, data: Path
) -> None:
    open_page(page, product, "live")
    expect(page.get_by_text("No camera yet")).to_be_visible()
    product.watch(data / "video" / "stage.mp4")
    expect(page.locator(".tile .pill", has_text="Up")).to_be_visible()
    page.wait_for_function(COLOURED)
    expect(page.locator(".event .who", has_text=OBAMA).first).to_be_visible()
    expect(page.locator(".event .who", has_text=SCRIPT).first).to_be_visible()
    expect(page.locator(".tile-line .figure")).to_contain_text("frames/s")
    expect(page.locator(".latest .who, .latest-open")).to_be_visible()


def test_4_frames_are_sent_only_while_a_picture_is_open(product: Any, open_page: Any, page: Page, until: Any) -> None:
    frames: list[int] = []
    page.on(
        "websocket",
        lambda socket: socket.on("framereceived", lambda m: frames.append(1) if isinstance(m, bytes) else None),
    )
    open_page(page, product, "live")
    page.wait_for_function(COLOURED)
    page.get_by_role("button", name="stage").click()
    expect(page.locator(".stage")).to_have_count(0)

    def quiet() -> bool:
        """Whether those that were under way have come, as none does for a while."""
        before = len(frames)
        page.wait_for_timeout(500)
        return len(frames) == before

    until(quiet)
    before = len(frames)
    events = page.locator(".event").count()
    page.wait_for_function(f"() => document.querySelectorAll('.event').length > {events}")
    assert before > 0
    assert len(frames) == before


def test_5_an_event_is_found_and_corrected_and_the_correction_is_taken_back(
    product: Any, open_page: Any, page: Page
) -> None:
    open_page(page, product, "events")
    page.get_by_role("button", name="Person Anybody").click()
    page.get_by_role("dialog").get_by_role("button", name=OBAMA).click()
    expect(page.locator(".event .who").first).to_have_text(OBAMA)
    assert set(page.locator(".event .who").all_text_contents()) == {OBAMA}
    page.locator(".event .who").first.click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("near enough", exact=False).first).to_be_visible()
    dialog.get_by_role("button", name=f"This was not {OBAMA}").click()
    expect(page.locator(".toast")).to_be_visible()
    person = product.get("/v1/identities", name=OBAMA)["items"][0]["id"]
    told = page.locator(".toast p").inner_text()
    if told.startswith("Noted"):
        page.get_by_role("button", name="Undo").click()
        expect(page.locator(".toast", has_text="taken back")).to_be_visible()
    else:
        assert "enrol" in told.lower()
    assert product.get(f"/v1/identities/{person}/corrections")["items"] == []


def test_6_when_the_control_plane_is_killed_the_feed_goes_on_nothing_missing_and_nothing_twice(
    product: Any, open_page: Any, page: Page
) -> None:
    open_page(page, product, "events")
    page.locator(".event").first.wait_for()
    before = page.locator(".event").count()
    product.kill_control_plane()
    expect(page.locator("#connection")).to_have_text("Reconnecting")
    product.revive()
    expect(page.locator("#connection")).to_have_text("Connected")
    page.wait_for_function(f"() => document.querySelectorAll('.event').length > {before + 2}")
    shown = page.locator(".event").evaluate_all("rows => rows.map((row) => Number(row.dataset.position))")
    assert shown == list(range(shown[0], shown[0] - len(shown), -1))


def test_7_somebody_is_erased_and_the_edge_confirms_it(product: Any, open_page: Any, page: Page) -> None:
    open_page(page, product, "people")
    page.get_by_role("link", name=OBAMA).click()
    page.get_by_role("button", name="Erase").click()
    page.get_by_role("dialog").get_by_role("button", name="Erase").click()
    expect(page.get_by_role("heading", name="Erased", exact=True)).to_be_visible()
    expect(page.get_by_text("Gone everywhere")).to_be_visible()
    expect(page.locator(".line", has_text="Confirmed")).to_have_count(1)
    page.get_by_role("link", name="People").click()
    expect(page.locator(".person .who")).to_have_text([SCRIPT])
