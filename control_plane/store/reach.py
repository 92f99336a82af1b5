"""What a caller may know of who is bound to sites: the galleries they follow, who is in them, and what happens there.

What is out of reach is answered like what does not exist, in the same words.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import sqlalchemy as sa

from control_plane.store import enrollments, identifications, identities
from control_plane.store.identities import Identity
from control_plane.store.tables import alarms, edges, events, site_galleries, unknowns
from faces.errors import Conflict, NotFound


@dataclass(frozen=True, slots=True)
class Reach:
    """`sites` are ids; None: everything. The checks raise NotFound for what is out of reach, `whole` Conflict."""

    sites: frozenset[str] | None = None

    def galleries(self, connection: sa.Connection) -> frozenset[str] | None:
        """The galleries that the sites follow; None: all."""
        if self.sites is None:
            return None
        query = sa.select(site_galleries.c.gallery_id).where(site_galleries.c.site_id.in_(self.sites))
        return frozenset(connection.execute(query).scalars())

    def gallery(self, connection: sa.Connection, gallery_id: str) -> None:
        held = self.galleries(connection)
        if held is not None and gallery_id not in held:
            raise NotFound(f"there is no gallery {gallery_id!r}")

    def person(self, connection: sa.Connection, identity_id: str) -> None:
        """Somebody is in reach who is in one of the galleries."""
        held = self.galleries(connection)
        if held is not None:
            known = held & set(identities.member_of(connection, identities.survivor(connection, identity_id)))
            if not known:
                raise NotFound(f"there is no identity {identity_id!r}")

    def whole(self, connection: sa.Connection, identity_id: str) -> None:
        """Somebody who may be changed: in no other gallery."""
        self.person(connection, identity_id)
        held = self.galleries(connection)
        if held is not None and not held >= set(identities.member_of(connection, identity_id)):
            raise Conflict(
                "this person is known at other sites, too", remedy="A key for all those sites may change them."
            )

    def site(self, connection: sa.Connection, site_id: str) -> None:
        if self.sites is not None and site_id not in self.sites:
            raise NotFound(f"there is no site {site_id!r}")

    def edge(self, connection: sa.Connection, edge_id: str) -> None:
        if self.sites is not None and _site(connection, edges, edge_id) not in self.sites:
            raise NotFound(f"there is no edge {edge_id!r}")

    def event(self, connection: sa.Connection, event_id: str) -> None:
        if self.sites is not None and _site(connection, events, event_id) not in self.sites:
            raise NotFound(f"there is no event {event_id!r}")

    def unknown(self, connection: sa.Connection, unknown_id: str) -> None:
        if self.sites is not None and _site(connection, unknowns, unknown_id) not in self.sites:
            raise NotFound(f"there is no unknown {unknown_id!r}")

    def alarm(self, connection: sa.Connection, alarm_id: str) -> None:
        if self.sites is not None and _site(connection, alarms, alarm_id) not in self.sites:
            raise NotFound(f"there is no alarm {alarm_id!r}")

    def enrollment(self, connection: sa.Connection, enrollment_id: str) -> None:
        """One for a person in reach, or for somebody new in a gallery in reach."""
        if self.sites is None:
            return
        found = enrollments.get(connection, enrollment_id)
        try:
            if found.identity_id is None:
                self.gallery(connection, found.gallery_id)
            else:
                self.person(connection, found.identity_id)
        except NotFound:
            raise NotFound(f"there is no enrollment {enrollment_id!r}") from None

    def identification(self, connection: sa.Connection, identification_id: str) -> None:
        """One that searched galleries in reach alone."""
        held = self.galleries(connection)
        if held is not None and not held >= set(identifications.searched(connection, identification_id)):
            raise identifications.unknown(identification_id)

    def shown(self, connection: sa.Connection, person: Identity) -> Identity:
        """A person in reach, without the galleries that are not."""
        held = self.galleries(connection)
        if held is None:
            return person
        return msgspec.structs.replace(person, galleries=[g for g in person.galleries if g in held])


def _site(connection: sa.Connection, table: sa.Table, row_id: str) -> str | None:
    site_id: str | None = connection.execute(sa.select(table.c.site_id).where(table.c.id == row_id)).scalar()
    return site_id
