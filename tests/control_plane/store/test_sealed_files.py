from __future__ import annotations

import io
import os
from typing import BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.store.sealed_files import SealedWriter, opened
from control_plane.store.vault import new_secret
from faces.sealing import CHUNK, FILE_HEADER, SEALED_CHUNK, Unreadable

SECRET = new_secret()
LARGE = os.urandom(3 * CHUNK)


def sealed(data: bytes, *pieces: int) -> bytes:
    """A file that was written in pieces of these sizes, then the rest."""
    file = io.BytesIO()
    writer = SealedWriter(file, SECRET)
    for size in pieces:
        writer.write(data[:size])
        data = data[size:]
    writer.write(data)
    writer.finish()
    return file.getvalue()


def plain(data: bytes) -> BinaryIO:
    return opened(io.BytesIO(data), SECRET)


near = st.sampled_from([0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 7, 3 * CHUNK])


@given(near, st.lists(near, max_size=3), st.lists(st.tuples(st.integers(0, 3 * CHUNK), near), max_size=5))
def test_it_reads_from_anywhere_what_was_written(size: int, pieces: list[int], reads: list[tuple[int, int]]) -> None:
    data = LARGE[:size]
    written = sealed(data, *pieces)
    assert plain(written).read() == data
    with plain(written) as file:
        assert file.seek(0, os.SEEK_END) == size
        for at, count in reads:
            assert file.seek(at) == at
            assert file.read(count) == data[at : at + count]
            assert file.seek(-min(size, 10), os.SEEK_END) == max(0, size - 10)
            assert file.read() == data[max(0, size - 10) :]


@pytest.mark.parametrize("size", [0, 1, CHUNK, CHUNK + 1, 2 * CHUNK])
def test_a_file_that_was_cut_lengthened_or_changed_is_refused(size: int) -> None:
    written = sealed(LARGE[:size])
    cuts = {written[:keep] for keep in (FILE_HEADER, FILE_HEADER + SEALED_CHUNK, len(written) - 1, 0, 5)} - {written}
    flipped = {bytes([*written[:at], written[at] ^ 1, *written[at + 1 :]]) for at in (4, 12, len(written) - 1)}
    for wrong in (*cuts, *flipped, written + b"\0", written + written[FILE_HEADER:]):
        with pytest.raises(Unreadable):
            plain(wrong).read()


def test_chunks_that_changed_places_are_refused() -> None:
    written = sealed(LARGE)
    first, second = (written[FILE_HEADER + n * SEALED_CHUNK :][:SEALED_CHUNK] for n in (0, 1))
    swapped = written[:FILE_HEADER] + second + first + written[FILE_HEADER + 2 * SEALED_CHUNK :]
    with pytest.raises(Unreadable):
        plain(swapped).read()


def test_nothing_plain_is_written() -> None:
    written = sealed(LARGE, 5, 70_000)
    assert not any(LARGE[at : at + 16] in written for at in range(0, len(LARGE) - 16, 4096))
