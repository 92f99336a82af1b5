"""Galleries: who is enrolled, as rows that travel, and as a matrix that is searched.

The rows are what a gallery's checksum is made of: every copy that holds the same rows has the same checksum.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import blake2b
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from faces.encoding import Matrix, Vector, distances, many_from_bytes


class Kind(StrEnum):
    """What recognition in a gallery means. Deny wins over watch, watch over allow."""

    ALLOW = "allow"
    DENY = "deny"
    WATCH = "watch"


PRECEDENCE = (Kind.DENY, Kind.WATCH, Kind.ALLOW)
"""Whose word counts where several galleries know a face."""


class IdentityRow(msgspec.Struct, frozen=True, tag="identity", tag_field="row"):
    """An enrolled person as every copy of the gallery holds them. Times are UTC and aware."""

    id: str
    name: str
    attributes: dict[str, Any] = {}
    valid_from: datetime | None = None
    valid_until: datetime | None = None


class EncodingRow(msgspec.Struct, frozen=True, tag="encoding", tag_field="row"):
    """One encoding: `data` as of `encoding.to_bytes`. `against` marks a correction: this was *not* that person."""

    id: str
    identity_id: str
    model: str
    data: bytes
    against: bool = False


class SettingsRow(msgspec.Struct, frozen=True, tag="settings", tag_field="row"):
    """A gallery's own settings; `id` is the gallery's. `th_accept` None: the edge's own threshold."""

    id: str
    name: str
    kind: Kind = Kind.ALLOW
    th_accept: float | None = None


Row: TypeAlias = IdentityRow | EncodingRow | SettingsRow
RowKind: TypeAlias = Literal["identity", "encoding", "settings"]


class Key(NamedTuple):
    """What names a row within its gallery."""

    kind: RowKind
    id: str


_KINDS: dict[type[Row], RowKind] = {IdentityRow: "identity", EncodingRow: "encoding", SettingsRow: "settings"}


def key(row: Row) -> Key:
    return Key(_KINDS[type(row)], row.id)


canonical = msgspec.msgpack.Encoder(order="deterministic").encode
"""All a row says as bytes: the same on every side."""


def bytes_hash(data: bytes) -> int:
    """A 64-bit hash as a signed integer (SQL's BIGINT)."""
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "big", signed=True)


def row_hash(row: Row) -> int:
    """The hash of all a row says."""
    return bytes_hash(canonical(row))


def checksum(hashes: Iterable[int]) -> int:
    """The XOR of row hashes: independent of order, and undone by applying a hash again."""
    total = 0
    for value in hashes:
        total ^= value
    return total


def checksum_text(value: int) -> str:
    """A checksum as people and programs that know no 64-bit integers see it: 16 hexadecimal digits."""
    return f"{value & (1 << 64) - 1:016x}"


class Candidate(NamedTuple):
    """An identity with its distance to a probe."""

    identity_id: str
    name: str
    distance: float


class Match(NamedTuple):
    """The nearest identity and the nearest *other* identity."""

    nearest: Candidate | None
    runner_up: Candidate | None


NOBODY = Match(None, None)


