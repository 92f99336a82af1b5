"""Passwords: what one must be, and its argon2id hash, made and checked beside the event loop."""

from __future__ import annotations

import asyncio
import secrets
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from control_plane.problems import TooManyRequests
from faces.errors import Invalid

T = TypeVar("T")

SHORTEST, LONGEST = 12, 200
FEWEST_LETTERS = 6
RULE = f"{SHORTEST} to {LONGEST} characters, {FEWEST_LETTERS} of them different, without the user's name"

AT_ONCE = 2
"""How many are hashed at once: each takes 64 MiB meanwhile."""

MOST_WAITING = 40
"""How many wait for that at most, which takes a second or two; whoever comes then is told to come again."""


def checked(password: str, name: str) -> str:
    """A password that may be kept; raises Invalid for a weak one."""
    plain = _plain(password)
    weak = not SHORTEST <= len(plain) <= LONGEST or len(set(plain)) < FEWEST_LETTERS
    if weak or name.casefold() in plain.casefold():
        raise Invalid("this password is too weak", remedy=f"It has {RULE}. Several words are easy to remember.")
    return password


class Passwords:
    """The hashes of passwords, by the parameters that the library recommends now."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._threads = ThreadPoolExecutor(AT_ONCE, "password")
        self._waiting = 0

    def hashed(self, password: str) -> str:
        return self._hasher.hash(_plain(password))

    def fits(self, password: str, hashed: str | None) -> bool:
        """Whether it is the password of this hash. Without one (nobody has that name) the answer takes as long."""
        try:
            return self._hasher.verify(hashed or self._nobodys, _plain(password)) and hashed is not None
        except (VerificationError, InvalidHashError):
            return False

    def outdated(self, hashed: str) -> bool:
        """Whether the hash was made by other parameters than are recommended now."""
        return self._hasher.check_needs_rehash(hashed)

    async def run(self, work: Callable[[], T]) -> T:
        """Hash or check in a thread; raises TooManyRequests while too many wait for that."""
        if self._waiting >= MOST_WAITING:
            raise TooManyRequests("too many sign in at this moment", retry_after_s=2)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        self._threads.shutdown(cancel_futures=True)

    @cached_property
    def _nobodys(self) -> str:
        return self._hasher.hash(secrets.token_hex(16))


def _plain(password: str) -> str:
    """The same characters whatever keyboard and system they come from."""
    return unicodedata.normalize("NFKC", password)
