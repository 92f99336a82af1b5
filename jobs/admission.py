"""Admission to a gallery: whose photo it is, and whether it may be added, decided while the galleries stand still."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np

from control_plane.store import admitted, galleries, members
from control_plane.store.admitted import NewPerson, NewPhoto
from control_plane.store.db import Connection
from faces.consent import NONE, Consent, ends
from faces.encoding import Vector, distances, to_bytes
from faces.errors import NotFound, Reason, Refused
from faces.gallery import Candidate as Near
from faces.gallery import EncodingRow, Gallery, IdentityRow, Match, row_hash
from faces.quality import SAME_PERSON_DISTANCE
from jobs.copies import Copies


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidate:
    """An encoded photo put forward: for `identity_id` if given, else by external id, else by name.

    `once`: the same photo of the same person again is a duplicate, not a further photo. `entry` is what a refusal of a
    later look-alike names; empty: nothing.
    """

    gallery_id: str
    encoding: Vector
    quality: dict[str, Any]
    blob: str
    sha256: str
    identity_id: str | None = None
    name: str = ""
    external_id: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    valid_until: datetime | None = None
    consent: Consent = NONE
    force: bool = False
    once: bool = False
    entry: str = ""


@dataclass(frozen=True, slots=True)
class Accepted:
    """`identity_hash` is the person's row if this photo made the person; `joined`: it brought somebody who was known
    into the gallery."""

    identity_id: str
    name: str
    photo_id: str
    identity_hash: int | None = None
    joined: bool = False


@dataclass(frozen=True, slots=True)
class Duplicate:
    identity_id: str
    name: str
    photo_id: str
    joined: bool = False


Outcome = Accepted | Duplicate | Refused


class Owner(NamedTuple):
    """Whose an encoding is, and which entry of the archive it came from, where that is to be told."""

    identity_id: str
    name: str
    entry: str


@dataclass
class Newcomers:
    """What has been admitted, or would have been, beyond what the copies of the galleries hold.

    `joins` are (gallery, identity); `vectors` and their `owners` are by gallery.
    """

    people: list[NewPerson] = field(default_factory=list)
    joins: list[tuple[str, str]] = field(default_factory=list)
    photos: list[NewPhoto] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    called: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    external: dict[str, str] = field(default_factory=dict)
    known: dict[tuple[str, str], str] = field(default_factory=dict)
    vectors: dict[str, list[Vector]] = field(default_factory=dict)
    owners: dict[str, list[Owner]] = field(default_factory=dict)
    consents: dict[str, Consent] = field(default_factory=dict)


class Admission:
    """Admits encodings of one model. `th_accept` is the engine's, for galleries that set none. With `require_consent`
    nobody is enrolled whose consent is not on record and in force."""

    def __init__(self, copies: Copies, model: str, th_accept: float, *, require_consent: bool = False) -> None:
        self._require_consent = require_consent
        self._copies = copies
        self._model = model
        self._th_accept = th_accept

    def admit(self, connection: Connection, candidates: Sequence[Candidate], now: datetime) -> list[Outcome]:
        """Decide on each in turn, and add those accepted in the caller's transaction."""
        newcomers = Newcomers()
        outcomes = self.decide(connection, candidates, newcomers, now)
        for gallery_id, identity_id in newcomers.joins:
            members.join(connection, gallery_id, identity_id, now)
        admitted.add(connection, newcomers.people, newcomers.photos, now)
        return outcomes

    def decide(
        self, connection: Connection, candidates: Sequence[Candidate], newcomers: Newcomers, now: datetime
    ) -> list[Outcome]:
        """Decide on each in turn, as if those accepted before, and `newcomers`, were in; adds to `newcomers`.

        Nothing is written. Holds all galleries until the transaction ends.
        """
        galleries.lock_all(connection)
        found = _Found(connection, candidates)
        matches = self._matches(connection, candidates)
        ids = iter(admitted.new_ids(now, 3 * len(candidates)))
        return [
            self._decide(candidate, found, matches[index], newcomers, (next(ids), next(ids), next(ids)), now)
            for index, candidate in enumerate(candidates)
        ]

    def _matches(self, connection: Connection, candidates: Sequence[Candidate]) -> list[tuple[Gallery, Match] | None]:
        """Each candidate's gallery as it stands, and who is near there; None where the gallery is gone."""
        galleries: dict[str, Gallery] = {}
        for gallery_id in {c.gallery_id for c in candidates}:
            with suppress(NotFound):
                galleries[gallery_id] = self._copies.at(connection, gallery_id)
        by_gallery = {
            g: iter(gallery.search(np.stack([c.encoding for c in candidates if c.gallery_id == g])))
            for g, gallery in galleries.items()
        }
        return [
            (galleries[c.gallery_id], next(by_gallery[c.gallery_id])) if c.gallery_id in galleries else None
            for c in candidates
        ]

    def _decide(
        self,
        candidate: Candidate,
        found: _Found,
        near: tuple[Gallery, Match] | None,
        newcomers: Newcomers,
        ids: tuple[str, str, str],
        now: datetime,
    ) -> Outcome:
        if near is None:
            return _no_gallery()
        try:
            identity_id = found.whose(candidate, newcomers)
            if self._require_consent and not found.consent(candidate, identity_id, newcomers).in_force(now):
                raise _no_consent()
            if identity_id is not None and candidate.once:
                photo_id = found.photo(identity_id, candidate.sha256, newcomers)
                if photo_id is not None:
                    joined = found.joins(candidate, identity_id, newcomers)
                    return Duplicate(identity_id, found.name(identity_id, newcomers), photo_id, joined)
            if not candidate.force:
                self._check(candidate, identity_id, near, newcomers)
        except Refused as refusal:
            return refusal
        return self._accept(candidate, identity_id, found, newcomers, ids)

    def _accept(
        self,
        candidate: Candidate,
        identity_id: str | None,
        found: _Found,
        newcomers: Newcomers,
        ids: tuple[str, str, str],
    ) -> Accepted:
        new_person, photo_id, encoding_id = ids
        made: int | None = None
        joined = identity_id is not None and found.joins(candidate, identity_id, newcomers)
        if identity_id is None:
            identity_id = new_person
            until = ends(candidate.valid_until, candidate.consent.until)
            row = IdentityRow(identity_id, candidate.name, dict(candidate.attributes), None, until)
            newcomers.people.append(
                NewPerson(
                    row=row,
                    external_id=candidate.external_id,
                    gallery_id=candidate.gallery_id,
                    valid_until=candidate.valid_until,
                    consent=candidate.consent,
                )
            )
            newcomers.consents[identity_id] = candidate.consent
            newcomers.names[identity_id] = candidate.name
            newcomers.called.setdefault((candidate.gallery_id, candidate.name), []).append(identity_id)
            if candidate.external_id is not None:
                newcomers.external[candidate.external_id] = identity_id
            made = row_hash(row)
        encoding = EncodingRow(encoding_id, identity_id, self._model, to_bytes(candidate.encoding))
        newcomers.photos.append(
            NewPhoto(
                id=photo_id,
                blob=candidate.blob,
                sha256=candidate.sha256,
                quality=candidate.quality,
                encoding=encoding,
            )
        )
        name = found.name(identity_id, newcomers)
        newcomers.known[identity_id, candidate.sha256] = photo_id
        newcomers.vectors.setdefault(candidate.gallery_id, []).append(candidate.encoding)
        newcomers.owners.setdefault(candidate.gallery_id, []).append(Owner(identity_id, name, candidate.entry))
        return Accepted(identity_id, name, photo_id, made, joined)

    def _check(
        self, candidate: Candidate, identity_id: str | None, near: tuple[Gallery, Match], newcomers: Newcomers
    ) -> None:
        gallery, match = near
        other = match.runner_up if match.nearest and match.nearest.identity_id == identity_id else match.nearest
        own = list(gallery.nearest_distances(candidate.encoding[None, :], identity_id)) if identity_id else []
        owners, entry = newcomers.owners.get(candidate.gallery_id, []), ""
        if owners:
            vectors = np.stack(newcomers.vectors[candidate.gallery_id])
            fresh = distances(self._model, candidate.encoding[None, :], vectors)[0]
            mine = np.array([owner.identity_id == identity_id for owner in owners])
            own += list(fresh[mine])
            nearest = int(np.argmin(np.where(mine, np.inf, fresh)))
            if not mine.all() and (other is None or fresh[nearest] < other.distance):
                other = Near(owners[nearest].identity_id, owners[nearest].name, float(fresh[nearest]))
                entry = owners[nearest].entry
        th_accept = gallery.settings.th_accept if gallery.settings else None
        if other is not None and other.distance <= (self._th_accept if th_accept is None else th_accept):
            raise _look_alike(other, entry)
        if own and min(own) > SAME_PERSON_DISTANCE:
            raise _not_same_person(float(min(own)))


