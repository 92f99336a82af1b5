from __future__ import annotations

import pytest

from faces.errors import Diverged
from faces.gallery import IdentityRow, Key, checksum, row_hash
from faces.replica import Replica
from faces.wire import START, Page, Position

ANN, BOB = IdentityRow("a", "Ann"), IdentityRow("b", "Bob")
ANNA = IdentityRow("a", "Anna")


def page(after: int, upto: int, total: int, put: list[IdentityRow], removed: list[Key] | None = None) -> Page:
    return Page(gallery="g", after=after, position=Position(upto, total), put=list(put), removed=removed or [])


def both() -> Replica:
    replica = Replica("sface")
    replica.apply(page(0, 2, checksum(map(row_hash, (ANN, BOB))), [ANN, BOB]))
    return replica


def test_a_page_that_fits_moves_the_copy_on() -> None:
    replica = both()
    replica.apply(page(2, 4, row_hash(ANNA), [ANNA], [Key("identity", "b")]))
    assert replica.position == Position(4, row_hash(ANNA))
    assert dict(replica.gallery.identities) == {"a": ANNA}


def test_removing_everything_leads_back_to_the_checksum_of_nothing() -> None:
    replica = both()
    replica.apply(page(2, 4, 0, [], [Key("identity", "a"), Key("identity", "b")]))
    assert replica.position.checksum == START.checksum


@pytest.mark.parametrize(
    "wrong",
    [
        page(1, 3, row_hash(ANN), [ANNA]),
        page(2, 3, 12345, [ANNA]),
        page(2, 3, checksum(map(row_hash, (ANN, BOB))), [ANNA]),
        page(3, 4, checksum(map(row_hash, (ANNA, BOB))), [ANNA]),
    ],
    ids=["starts too early", "wrong checksum", "checksum of the state before", "leaves a gap"],
)
def test_a_page_that_does_not_fit_changes_nothing(wrong: Page) -> None:
    replica = both()
    with pytest.raises(Diverged):
        replica.apply(wrong)
    assert replica.position.revision == 2
    assert dict(replica.gallery.identities) == {"a": ANN, "b": BOB}


def test_removing_what_was_never_there_is_harmless() -> None:
    replica = both()
    replica.apply(page(2, 3, replica.position.checksum, [], [Key("encoding", "nobody's")]))
    assert replica.position.revision == 3


def test_a_snapshot_replaces_everything() -> None:
    replica = both()
    replica.start_over(Position(9, row_hash(ANNA)), [ANNA])
    assert dict(replica.gallery.identities) == {"a": ANNA}


def test_a_snapshot_with_a_wrong_checksum_changes_nothing() -> None:
    replica = both()
    with pytest.raises(Diverged):
        replica.start_over(Position(9, row_hash(ANN)), [ANNA])
    assert replica.position.revision == 2
