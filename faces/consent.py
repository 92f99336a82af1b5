"""Consent: on what basis a person's face is kept, since when, and until when."""

from __future__ import annotations

import re
from datetime import datetime

import msgspec

from faces.errors import Invalid

BASIS = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


class Consent(msgspec.Struct, frozen=True, kw_only=True):
    """`basis` is a code of the operator's own, such as `contract`; None: none is on record. `until` is when it ends;
    None: it does not. Times are aware."""

    basis: str | None = None
    given_at: datetime | None = None
    until: datetime | None = None

    def in_force(self, now: datetime) -> bool:
        return self.basis is not None and (self.until is None or now < self.until)

    def check(self) -> None:
        """Raises Invalid for what cannot be meant."""
        if self.basis is not None and not BASIS.fullmatch(self.basis):
            raise Invalid("consent_basis is no code", remedy="Write up to 64 letters, digits, '-', '_', '.' or ':'.")
        if self.basis is None and (self.given_at or self.until):
            raise Invalid("consent_basis is missing", remedy="Say by what the consent is given, as in 'contract'.")
        if self.given_at and self.until and self.given_at >= self.until:
            raise Invalid("consent_until is not after consent_given_at")


NONE = Consent()


def ends(valid_until: datetime | None, consent_until: datetime | None) -> datetime | None:
    """Until when somebody is recognised: no longer than they are valid, and no longer than they consent."""
    return min((moment for moment in (valid_until, consent_until) if moment is not None), default=None)