class _Found:
    """What the database holds of the people and photos that some candidates name, asked at once."""

    def __init__(self, connection: Connection, candidates: Sequence[Candidate]) -> None:
        self._called = {
            g: admitted.members_called(connection, g, sorted({c.name for c in candidates if c.gallery_id == g}))
            for g in {c.gallery_id for c in candidates}
        }
        self._external = admitted.by_external_id(connection, [c.external_id for c in candidates if c.external_id])
        self._members = admitted.galleries_of(connection, sorted(self._external.values()))
        self._known = admitted.known_photos(connection, [c.sha256 for c in candidates if c.once])
        ids = {i for called in self._called.values() for found in called.values() for i in found}
        ids |= {*self._external.values(), *(c.identity_id for c in candidates if c.identity_id)}
        self._names = admitted.names_of(connection, sorted(ids))
        self._consents = admitted.consents_of(connection, sorted(ids))

    def whose(self, candidate: Candidate, newcomers: Newcomers) -> str | None:
        """The identity a photo is put forward for; None: a new one. Raises Refused."""
        if candidate.identity_id is not None:
            if candidate.identity_id not in self._names:
                raise Refused(Reason.IDENTITY_ERASED, "The person was erased before this photo was looked at.")
            return candidate.identity_id
        if candidate.external_id is not None:
            return self._external.get(candidate.external_id) or newcomers.external.get(candidate.external_id)
        place = candidate.gallery_id, candidate.name
        called = [*self._called[candidate.gallery_id].get(candidate.name, ()), *newcomers.called.get(place, ())]
        if len(called) > 1:
            raise Refused(
                Reason.AMBIGUOUS_NAME,
                f"several people are called {candidate.name!r}",
                remedy="Use /v1/identities and the person's id, or an external id.",
            )
        return called[0] if called else None

    def consent(self, candidate: Candidate, identity_id: str | None, newcomers: Newcomers) -> Consent:
        """What is on record of the consent of whoever a photo is put forward for."""
        if identity_id is None:
            return candidate.consent
        return self._consents.get(identity_id) or newcomers.consents.get(identity_id, NONE)

    def joins(self, candidate: Candidate, identity_id: str, newcomers: Newcomers) -> bool:
        """Whether somebody known by an external id comes into the gallery with this photo; notes it."""
        place = candidate.gallery_id, identity_id
        new = ((person.gallery_id, person.row.id) for person in newcomers.people)
        if candidate.external_id is None or place in self._members or place in newcomers.joins or place in new:
            return False
        newcomers.joins.append(place)
        return True

    def photo(self, identity_id: str, sha256: str, newcomers: Newcomers) -> str | None:
        return self._known.get((identity_id, sha256)) or newcomers.known.get((identity_id, sha256))

    def name(self, identity_id: str, newcomers: Newcomers) -> str:
        return self._names.get(identity_id) or newcomers.names.get(identity_id, "")


