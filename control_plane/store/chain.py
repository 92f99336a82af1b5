"""The chain of the audit log: every row's hash is over what it says and the hash of the row before, so that none is
changed, taken out or moved unnoticed. No database in here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from hashlib import sha256

import msgspec

from faces.errors import Invalid

DONE = "done"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """Who did or looked at what, when, from where. Ids only: `actor` is `key:ID`, `user:ID`, `edge:ID`, `cli:USER` of
    the machine, `job:NAME`, or `nobody` while nobody is asked for a key; `action` is `resource.verb`; `other_id` is a
    second id that it concerns; `outcome` is `done`, or the code of the error."""

    at: datetime
    actor: str
    action: str
    resource: str
    resource_id: str | None = None
    other_id: str | None = None
    site_id: str | None = None
    address: str = ""
    request_id: str = ""
    outcome: str = DONE


class Row(Entry, frozen=True, kw_only=True):
    """An entry in its place: `previous` is the hash of the row at the position before."""

    position: int
    previous: str
    hash: str


class Head(msgspec.Struct, frozen=True):
    """How far the chain has got. Written down elsewhere, it proves that nothing up to there was changed since."""

    position: int
    hash: str

    def __str__(self) -> str:
        return f"{self.position}:{self.hash}"

    @classmethod
    def read(cls, text: str) -> Head:
        """What `str` made of it; raises Invalid."""
        found = re.fullmatch(r"(\d{1,18}):([0-9a-f]{64})", text)
        if found is None:
            raise Invalid("this is no head of an audit log", remedy="It is printed by rollcall audit verify.")
        return cls(int(found[1]), found[2])


class Fault(msgspec.Struct, frozen=True):
    """The first row that is not what was written, and why."""

    position: int
    why: str


START = Head(0, "0" * 64)


def chained(head: Head, entries: Sequence[Entry]) -> list[Row]:
    """Entries as the rows behind the head."""
    rows = []
    for entry in entries:
        position = head.position + 1
        head_after = Head(position, _hash(position, head.hash, entry))
        rows.append(Row(position=position, previous=head.hash, hash=head_after.hash, **msgspec.structs.asdict(entry)))
        head = head_after
    return rows


def fault(rows: Iterable[Row], head: Head, anchor: Head | None = None) -> Fault | None:
    """The first fault of a chain's rows, in order, whose head is said to be `head`; None if there is none. `anchor` is
    an earlier head that was kept elsewhere."""
    at = START
    for row in rows:
        if row.position != at.position + 1:
            return Fault(at.position + 1, "it is missing")
        if row.previous != at.hash or row.hash != _hash(row.position, at.hash, row):
            return Fault(row.position, "it is not what was written")
        at = Head(row.position, row.hash)
        if anchor is not None and anchor.position == at.position and anchor.hash != at.hash:
            return Fault(at.position, "the rows up to it are not those that the given head stands for")
    for end in (head, anchor or START):
        if end.position > at.position:
            return Fault(at.position + 1, f"it is missing, with all up to {end.position}")
    return None if head == at else Fault(at.position, "the log's head does not stand for it")


def _hash(position: int, previous: str, entry: Entry) -> str:
    said = [getattr(entry, name) for name in Entry.__struct_fields__]
    return sha256(msgspec.msgpack.encode([position, previous, *said])).hexdigest()
