from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faces.sealing import (
    OVERHEAD,
    Unreadable,
    about,
    file_header,
    key_id,
    named,
    seal,
    seal_chunk,
    secret_of,
    unseal,
    unseal_chunk,
    unwrap,
    wrap,
)

SECRET, OTHER = secret_of(bytes(range(40))), secret_of(bytes(range(1, 41)))
NONCE = bytes(12)
parts = st.lists(st.one_of(st.text(max_size=9), st.integers(0, 1 << 40), st.booleans()), max_size=4)


@given(st.binary(max_size=2000), parts, st.binary(min_size=40, max_size=40), st.binary(min_size=12, max_size=12))
def test_what_was_sealed_comes_back(data: bytes, what: list[str | int], random: bytes, nonce: bytes) -> None:
    secret = secret_of(random)
    sealed = seal(secret, data, about(*what), nonce)
    assert len(sealed) == len(data) + OVERHEAD
    assert key_id(sealed) == secret.id
    assert unseal(secret, sealed, about(*what)) == data


@given(st.binary(min_size=1, max_size=300), st.data())
def test_a_changed_bit_is_refused(data: bytes, drawn: st.DataObject) -> None:
    sealed = bytearray(seal(SECRET, data, b"", NONCE))
    at = drawn.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[at // 8] ^= 1 << at % 8
    with pytest.raises(Unreadable):
        unseal(SECRET, bytes(sealed), b"")


@given(parts, parts)
def test_what_belongs_elsewhere_is_refused(here: list[str | int], there: list[str | int]) -> None:
    sealed = seal(SECRET, b"face", about(*here), NONCE)
    if about(*here) != about(*there):
        with pytest.raises(Unreadable):
            unseal(SECRET, sealed, about(*there))


@pytest.mark.parametrize("cut", [0, 3, 12, 24, 39])
def test_what_was_cut_short_is_refused(cut: int) -> None:
    with pytest.raises(Unreadable):
        unseal(SECRET, seal(SECRET, b"face", b"", NONCE)[:cut], b"")


def test_another_key_opens_nothing() -> None:
    sealed = seal(SECRET, b"face", b"", NONCE)
    for wrong in (OTHER, SECRET._replace(key=OTHER.key), OTHER._replace(key=SECRET.key)):
        with pytest.raises(Unreadable):
            unseal(wrong, sealed, b"")


def test_a_wrapped_key_is_its_owners() -> None:
    wrapped = wrap(OTHER, SECRET, "person/1", NONCE)
    assert SECRET.key not in wrapped
    assert unwrap(OTHER, wrapped, SECRET.id, "person/1") == SECRET
    for owner, of in (("person/2", SECRET.id), ("person/1", OTHER.id)):
        with pytest.raises(Unreadable):
            unwrap(OTHER, wrapped, of, owner)


def test_a_chunk_is_refused_in_another_place_or_file() -> None:
    header, other = (file_header(SECRET, prefix * 7) for prefix in (b"a", b"b"))
    sealed = seal_chunk(SECRET, header, 1, b"face", last=False)
    assert unseal_chunk(SECRET, header, 1, sealed, last=False) == b"face"
    for wrong, number, last in ((header, 2, False), (header, 1, True), (other, 1, False)):
        with pytest.raises(Unreadable):
            unseal_chunk(SECRET, wrong, number, sealed, last=last)


@pytest.mark.parametrize("plain", [b"", b"\xff\xd8\xff\xe0", b"PK\x03\x04", b"\x89PNG", b"RIFF", b"\x8a", b"\xc1"])
def test_what_is_not_sealed_has_no_key(plain: bytes) -> None:
    assert key_id(plain) is None


def test_a_key_is_never_shown() -> None:
    secret = named(os.urandom(32))
    assert secret.key.hex() not in repr(secret)
    assert repr(secret.key) not in repr(secret)
    assert named(secret.key) == secret
