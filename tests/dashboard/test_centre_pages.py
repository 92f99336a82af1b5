"""The pages of what stands behind the feed, walked in a real browser on the running product: three processes, real
faces."""

from __future__ import annotations

import io
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import requests
from playwright.sync_api import Browser, Dialog, Page, expect, sync_playwright

from faces.engine import images
from rollcall.supervisor import Supervisor
from rollcall.up import Place, free_port, start_centre, start_edge
from tests import services

pytestmark = pytest.mark.browser

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")
BOUNDARY = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n"


@pytest.fixture(scope="module")
def place(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """The product on this machine, whose camera has seen somebody who is enrolled."""
    folder = tmp_path_factory.mktemp("product")
    with services.environment(), Supervisor(logs=folder / "logs") as supervisor:
        place = Place(data=folder, port=free_port(), stream_port=0)
        start_centre(supervisor, place)
        photo = (data / "portraits" / "lin-manuel-miranda.png").read_bytes()
        requests.post(f"{place.url}/register", data={"name": "Lin"}, files={"image": photo}, timeout=60)
        while requests.get(f"{place.url}/faces", timeout=10).json() != ["Lin"]:
            supervisor.check()
        film = data / "video" / "stage.mp4"
        start_edge(supervisor, place, {"VIDEO_SOURCE": str(film), "CAMERA": "stage", "VIDEO_PACE": "every_frame"})
        while not requests.get(f"{place.url}/v1/events?status=PASS", timeout=10).json()["items"]:
            supervisor.check()
        yield place


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
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(20_000)
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda m: wrong.append(m.text) if "Content Security Policy" in m.text else None)
    page.on("dialog", Dialog.dismiss)
    yield page
    page.close()
    assert wrong == []


@pytest.fixture(scope="module")
def camera() -> Iterator[str]:
    """The URL of a camera that sends motion JPEG over HTTP."""
    jpeg = images.jpeg(np.random.default_rng(1).integers(0, 255, (240, 320, 3), dtype=np.uint8))
    stopping = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            try:
                while not stopping.wait(0.1):
                    self.wfile.write(BOUNDARY % (len(jpeg), jpeg))
            except OSError:
                return

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/video.mjpg"
    stopping.set()
    server.shutdown()
    server.server_close()
    thread.join()


def opened(page: Page, place: Place, name: str) -> None:
    page.goto(f"{place.url}/#/{name}")
    expect(page.locator("#connection")).to_have_text("Connected")
    expect(page.locator("h1")).to_be_visible()


