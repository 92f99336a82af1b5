from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from uuid import UUID

import pytest

from edge.plane import headers
from rollcall.doctor import network
from rollcall.doctor.finding import Verdict
from rollcall.doctor.network import Answer, certificate, control_plane, judged, tls
from rollcall.supervisor import Supervisor
from rollcall.up import Place, free_port, start_centre
from tests import services
from tests.certificates import issue

EDGE = headers(UUID(int=7))


def answer(
    status: int = 200, code: str = "", *, ours: bool = True, took_s: float = 0.01, ahead_s: float = 0.0
) -> Answer:
    return Answer(status, ours, code, "because", took_s, ahead_s)


@pytest.mark.parametrize(
    ("said", "name", "verdict"),
    [
        (answer(), "network: key", Verdict.GOOD),
        (answer(404, "not_found", ours=False), "network: key", Verdict.GOOD),
        (answer(404, ours=False), "network: answer", Verdict.FAULT),
        (answer(426, "wire_version"), "network: version", Verdict.FAULT),
        (answer(401, "unauthenticated"), "network: key", Verdict.FAULT),
        (answer(403, "forbidden"), "network: key", Verdict.FAULT),
        (answer(503, "unavailable"), "network: answer", Verdict.FAULT),
        (answer(200, ours=False), "network: answer", Verdict.FAULT),
        (answer(302, ours=False), "network: answer", Verdict.FAULT),
        (answer(took_s=3.0), "network: speed", Verdict.WARNING),
        (answer(ahead_s=-2.0), "network: clock", Verdict.GOOD),
        (answer(ahead_s=-60.0), "network: clock", Verdict.WARNING),
        (answer(ahead_s=4000.0), "network: clock", Verdict.FAULT),
    ],
)
def test_an_answer_is_judged(said: Answer, name: str, verdict: Verdict) -> None:
    found = {finding.name: finding for finding in judged(said)}
    assert found[name].verdict is verdict
    assert verdict is Verdict.GOOD or found[name].remedy


def test_a_real_control_plane_lets_an_edge_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "SLOW_S", 60.0)
    place = Place(data=tmp_path, port=free_port(), stream_port=0)
    with services.environment(), Supervisor(logs=tmp_path / "logs") as supervisor:
        start_centre(supervisor, place)
        found = {finding.name: finding for finding in control_plane(place.url, EDGE)}
    assert {finding.verdict for finding in found.values()} == {Verdict.GOOD}
    assert found.keys() == {"network: reach", "network: version", "network: key", "network: clock"}
    (gone, unknown) = control_plane(place.url, EDGE)
    assert (gone.verdict, unknown.verdict) == (Verdict.FAULT, Verdict.UNKNOWN)


def test_a_host_that_is_not_there_is_told_of() -> None:
    found = next(iter(control_plane("http://no-such-host.invalid", EDGE)))
    assert "no host no-such-host.invalid" in found.told


def test_another_page_in_its_place_is_a_fault() -> None:
    class Portal(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<p>Please accept our terms")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Portal)
    serving = threading.Thread(target=server.serve_forever, args=(0.01,))
    serving.start()
    found = list(control_plane(f"http://127.0.0.1:{server.server_port}", EDGE))
    server.shutdown()
    serving.join()
    server.server_close()
    assert [finding.name for finding in found if finding.verdict is Verdict.FAULT] == ["network: answer"]


@pytest.fixture
def self_signed(tmp_path: Path) -> Iterator[int]:
    """The port of a TLS server that nobody vouches for."""
    cert, key, _ = issue(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        near, _ = listening.accept()
        with near, suppress(OSError):
            context.wrap_socket(near, server_side=True).close()

    serving = threading.Thread(target=serve)
    serving.start()
    yield listening.getsockname()[1]
    serving.join()
    listening.close()


def test_a_certificate_that_nobody_vouches_for_is_a_fault(self_signed: int) -> None:
    found = tls("127.0.0.1", self_signed)
    assert found.verdict is Verdict.FAULT
    assert "not trusted" in found.told


def test_a_certificate_that_ends_soon_is_told_of() -> None:
    told = [certificate(days).verdict for days in (-1, 9, 90)]
    assert told == [Verdict.FAULT, Verdict.WARNING, Verdict.GOOD]
