"""The control plane, as an edge asks it over HTTP."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TypeVar
from uuid import UUID, uuid4

import msgspec
import requests

from edge.credential import NONE, Credential
from edge.kept import keep
from edge.repeat import Busy
from edge.spool import Spooled
from faces import wire
from faces.errors import Compacted, Invalid, RollcallError
from faces.gallery import Row
from faces.logs import REQUEST_ID
from faces.wire import (
    CameraOrder,
    EventBatch,
    Followed,
    Hello,
    Joined,
    OrderOutcome,
    Page,
    Position,
    Report,
    Verdicts,
    Welcome,
)

TIMEOUT_S = (3.05, 10.0)
"""To connect, and between two bytes of an answer."""

ZIP_LEVEL = 1
"""Thumbnails do not shrink, and the rest does at any level: the quickest."""

LONGEST_WAIT_S = 3600.0
"""Retry-After is obeyed up to this."""

T = TypeVar("T")


class OutOfReach(RollcallError):
    """There is no answer from the control plane."""

    code = "out_of_reach"


class Unanswered(RollcallError):
    """The control plane answered, but not with what was asked for. `status` is that of HTTP."""

    code = "unanswered"

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def edge_id(path: Path) -> UUID:
    """This edge's id: made once, and kept in a file."""
    try:
        return UUID(path.read_text().strip())
    except FileNotFoundError:
        made = uuid4()
        keep(path, f"{made}\n".encode())
        return made
    except ValueError as error:
        raise Invalid(f"{path} does not hold a UUID", remedy="Remove it to make this a new edge.") from error


def joined(url: str, edge: UUID, token: str) -> Joined:
    """Join by a token; raises as `ControlPlane` does."""
    plane = ControlPlane(url, edge, Credential(token))
    try:
        return plane.join()
    finally:
        plane.close()


def headers(edge: UUID, key: str | None = None) -> dict[str, str]:
    """What every request of an edge says of it, with its access key if it has one."""
    told = {wire.EDGE_HEADER: str(edge), wire.WIRE_HEADER: str(wire.WIRE)}
    return told | ({"Authorization": f"Bearer {key}"} if key else {})


