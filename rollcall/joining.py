"""An edge joins a site: what its machine does, and what the operator of the control plane does about it."""

from __future__ import annotations

import sys
from pathlib import Path

from control_plane.store import audit, joins, sites
from control_plane.store.db import Connection, utcnow
from faces.errors import Conflict, Invalid
from faces.settings import url as url_of
from faces.wire import Joined
from rollcall.access import actor, site_named

LONGEST_TOKEN = 200


def join(url: str, token: str, data: Path) -> Joined:
    """Have the edge on this data folder join by a token; raises as the edge's ControlPlane does, and Invalid."""
    # All else here is for the control plane's machine, which need not hold the edge's code.
    from edge import credential
    from edge.plane import edge_id, joined

    try:
        url = url_of("http", "https")(url)
    except ValueError as error:
        raise Invalid(f"URL {error}") from None
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = joined(url, edge_id(data / "edge-id"), token)
    credential.save(data / credential.MEMBERSHIP, url, found.key)
    return found


def token_of(given: str | None) -> str:
    """The token as given, else the first line of the standard input: an argument stands in process listings."""
    return (given if given else sys.stdin.readline(LONGEST_TOKEN)).strip()


def token_for(connection: Connection, site: str) -> str:
    """A token for a site given by id or name; raises NotFound."""
    site_id, now = site_named(connection, site), utcnow()
    text = joins.issue(connection, site_id, now)
    audit.did(connection, actor(), "site.make_join_token", now, [(site_id, None)])
    return text


def renew(connection: Connection, edge: str) -> None:
    """Have an edge, given by id or name, told to take another credential; raises NotFound and Conflict."""
    edge_id, now = edge_named(connection, edge), utcnow()
    joins.hasten(connection, edge_id, now)
    audit.did(connection, actor(), "edge.ask_renewal", now, [(edge_id, None)])


def revoke(connection: Connection, edge: str) -> None:
    """End the credentials of an edge, given by id or name; raises NotFound and Conflict."""
    edge_id, now = edge_named(connection, edge), utcnow()
    joins.end(connection, edge_id, now)
    audit.did(connection, actor(), "edge.end_credential", now, [(edge_id, None)])


def remove(connection: Connection, edge: str) -> None:
    """Remove an edge, given by id or name, for good; raises NotFound and Conflict."""
    edge_id, now = edge_named(connection, edge), utcnow()
    joins.remove(connection, edge_id, now)
    audit.did(connection, actor(), "edge.remove", now, [(edge_id, None)])


def edge_named(connection: Connection, named: str) -> str:
    """The id of an edge given by id or name; raises NotFound, and Conflict if several bear the name. An edge that has
    joined and never called since is known by its id alone."""
    found = sites.edge_listing(connection, utcnow(), limit=1_000_000)
    if any(edge.id == named for edge in found):
        return named
    named_so = [edge.id for edge in found if edge.name == named]
    if len(named_so) > 1:
        raise Conflict(f"several edges are called {named!r}", remedy=f"Give an id: {', '.join(named_so)}.")
    return named_so[0] if named_so else named
