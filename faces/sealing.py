"""Sealing: AES-256-GCM over what is biometric, before it reaches a disk. Bytes in, bytes out.

Small things are sealed whole (`seal`), files in chunks that can be read in any order (`seal_chunk`). What is sealed
names its key by an id; `about` says what it is and where it belongs, so that it is refused anywhere else.
"""

from __future__ import annotations

import struct
from hashlib import sha256
from typing import Final, NamedTuple

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from faces.errors import RollcallError

SEALED: Final = b"\xc1RS\x01"
SEALED_FILE: Final = b"\xc1RF\x01"
"""What sealed bytes begin with; the last byte is the version. No msgpack, picture or archive begins so."""

ID_BYTES: Final = 8
KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
OVERHEAD: Final = len(SEALED) + ID_BYTES + NONCE_BYTES + TAG_BYTES

CHUNK: Final = 1 << 16
"""Plain bytes of a file that are sealed at once; the last chunk may have fewer."""

SEALED_CHUNK: Final = CHUNK + TAG_BYTES
PREFIX_BYTES: Final = 7
FILE_HEADER: Final = len(SEALED_FILE) + ID_BYTES + PREFIX_BYTES
_PLACE: Final = struct.Struct(">I?")


class Unreadable(RollcallError):
    """What is sealed cannot be opened: it was changed, or belongs elsewhere, or its key is gone."""

    code = "unreadable"


class Secret(NamedTuple):
    """A key of 32 random bytes, and the 8 by which what it has sealed names it."""

    id: bytes
    key: bytes

    def __repr__(self) -> str:
        return f"Secret({self.id.hex()})"


def secret_of(random: bytes) -> Secret:
    """A new key from 40 random bytes."""
    return Secret(random[:ID_BYTES], random[ID_BYTES : ID_BYTES + KEY_BYTES])


def named(key: bytes) -> Secret:
    """A key that comes without an id: its fingerprint is its id."""
    return Secret(sha256(b"rollcall key" + key).digest()[:ID_BYTES], key)


def about(*what: str | int | bool) -> bytes:
    """What sealed bytes are and where they belong: two that differ in any part never agree."""
    return msgspec.msgpack.encode(what)


def seal(secret: Secret, data: bytes, what: bytes, nonce: bytes) -> bytes:
    """Seal bytes, with 12 random bytes for this time alone."""
    header = SEALED + secret.id
    return header + nonce + AESGCM(secret.key).encrypt(nonce, data, header + what)


def unseal(secret: Secret, sealed: bytes, what: bytes) -> bytes:
    """The bytes that were sealed; raises Unreadable for any others."""
    at = len(SEALED) + ID_BYTES
    header, nonce, rest = sealed[:at], sealed[at : at + NONCE_BYTES], sealed[at + NONCE_BYTES :]
    if header != SEALED + secret.id:
        raise Unreadable("what was sealed is not of this key")
    return _opened(secret, nonce, rest, header + what)


def key_id(data: bytes) -> bytes | None:
    """The id of the key that sealed these bytes, or this file from its header; None: they are not sealed."""
    if data[: len(SEALED)] not in (SEALED, SEALED_FILE):
        return None
    return data[len(SEALED) : len(SEALED) + ID_BYTES]


def file_header(secret: Secret, prefix: bytes) -> bytes:
    """What a sealed file begins with; `prefix` are 7 random bytes for this file alone."""
    return SEALED_FILE + secret.id + prefix


def seal_chunk(secret: Secret, header: bytes, number: int, data: bytes, *, last: bool) -> bytes:
    """Seal one chunk of a file: its place, and whether it is the last, are sealed with it."""
    return AESGCM(secret.key).encrypt(_nonce(header, number, last), data, header)


def unseal_chunk(secret: Secret, header: bytes, number: int, sealed: bytes, *, last: bool) -> bytes:
    """One chunk of a file; raises Unreadable if it is not that one, or the file was cut short or lengthened."""
    return _opened(secret, _nonce(header, number, last), sealed, header)


def wrap(master: Secret, secret: Secret, owner: str, nonce: bytes) -> bytes:
    """A key sealed by another one, for its owner alone."""
    return seal(master, secret.key, about("key", secret.id.hex(), owner), nonce)


def unwrap(master: Secret, wrapped: bytes, secret_id: bytes, owner: str) -> Secret:
    """The key that was wrapped; raises Unreadable."""
    return Secret(secret_id, unseal(master, wrapped, about("key", secret_id.hex(), owner)))


def _nonce(header: bytes, number: int, last: bool) -> bytes:
    return header[-PREFIX_BYTES:] + _PLACE.pack(number, last)


def _opened(secret: Secret, nonce: bytes, sealed: bytes, what: bytes) -> bytes:
    try:
        return AESGCM(secret.key).decrypt(nonce, sealed, what)
    except (InvalidTag, ValueError):
        raise Unreadable("what was sealed was changed, or belongs elsewhere") from None
