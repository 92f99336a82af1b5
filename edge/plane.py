"""The control plane, as an edge asks it over HTTP."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar
from uuid import UUID, uuid4

import msgspec
import requests

from edge.spool import Spooled
from faces import wire
from faces.errors import Compacted, Invalid, RollcallError
from faces.gallery import Row
from faces.wire import EventBatch, Followed, Hello, Page, Position, Report, Verdicts, Welcome

TIMEOUT_S = (3.05, 10.0)
"""To connect, and between two bytes of an answer."""

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
        beside = path.with_suffix(".new")
        with beside.open("w") as file:
            file.write(f"{made}\n")
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        return made
    except ValueError as error:
        raise Invalid(f"{path} does not hold a UUID", remedy="Remove it to make this a new edge.") from error


def headers(edge: UUID) -> dict[str, str]:
    """What every request of an edge says of it."""
    return {wire.EDGE_HEADER: str(edge), wire.WIRE_HEADER: str(wire.WIRE)}


class ControlPlane:
    """The control plane's answers as values. For one thread. Raises OutOfReach where there is no answer, Compacted for
    410, Unanswered for any other refusal, Invalid for an answer that is not of the wire."""

    def __init__(self, url: str, edge: UUID) -> None:
        self._url = url
        self._edge = edge
        self._session = requests.Session()
        self._session.headers.update(headers(edge))

    def close(self) -> None:
        self._session.close()

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
        with _reaching():
            self._ask("PUT", f"/v1/edge/galleries/{gallery}", report).close()

    def erased(self, identity_ids: Iterable[str]) -> set[str]:
        """Those of these people who were erased."""
        return set(self._value("POST", "/v1/edge/erased", list[str], sorted(identity_ids)))

    def post(self, events: Sequence[Spooled]) -> Verdicts:
        return self._value("POST", "/v1/events", Verdicts, EventBatch([msgspec.Raw(event.body) for event in events]))

    def _value(self, method: str, path: str, kind: type[T], body: object = None) -> T:
        with _reaching(), self._ask(method, path, body) as response:
            if response.headers.get("Content-Type") != wire.MSGPACK:
                raise Invalid(f"{method} {path} is answered by something else than a control plane")
            return wire.decode(response.content, kind)

    def _ask(self, method: str, path: str, body: object = None) -> requests.Response:
        response = self._session.request(
            method,
            self._url + path,
            data=None if body is None else wire.encode(body),
            headers={"Content-Type": wire.MSGPACK},
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
            raise Unanswered(f"{method} {path} is answered {status}{_detail(response)}", status)


@contextmanager
def _reaching() -> Iterator[None]:
    """Turn every failure to reach the control plane into one. What requests says of it names the URL, and with it
    perhaps a password: only its kind is kept."""
    try:
        yield
    except requests.RequestException as error:
        raise OutOfReach(f"the control plane cannot be reached ({type(error).__name__})") from None


def _detail(response: requests.Response) -> str:
    """What a problem document says, for the log."""
    if response.headers.get("Content-Type", "").partition(";")[0] != "application/problem+json":
        return ""
    try:
        problem = msgspec.json.decode(next(response.iter_content(4096), b""), type=dict[str, object])
    except msgspec.DecodeError:
        return ""
    return f" ({problem.get('code')}: {problem.get('detail') or problem.get('title')})"
