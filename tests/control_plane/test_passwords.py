from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Iterator

import pytest
from argon2 import PasswordHasher

from control_plane.passwords import MOST_WAITING, Passwords, checked
from control_plane.problems import TooManyRequests
from faces.errors import Invalid

GOOD = "correct horse battery"


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    made = Passwords(PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1))
    yield made
    made.close()


@pytest.mark.parametrize(
    "text", ["", "short", "elevenchars", "a" * 20, "ababababababab", "ann is at the door", "x" * 300]
)
def test_a_weak_password_is_refused_and_the_rule_told(text: str) -> None:
    with pytest.raises(Invalid) as error:
        checked(text, "Ann")
    assert "12 to 200 characters" in error.value.remedy
    assert not text or text not in error.value.message + error.value.remedy


def test_a_password_fits_its_hash_alone_however_the_keyboard_composes_it(passwords: Passwords) -> None:
    hashed = passwords.hashed("Schl\u00fcssel am Brett")
    assert hashed.startswith("$argon2id$")
    assert passwords.fits("Schlu\u0308ssel am Brett", hashed)
    assert not passwords.fits("Schlussel am Brett", hashed)
    assert not passwords.fits("x", "no hash at all")
    assert passwords.hashed("Schl\u00fcssel am Brett") != hashed


def test_a_hash_by_other_parameters_is_outdated(passwords: Passwords) -> None:
    assert not passwords.outdated(passwords.hashed(GOOD))
    assert passwords.outdated(PasswordHasher(time_cost=2, memory_cost=1024, parallelism=1).hash(GOOD))


def test_nobodys_password_takes_as_long_and_never_fits() -> None:
    passwords = Passwords(PasswordHasher(time_cost=2, memory_cost=8192, parallelism=1))
    hashed = passwords.hashed(GOOD)

    def took(known: str | None) -> float:
        # Of the processor's time: what others take of it is in no answer's favour.
        began = time.thread_time()
        assert not passwords.fits("wrong horse battery", known)
        return time.thread_time() - began

    took(None)
    known, unknown = zip(*((took(hashed), took(None)) for _ in range(15)), strict=True)
    passwords.close()
    assert 0.5 < statistics.median(unknown) / statistics.median(known) < 2.0


def test_more_than_may_wait_are_told_to_come_again(passwords: Passwords) -> None:
    async def crowd() -> list[object]:
        waiting = (passwords.run(lambda: passwords.hashed(GOOD)) for _ in range(MOST_WAITING + 5))
        return await asyncio.gather(*waiting, return_exceptions=True)

    told = asyncio.run(crowd())
    assert [isinstance(one, TooManyRequests) for one in told].count(True) == 5
    assert sum(isinstance(one, str) for one in told) == MOST_WAITING
