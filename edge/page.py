"""Who may see the pages that an edge serves itself."""

from __future__ import annotations

LOOPBACK = ("127.0.0.1", "localhost")


def serves(host: str, asked: str | None) -> bool:
    """Whether a request for this host (its header, with a port) is for the page that is served at `host`.

    On loopback only names of this machine are: a name of somebody else that points here would let a page of theirs see
    what the edge shows.
    """
    return host not in LOOPBACK or (asked or "").rpartition(":")[0] in LOOPBACK