class ControlPlane:
    """The control plane's answers as values. For one thread. Raises OutOfReach where there is no answer, Compacted for
    410, Busy where it says when to come back, Unanswered for any other refusal, Invalid for an answer that is not of
    the wire.

    Each request bears an id, which the control plane takes over; what the thread logs from then on bears it, too."""

    def __init__(self, url: str, edge: UUID, credential: Credential = NONE) -> None:
        self._url = url
        self._edge = edge
        self._credential = credential
        self._session = requests.Session()

    def close(self) -> None:
        self._session.close()

    def join(self) -> Joined:
        """Join by the token that the credential is."""
        return self._value("POST", "/v1/edge/join", Joined)

    def renewed(self) -> Joined:
        """Another credential; the one in use counts until the new one is used."""
        return self._value("POST", "/v1/edge/credential", Joined)

    def hello(self, hello: Hello) -> Welcome:
        return self._value("PUT", f"/v1/edges/{self._edge}", Welcome, hello)

    def followed(self) -> list[Followed]:
        return self._value("GET", "/v1/edge/galleries", list[Followed])

    def changes(self, gallery: str, after: int) -> Page:
        return self._value("GET", f"/v1/galleries/{gallery}/changes?after={after}", Page)

    @contextmanager
    def snapshot(self, gallery: str) -> Iterator[tuple[Position, Iterator[Row]]]:
        """A whole gallery at one revision: its rows are read as they are consumed, and raise Invalid if it is cut
        short."""
        with _reaching(), self._ask("GET", f"/v1/galleries/{gallery}/snapshot") as response:
            head, rows = wire.read_snapshot(response.iter_content(1 << 16))
            if head.gallery != gallery:
                raise Invalid(f"a snapshot of gallery {head.gallery} instead of {gallery}")
            yield head.position, rows

    def report(self, gallery: str, report: Report) -> None:
        self._done("PUT", f"/v1/edge/galleries/{gallery}", report)

    def erased(self, identity_ids: Iterable[str]) -> set[str]:
        """Those of these people who were erased."""
        return set(self._value("POST", "/v1/edge/erased", list[str], sorted(identity_ids)))

    def orders(self) -> list[CameraOrder]:
        return self._value("GET", "/v1/edge/orders", list[CameraOrder])

    def finish(self, order_id: str, outcome: OrderOutcome) -> None:
        self._done("POST", f"/v1/edge/orders/{order_id}", outcome)

    def post(self, events: Sequence[Spooled], clock_offset_s: float | None = None, *, zipped: bool = False) -> Verdicts:
        """Post events; `zipped` to a control plane that reads gzip: one that tells its time."""
        batch = EventBatch([msgspec.Raw(event.body) for event in events], clock_offset_s)
        return self._value("POST", "/v1/events", Verdicts, batch, zipped=zipped)

    def _value(self, method: str, path: str, kind: type[T], body: object = None, *, zipped: bool = False) -> T:
        with _reaching(), self._ask(method, path, body, zipped=zipped) as response:
            if response.headers.get("Content-Type") != wire.MSGPACK:
                raise Invalid(f"{method} {path} is answered by something else than a control plane")
            return wire.decode(response.content, kind)

    def _done(self, method: str, path: str, body: object) -> None:
        """Send what is answered with nothing: a page is some other machine's, which says 200 to everything."""
        with _reaching(), self._ask(method, path, body) as response:
            if response.status_code != 204:
                raise Invalid(f"{method} {path} is answered by something else than a control plane")

    def _ask(self, method: str, path: str, body: object = None, *, zipped: bool = False) -> requests.Response:
        data = None if body is None else wire.encode(body)
        response = self._session.request(
            method,
            self._url + path,
            data=gzip.compress(data, ZIP_LEVEL) if data and zipped else data,
            headers=self._headers(zipped),
            timeout=TIMEOUT_S,
            allow_redirects=False,
            stream=True,
        )
        if 200 <= response.status_code < 300:
            return response
        with response:
            status = response.status_code
            if status == 410:
                raise Compacted(f"{method} {path}: those changes are no longer kept")
            said = f"{method} {path} is answered {status}{_detail(response)}"
            if status in (429, 503) and (seconds := retry_after_s(response.headers)):
                raise Busy(said, seconds)
            raise Unanswered(said, status)

    def _headers(self, zipped: bool) -> dict[str, str]:
        REQUEST_ID.set(uuid4().hex)
        told = headers(self._edge, self._credential.key) | {
            "Content-Type": wire.MSGPACK,
            wire.REQUEST_HEADER: REQUEST_ID.get(),
        }
        return told | ({"Content-Encoding": "gzip"} if zipped else {})


@contextmanager
def _reaching() -> Iterator[None]:
    """Turn every failure to reach the control plane into one. What requests says of it names the URL, and with it
    perhaps a password: only its kind is kept."""
    try:
        yield
    except requests.RequestException as error:
        raise OutOfReach(f"the control plane cannot be reached ({type(error).__name__})") from None


def retry_after_s(answer: Mapping[str, str]) -> float:
    """The seconds that an answer's Retry-After asks for (RFC 9110, 10.2.3: seconds, or a date, which is taken by the
    answer's own clock), an hour at most; 0 where it asks for nothing that can be read."""
    asked = answer.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]{1,9}", asked):
        return min(float(asked), LONGEST_WAIT_S)
    try:
        wait = parsedate_to_datetime(asked) - parsedate_to_datetime(answer.get("Date", ""))
    except (ValueError, TypeError):
        return 0.0
    return min(max(wait.total_seconds(), 0.0), LONGEST_WAIT_S)


def _detail(response: requests.Response) -> str:
    """What a problem document says, for the log."""
    if response.headers.get("Content-Type", "").partition(";")[0] != "application/problem+json":
        return ""
    try:
        problem = msgspec.json.decode(next(response.iter_content(4096), b""), type=dict[str, object])
    except msgspec.DecodeError:
        return ""
    return f" ({problem.get('code')}: {problem.get('detail') or problem.get('title')})"