@dataclass(frozen=True, slots=True, eq=False)
class Gallery:
    """An immutable, searchable gallery of one model. Safe to share between threads; changed by `changed`.

    Rows of `matrix` are sorted by identity, so that `starts[i]:starts[i+1]` are those of `ids[i]`, which lets one
    pass find the best encoding of each identity.
    """

    model: str
    settings: SettingsRow | None
    identities: Mapping[str, IdentityRow]
    encodings: Mapping[str, EncodingRow]
    ids: tuple[str, ...]
    matrix: Matrix
    starts: npt.NDArray[np.intp]
    corrections: Matrix
    correction_owners: npt.NDArray[np.intp]
    validity: npt.NDArray[np.float64]

    @classmethod
    def empty(cls, model: str) -> Gallery:
        return cls.of(model, ())

    @classmethod
    def of(cls, model: str, rows: Iterable[Row]) -> Gallery:
        """Build from rows. Encodings of another model, or of an identity that is not among them, are not searched."""
        settings: SettingsRow | None = None
        identities: dict[str, IdentityRow] = {}
        encodings: dict[str, EncodingRow] = {}
        for row in rows:
            if isinstance(row, IdentityRow):
                identities[row.id] = row
            elif isinstance(row, EncodingRow):
                encodings[row.id] = row
            else:
                settings = row
        return cls._assemble(model, settings, identities, encodings)

    def changed(self, put: Iterable[Row], removed: Iterable[Key]) -> Gallery:
        """A new gallery: this one without `removed`, and with `put` added or replaced."""
        settings, identities, encodings = self.settings, dict(self.identities), dict(self.encodings)
        for kind, row_id in removed:
            (identities if kind == "identity" else encodings).pop(row_id, None)
        for row in put:
            if isinstance(row, IdentityRow):
                identities[row.id] = row
            elif isinstance(row, EncodingRow):
                encodings[row.id] = row
            else:
                settings = row
        return self._assemble(self.model, settings, identities, encodings)

    @classmethod
    def _assemble(
        cls,
        model: str,
        settings: SettingsRow | None,
        identities: Mapping[str, IdentityRow],
        encodings: Mapping[str, EncodingRow],
    ) -> Gallery:
        usable = [e for e in encodings.values() if e.model == model and e.identity_id in identities]
        own = sorted((e for e in usable if not e.against), key=lambda e: (e.identity_id, e.id))
        ids: list[str] = []
        starts: list[int] = []
        for index, encoding in enumerate(own):
            if not ids or ids[-1] != encoding.identity_id:
                ids.append(encoding.identity_id)
                starts.append(index)
        index_of = {identity_id: i for i, identity_id in enumerate(ids)}
        against = [e for e in usable if e.against and e.identity_id in index_of]
        people = [identities[i] for i in ids]
        validity = [
            (
                p.valid_from.timestamp() if p.valid_from else -np.inf,
                p.valid_until.timestamp() if p.valid_until else np.inf,
            )
            for p in people
        ]
        return cls(
            model,
            settings,
            identities,
            encodings,
            tuple(ids),
            _matrix(own),
            np.asarray(starts, dtype=np.intp),
            _matrix(against),
            np.asarray([index_of[e.identity_id] for e in against], dtype=np.intp),
            np.asarray(validity, dtype=np.float64).reshape(-1, 2),
        )

    def __len__(self) -> int:
        """How many identities can be found."""
        return len(self.ids)

    def search(self, probes: Matrix, *, at: datetime | None = None) -> list[Match]:
        """The nearest identity and the runner-up for each probe of shape (n, 128).

        An identity is as near as its nearest encoding. It is no candidate if a correction of it is nearer still,
        or if `at` is given and lies outside its validity.
        """
        if not self.ids:
            return [NOBODY] * len(probes)
        return [self._match(row) for row in self._best(probes, at)]

    def nearest(self, probe: Vector, most: int, *, at: datetime | None = None) -> list[Candidate]:
        """At most so many candidates for one probe, nearest first; who is one is as for `search`."""
        if not self.ids:
            return []
        best = self._best(probe[None, :], at)[0]
        order = np.argsort(best, kind="stable")[:most].tolist()
        return [self._candidate(i, float(best[i])) for i in order if np.isfinite(best[i])]

    def nearest_distances(self, probe: Matrix, identity_id: str) -> npt.NDArray[np.float32]:
        """Distances of one probe of shape (1, 128) to each of one identity's own encodings; empty if it has none."""
        if identity_id not in self.ids:
            return np.empty(0, np.float32)
        index = self.ids.index(identity_id)
        end = self.starts[index + 1] if index + 1 < len(self.starts) else len(self.matrix)
        row: npt.NDArray[np.float32] = distances(self.model, probe, self.matrix[self.starts[index] : end])[0]
        return row

    def _best(self, probes: Matrix, at: datetime | None) -> npt.NDArray[np.float32]:
        """The distance of each probe (rows) to each identity (columns); infinite to those who are no candidates."""
        best: npt.NDArray[np.float32] = np.minimum.reduceat(
            distances(self.model, probes, self.matrix), self.starts, axis=1
        )
        self._exclude(best, probes, at)
        return best

    def _exclude(self, best: npt.NDArray[np.float32], probes: Matrix, at: datetime | None) -> None:
        if len(self.corrections):
            against = distances(self.model, probes, self.corrections)
            for column, owner in enumerate(self.correction_owners):
                best[against[:, column] < best[:, owner], owner] = np.inf
        if at is not None:
            moment = at.timestamp()
            invalid = (self.validity[:, 0] > moment) | (moment >= self.validity[:, 1])
            best[:, invalid] = np.inf

    def _match(self, best: npt.NDArray[np.float32]) -> Match:
        if len(best) == 1:
            order: Sequence[int] = [0]
        else:
            two = np.argpartition(best, 1)[:2]
            order = two[np.argsort(best[two], kind="stable")].tolist()
        found = [self._candidate(i, float(best[i])) for i in order if np.isfinite(best[i])]
        return Match(found[0] if found else None, found[1] if len(found) > 1 else None)

    def _candidate(self, index: int, distance: float) -> Candidate:
        identity_id = self.ids[index]
        return Candidate(identity_id, self.identities[identity_id].name, distance)


def _matrix(rows: Sequence[EncodingRow]) -> Matrix:
    return many_from_bytes([row.data for row in rows])
