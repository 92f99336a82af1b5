from __future__ import annotations

from pathlib import Path

import pytest

from control_plane.store.blobs import BlobStore
from faces.errors import Invalid


def test_a_blob_comes_back_until_it_is_deleted(tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path)
    blobs.put("photos/01ab", b"jpeg")
    assert blobs.get("photos/01ab") == b"jpeg"
    blobs.delete(["photos/01ab", "photos/01ab", None])
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_what_lies_there_is_listed_by_name_but_nothing_that_is_no_blob(tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path)
    blobs.put("photos/01ab", b"jpeg")
    for stray in (".nfs0001", "01ab.partial", "01cd"):
        blobs.path("photos/01ab").with_name(stray).write_bytes(b"")
    assert list(blobs.names()) == ["photos/01ab"]


def test_a_blob_that_breaks_off_is_not_there_at_all(tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path)
    with pytest.raises(ZeroDivisionError), blobs.receiving() as received:
        received.write(b"half" * (1 // 0))
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


@pytest.mark.parametrize(
    "name", ["photos/../../x", "/etc/passwd", "photos/", "x", "photos/a b", "photos/01\n", "Photos/01"]
)
def test_no_name_leads_out_of_the_store(tmp_path: Path, name: str) -> None:
    with pytest.raises(Invalid):
        BlobStore(tmp_path).path(name)
