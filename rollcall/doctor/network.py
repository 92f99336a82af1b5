"""Whether the control plane is in reach of an edge, takes its key, speaks its language and has its time."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec
import requests

from faces.wire import MSGPACK, WIRE
from rollcall.doctor.finding import Finding, fault, good, unknown, warning

TIMEOUT_S = 5.0
CLOCK_S, FAR_S = 5.0, 300.0
"""Clocks that differ by more give events a wrong time; by far more, certificates and validity are judged wrongly."""

SLOW_S = 1.0
SOON_DAYS = 14
DAY_S = 86400.0

ASKED = "/v1/edge/galleries"
"""What an edge asks for first, and what changes nothing."""


class Answer(NamedTuple):
    """What the control plane said to an edge. `ours`: in the wire's form. `ahead_s`: this machine's clock before its;
    None if it tells no time."""

    status: int
    ours: bool
    code: str
    detail: str
    took_s: float
    ahead_s: float | None


def control_plane(url: str, headers: Mapping[str, str]) -> Iterator[Finding]:
    """Look at the way to the control plane and at what it says to an edge that calls with these headers."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    try:
        reached(host, port)
    except OSError as error:
        yield unreachable(host, port, error)
        yield unknown("network: key", "the control plane is not in reach")
        return
    yield good("network: reach", f"{host}:{port} accepts connections")
    if parts.scheme == "https":
        certificate = tls(host, port)
        yield certificate
        if certificate.verdict == "fault":
            return
    elif host not in ("localhost", "127.0.0.1", "::1"):
        yield warning(
            "network: TLS", "the line is not encrypted", "Put a proxy with TLS before the control plane: https://."
        )
    try:
        answer = asked(url, headers)
    except requests.RequestException as error:
        told = f"the control plane does not answer ({type(error).__name__})"
        yield fault("network: answer", told, "See whether it runs, and whether a proxy stands between.")
        return
    yield from judged(answer)


def reached(host: str, port: int) -> None:
    """Connect; raises OSError."""
    socket.create_connection((host, port), TIMEOUT_S).close()


def unreachable(host: str, port: int, error: OSError) -> Finding:
    """Why it is not in reach."""
    if isinstance(error, socket.gaierror):
        return fault("network: reach", f"there is no host {host}", "Check CONTROL_PLANE_URL, and the machine's DNS.")
    if isinstance(error, ConnectionRefusedError):
        return fault(
            "network: reach", f"nothing listens at {host}:{port}", "Start the control plane, or correct the port."
        )
    if isinstance(error, TimeoutError):
        return fault("network: reach", f"{host}:{port} does not answer", "Check cable, Wi-Fi, and firewalls between.")
    return fault("network: reach", f"{host}:{port}: {error.strerror}", "Check this machine's network.")


def tls(host: str, port: int) -> Finding:
    """Whether its certificate is one that this machine trusts, and for how long."""
    try:
        with (
            socket.create_connection((host, port), TIMEOUT_S) as line,
            ssl.create_default_context().wrap_socket(line, server_hostname=host) as secured,
        ):
            until = ssl.cert_time_to_seconds(str((secured.getpeercert() or {})["notAfter"]))
    except ssl.SSLCertVerificationError as error:
        remedy = "Renew it, or have this machine trust its issuer (REQUESTS_CA_BUNDLE, SSL_CERT_FILE); check the clock."
        return fault("network: TLS", f"the certificate is not trusted: {error.verify_message}", remedy)
    except OSError as error:
        return fault("network: TLS", f"no TLS: {error}", "Is it http:// instead of https://?")
    return certificate((until - time.time()) / DAY_S)


def certificate(days: float, name: str = "network: TLS") -> Finding:
    """For how many days it is good still; less than none: it has expired."""
    told = f"the certificate is good for {days:.0f} days"
    if days < 0:
        return fault(name, f"the certificate expired {-days:.0f} days ago", "Renew it.", days=days)
    if days < SOON_DAYS:
        return warning(name, told, "Renew it.", days=days)
    return good(name, told, days=days)


def asked(url: str, headers: Mapping[str, str]) -> Answer:
    """Ask as an edge does; raises requests.RequestException."""
    began = time.monotonic()
    response = requests.get(url + ASKED, headers=dict(headers), timeout=TIMEOUT_S, allow_redirects=False)
    took_s = time.monotonic() - began
    try:
        problem = msgspec.json.decode(response.content, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError):
        problem = {}
    return Answer(
        response.status_code,
        response.headers.get("Content-Type") == MSGPACK,
        str(problem.get("code", "")),
        str(problem.get("detail") or problem.get("title") or ""),
        took_s,
        _ahead_s(response.headers.get("Date", ""), took_s),
    )


def _ahead_s(date: str, took_s: float) -> float | None:
    """The Date of an answer is cut to the second: on average half of one is missing."""
    try:
        told = parsedate_to_datetime(date).timestamp() + 0.5
    except ValueError:
        return None
    return time.time() - took_s / 2 - told


def judged(answer: Answer) -> Iterator[Finding]:
    """What an answer amounts to."""
    yield from _understood(answer)
    if answer.took_s > SLOW_S:
        yield warning("network: speed", f"an answer takes {answer.took_s:.1f} s", "Events come late: see to the line.")
    if answer.ahead_s is not None:
        yield _clock(answer.ahead_s)


def _understood(answer: Answer) -> Iterator[Finding]:
    if answer.code == "wire_version":
        yield fault(
            "network: version", answer.detail, "Have edge and control plane be of versions that follow closely."
        )
    elif answer.status == 401:
        told = answer.detail or "the control plane refuses the key"
        yield fault("network: key", told, "Join again (rollcall edge join), or correct EDGE_KEY.")
    elif answer.status == 403:
        yield fault("network: key", answer.detail, "Give this edge a key of its own: rollcall edge token, then join.")
    elif (answer.status == 200 and answer.ours) or answer.code == "not_found":
        # Not found is the edge itself, where it has not introduced itself yet.
        yield good("network: version", f"both speak version {WIRE} of the wire", took_s=answer.took_s)
        yield good("network: key", "the control plane lets this edge in")
    else:
        remedy = "Is CONTROL_PLANE_URL that of a control plane, and does no other page answer in its place?"
        yield fault("network: answer", f"it answers {answer.status} {answer.detail}".strip(), remedy)


def _clock(ahead_s: float) -> Finding:
    told = f"this machine's clock is {abs(ahead_s):.0f} s {'ahead of' if ahead_s > 0 else 'behind'} the control plane's"
    if abs(ahead_s) > FAR_S:
        return fault("network: clock", told, "Have both take the time from the net (NTP).", ahead_s=ahead_s)
    if abs(ahead_s) > CLOCK_S:
        return warning("network: clock", told, "Have both take the time from the net (NTP).", ahead_s=ahead_s)
    return good("network: clock", "this machine and the control plane agree on the time", ahead_s=ahead_s)
