"""The all-in-one: control plane, worker and edge on this machine, with nothing but a data folder."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import SystemRandom

from faces.errors import RollcallError
from faces.settings import read_dotenv
from rollcall.supervisor import Process, Supervisor

HOST = "127.0.0.1"
ASKED_FOR = range(20_000, 32_000)
"""Ports for whoever asks for one by its number: those that systems give out themselves begin above."""


class PortTaken(RollcallError):
    """Another program listens on the port already."""

    code = "port_taken"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the all-in-one lives: its data folder and its two ports."""

    data: Path
    port: int = 5000
    stream_port: int = 3001

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def check_ports(self) -> None:
        """Raise PortTaken if somebody else listens already."""
        for name, number in (("--port", self.port), ("--stream-port", self.stream_port)):
            if number and _taken(number):
                raise PortTaken(f"port {number} is in use by another program", remedy=f"Choose another with {name}.")


def free_port() -> int:
    """A port that nobody listens on just now, and that no program is given meanwhile which asks for any free one."""
    for port in SystemRandom().sample(ASKED_FOR, len(ASKED_FOR)):
        with socket.socket() as probe, suppress(OSError):
            probe.bind((HOST, port))
            return port
    raise PortTaken("no port is free")


def start_centre(supervisor: Supervisor, place: Place) -> None:
    """Start control plane and worker; returns when requests are answered."""
    environment = {
        "DATA_DIR": str(place.data),
        "HOST": HOST,
        "PORT": str(place.port),
        "STREAM_PORT": str(place.stream_port),
        **_webhooks_here(),
    }
    supervisor.start(Process("control plane", "control_plane", environment))
    supervisor.wait_ready(f"{place.url}/readyz")
    supervisor.start(Process("worker", "jobs.worker", environment))


def start_edge(supervisor: Supervisor, place: Place, settings: Mapping[str, str], *, restart: bool = True) -> None:
    """Start the edge; `settings` are its own, by name. Where they name a camera, it is that one and no file's."""
    environment = {"DATA_DIR": str(place.data / "edge"), "CONTROL_PLANE_URL": place.url, **settings}
    if "VIDEO_SOURCE" in settings:
        environment.setdefault("EDGE_CONFIG", os.devnull)
    supervisor.start(Process("edge", "edge", environment, restart))


def _webhooks_here() -> dict[str, str]:
    """Who can reach the all-in-one is on this machine already: webhooks may go to it, too, unless told otherwise."""
    told = "WEBHOOK_ALLOW" in {**read_dotenv(Path(".env")), **os.environ}
    return {} if told else {"WEBHOOK_ALLOW": "127.0.0.1,localhost"}


def _taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((HOST, port)) == 0
