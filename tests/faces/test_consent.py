from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from faces.consent import NONE, Consent, ends
from faces.errors import Invalid

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(days=1)


@pytest.mark.parametrize(
    ("consent", "in_force"),
    [
        (NONE, False),
        (Consent(basis="contract"), True),
        (Consent(basis="contract", until=LATER), True),
        (Consent(basis="contract", until=NOW), False),
    ],
)
def test_consent_is_in_force_from_its_record_to_its_end(consent: Consent, in_force: bool) -> None:
    assert consent.in_force(NOW) is in_force


@pytest.mark.parametrize(
    ("consent", "message"),
    [
        (Consent(basis="by word of mouth"), "no code"),
        (Consent(basis=""), "no code"),
        (Consent(until=LATER), "missing"),
        (Consent(basis="x", given_at=LATER, until=NOW), "not after"),
    ],
)
def test_what_cannot_be_meant_is_refused(consent: Consent, message: str) -> None:
    with pytest.raises(Invalid, match=message):
        consent.check()


@pytest.mark.parametrize(
    ("valid_until", "consent_until", "end"),
    [(None, None, None), (NOW, None, NOW), (None, NOW, NOW), (LATER, NOW, NOW), (NOW, LATER, NOW)],
)
def test_nobody_is_recognised_for_longer_than_they_consent(
    valid_until: datetime | None, consent_until: datetime | None, end: datetime | None
) -> None:
    assert ends(valid_until, consent_until) == end