def _no_gallery() -> Refused:
    return Refused(
        Reason.BAD_MANIFEST,
        "The gallery that this photo was for has been deleted meanwhile.",
        remedy="Make the gallery again, or name another one, and import the photo once more.",
    )


def _no_consent() -> Refused:
    return Refused(
        Reason.CONSENT_MISSING,
        "No consent is on record, or none that is still in force, by which this person's face may be kept.",
        remedy="Record it with the person first (consent_basis and consent_until), or in the archive's manifest.csv.",
    )


def _look_alike(other: Near, entry: str) -> Refused:
    detail = {"identity_id": other.identity_id, "name": other.name, "distance": round(other.distance, 4)}
    if entry:
        detail["entry"] = entry
    return Refused(
        Reason.LOOK_ALIKE,
        f"This face is so like {other.name} that a camera would take one for the other.",
        remedy="If it is the same person, add the photo to them; send it with force=true to enrol it anyway.",
        detail=detail,
    )


def _not_same_person(distance: float) -> Refused:
    return Refused(
        Reason.NOT_SAME_PERSON,
        "This photo shows somebody else than the person's other photos.",
        remedy="Check the photo; send it with force=true if it is the same person after all.",
        detail={"distance": round(distance, 4), "limit": SAME_PERSON_DISTANCE},
    )