def archive(data: Path) -> bytes:
    """Three people who can be enrolled, and a file that is no picture."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        for person in ("Ashanti", "Lucy_Liu", "Steve_Nash"):
            photo = sorted((data / "people" / person).glob("*.jpg"))[0]
            made.writestr(f"{person}.jpg", photo.read_bytes())
        made.writestr("<b>nobody.jpg", b"this is no picture")
    return buffer.getvalue()


def test_an_import_is_handed_in_followed_and_taken_back(page: Page, place: Place, data: Path) -> None:
    opened(page, place, "imports")
    file = {"name": "people.zip", "mimeType": "application/zip", "buffer": archive(data)}
    page.get_by_label("ZIP archive").set_input_files([file])
    page.get_by_role("button", name="Hand in").click()
    expect(page.locator("h1")).to_contain_text("Import of")
    expect(page.locator(".page-head .pill")).to_have_text("Done")
    page.get_by_label("Which photos").select_option("refused")
    expect(page.locator(".import-photo")).to_have_count(1)
    expect(page.locator(".import-photo")).to_contain_text("<b>nobody")
    page.get_by_role("button", name="Take back").click()
    page.locator("dialog").get_by_role("button", name="Take back").click()
    expect(page.locator(".page-head .pill")).to_have_text("Taken back")
    assert requests.get(f"{place.url}/faces", timeout=10).json() == ["Lin"]


def test_a_dry_run_enrols_nobody_and_says_so(page: Page, place: Place, data: Path) -> None:
    opened(page, place, "imports")
    file = {"name": "people.zip", "mimeType": "application/zip", "buffer": archive(data)}
    page.get_by_label("ZIP archive").set_input_files([file])
    page.get_by_label("Only report what would become of each photo").check()
    page.get_by_role("button", name="Hand in").click()
    expect(page.locator(".lead")).to_have_text("Only a report: nothing was enrolled.")
    expect(page.locator(".page-head .pill")).to_have_text("Done")
    assert requests.get(f"{place.url}/faces", timeout=10).json() == ["Lin"]


def test_a_camera_is_tried_added_looked_at_and_removed(page: Page, place: Place, camera: str) -> None:
    opened(page, place, "sites")
    page.get_by_role("button", name="Add a camera").click()
    box = page.locator("dialog")
    box.get_by_label("Name").fill("gate")
    box.get_by_label("Where its picture comes from").fill("/etc/passwd")
    box.get_by_role("button", name="Test a picture").click()
    expect(box.get_by_role("alert")).to_contain_text("no camera's number or URL")
    box.get_by_label("Where its picture comes from").fill(camera)
    box.get_by_role("button", name="Test a picture").click()
    expect(box.locator("img")).to_have_js_property("naturalWidth", 320)
    box.get_by_role("button", name="Add it").click()
    expect(box).to_have_count(0)
    row = page.locator("tr", has_text="gate")
    expect(row).to_be_visible()
    row.get_by_role("button", name="Look").click()
    expect(page.locator("dialog img")).to_have_js_property("naturalWidth", 320)
    page.keyboard.press("Escape")
    page.locator("tr", has_text="gate").get_by_role("button", name="Remove").click()
    page.locator("dialog").get_by_role("button", name="Remove").click()
    expect(page.locator("dialog")).to_have_count(0)
    expect(page.locator("tr", has_text="stage")).to_be_visible()


def test_a_site_is_made_and_an_edge_invited(page: Page, place: Place) -> None:
    opened(page, place, "sites")
    page.get_by_role("button", name="New site").click()
    page.get_by_label("Name").fill("Berlin <b>Mitte</b>")
    page.get_by_label("Time zone").fill("Europe/Berlin")
    page.locator("dialog").get_by_role("button", name="Save").click()
    card = page.locator("section.card", has_text="Berlin <b>Mitte</b>")
    expect(card).to_be_visible()
    card.get_by_role("button", name="Join an edge").click()
    expect(page.locator("dialog code").first).to_contain_text(f"edge join {place.url} <<< rcj_")


def test_who_came_is_shown_as_chart_and_table(page: Page, place: Place) -> None:
    opened(page, place, "attendance")
    expect(page.locator("tbody tr")).to_contain_text("Lin")
    assert (page.locator(".stay").bounding_box() or {"width": 0})["width"] > 0
    page.get_by_label("Day").fill("2020-01-01")
    expect(page.locator(".empty-title")).to_have_text("Nobody passed on that day")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download as CSV").click()
    assert download.value.suggested_filename == "attendance-2020-01-01.csv"


def test_a_webhook_is_made_and_its_deliveries_are_shown(page: Page, place: Place) -> None:
    opened(page, place, "webhooks")
    page.get_by_role("button", name="New webhook").click()
    page.get_by_label("URL").fill("http://127.0.0.1:9/hook")
    page.get_by_role("button", name="Make it").click()
    expect(page.locator("dialog code")).to_contain_text("whsec_")
    page.get_by_role("button", name="Close").click()
    expect(page.locator("h1")).to_have_text("http://127.0.0.1:9/hook")
    page.get_by_role("button", name="Replay").click()
    page.get_by_label("Since").fill("2020-01-01T00:00")
    page.get_by_role("button", name="Deliver").click()
    delivery = page.locator(".delivery-row").first
    expect(delivery).to_contain_text("Waiting")
    delivery.get_by_role("button", name="Attempts").click()
    expect(page.locator("dialog h2")).to_have_text("Attempts")


def test_a_gallery_is_made_in_the_settings(page: Page, place: Place) -> None:
    opened(page, place, "settings")
    page.get_by_role("button", name="New gallery").click()
    page.get_by_label("Name").fill("Night shift")
    page.get_by_label("Kind").select_option("watch")
    page.locator("dialog").get_by_role("button", name="Save").click()
    expect(page.locator("tr", has_text="Night shift")).to_contain_text("watch")


def test_the_api_page_tells_every_route_and_finds_one(page: Page, place: Place) -> None:
    opened(page, place, "api")
    document = requests.get(f"{place.url}/openapi.json", timeout=10).json()
    expect(page.locator(".operation")).to_have_count(sum(len(methods) for methods in document["paths"].values()))
    page.get_by_label("Search").fill("attendance")
    expect(page.locator(".operation")).to_have_count(1)
    page.locator(".operation summary").click()
    expect(page.locator(".operation-body")).to_contain_text("day")


def test_the_audit_page_shows_what_was_done_the_newest_first(page: Page, place: Place) -> None:
    requests.post(f"{place.url}/v1/identities", json={"name": "Ann"}, timeout=10)
    opened(page, place, "audit")
    page.get_by_label("What").fill("identity.create")
    page.get_by_label("What").press("Enter")
    expect(page.locator("tbody tr").first).to_contain_text("identity: create")
    expect(page).to_have_url(f"{place.url}/#/audit?action=identity.create")
