"""Planning from an archive's directory: whose photo each entry is, and what is passed over."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import pytest

from faces.errors import Reason, Refused
from jobs import archive, manifest
from jobs.archive import Plan
from jobs.directory import Limits

Zipped = Callable[[Mapping[str, bytes]], bytes]


def plan(data: bytes, **limits: int) -> Plan:
    return archive.plan(io.BytesIO(data), Limits(**limits), {"default": "default", "vip": "vip"})


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("katya.jpg", "katya"),
        ("Katya Ivanova.JPEG", "Katya Ivanova"),
        ("katya/1.jpg", "katya"),
        ("katya/2.webp", "katya"),
        ("Zoe\u0308.png", "Zo\u00eb"),
    ],
)
def test_a_photo_is_of_whom_its_name_or_its_folder_says(zipped: Zipped, path: str, name: str) -> None:
    (item,) = plan(zipped({path: b"x"})).items
    assert (item.name, item.refusal) == (name, None)
    assert item.place is not None
    assert archive.read(io.BytesIO(zipped({path: b"x"})), item.place, Limits()) == b"x"


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("__MACOSX/katya.jpg", "hidden"),
        ("__MACOSX/._katya.jpg", "hidden"),
        (".hidden.jpg", "hidden"),
        ("katya/.hidden.jpg", "hidden"),
        ("notes.txt", "other"),
        ("katya.jpg.exe", "other"),
        ("katya/", "folder"),
    ],
)
def test_what_is_no_photo_is_passed_over_and_counted(zipped: Zipped, path: str, kind: str) -> None:
    found = plan(zipped({path: b"", "a.jpg": b"x"}))
    assert (len(found.items), found.skipped) == (1, {kind: 1})


def test_the_archives_order_is_the_plans(zipped: Zipped) -> None:
    names = ["z.jpg", "a.jpg", "m/2.jpg", "m/1.jpg"]
    assert [item.entry for item in plan(zipped(dict.fromkeys(names, b"x"))).items] == names


def test_the_manifests_words_win_over_the_names(zipped: Zipped) -> None:
    lines = (
        "\ufefffile;name;gallery;valid_until;badge\r\na.jpg;Ann;vip;2030-01-02T08:00+02:00;7\r\nb.jpg;;nowhere;;\r\n"
    )
    ann, bob = plan(zipped({"a.jpg": b"x", "b.jpg": b"x", "Manifest.csv": lines.encode()})).items
    assert (ann.name, ann.gallery_id, ann.attributes) == ("Ann", "vip", {"badge": "7"})
    assert ann.valid_until == datetime(2030, 1, 2, 6, tzinfo=UTC)
    assert bob.refusal is not None
    assert bob.refusal.reason == Reason.BAD_MANIFEST


@pytest.mark.parametrize(
    "data",
    [
        b"name\nAnn\n",
        b"file,file\n",
        b"\xff\xfe",
        b'file\n"unclosed',
        b"file," + b"x" * 4097,
        b"file,\0",
        ",".join(["file", *(f"{n:05}" + "x" * 131_000 for n in range(39))]).encode(),
    ],
)
def test_a_manifest_that_cannot_be_read_refuses_the_archive(zipped: Zipped, data: bytes) -> None:
    with pytest.raises(Refused) as refusal:
        plan(zipped({"manifest.csv": data, "a.jpg": b"x"}))
    assert refusal.value.reason == Reason.BAD_MANIFEST


def test_a_file_named_twice_in_the_manifest_is_refused_alone() -> None:
    lines = manifest.read(b"file,name\na.jpg,Ann\na.jpg,Bob\nb.jpg,Bob\n", {}, 10)
    assert (lines["a.jpg"].fault, lines["b.jpg"].fault) == ("the manifest names it twice", "")


@pytest.mark.parametrize(("columns", "fault"), [(8, ""), (9, "in the manifest attributes are larger than 16384 bytes")])
def test_a_line_holds_as_many_attributes_as_a_person_may_have_names_included(columns: int, fault: str) -> None:
    header = ["file", *(f"{n:02000}" for n in range(columns))]
    lines = manifest.read("\n".join((",".join(header), "a.jpg" + ",v" * columns, "b.jpg,v")).encode(), {}, 10)
    assert (lines["a.jpg"].fault, len(lines["a.jpg"].attributes)) == (fault, 0 if fault else columns)
    assert (lines["b.jpg"].fault, len(lines["b.jpg"].attributes)) == ("", 1)


@pytest.mark.parametrize("field", ["name", "external_id", "consent_basis"])
@pytest.mark.parametrize("text", ["x" * 201, "a\0b", "a\x1bb", "a\u202eb"])
def test_what_the_api_takes_for_no_text_a_manifest_does_not_give_either(zipped: Zipped, field: str, text: str) -> None:
    (item,) = plan(zipped({"a.jpg": b"x", "manifest.csv": f"file,{field}\na.jpg,{text}\n".encode()})).items
    assert item.refusal is not None


@pytest.mark.parametrize("limits", [{"max_entries": 1}, {"max_directory_bytes": 60}])
def test_an_archive_beyond_the_limits_is_refused(zipped: Zipped, limits: dict[str, int]) -> None:
    with pytest.raises(Refused) as refusal:
        plan(zipped({"a.jpg": b"", "b.jpg": b""}), **limits)
    assert refusal.value.reason == Reason.TOO_LARGE


def test_an_entry_is_counted_while_it_is_inflated(zipped: Zipped) -> None:
    data = zipped({"a.jpg": bytes(1001), "b.jpg": bytes(1000)})
    limits = Limits(max_entry_bytes=1000)
    first, second = plan(data).items
    assert first.place is not None
    assert second.place is not None
    with pytest.raises(Refused) as refusal:
        archive.read(io.BytesIO(data), first.place, limits)
    assert refusal.value.reason == Reason.TOO_LARGE
    assert archive.read(io.BytesIO(data), second.place, limits) == bytes(1000)


def test_what_ordinary_programs_write_is_read(portraits: dict[str, bytes]) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        with made.open("wide.jpg", "w", force_zip64=True) as file:
            file.write(portraits["biden"])
        made.comment = b"a comment PK\x05\x06"
    (item,) = plan(buffer.getvalue()).items
    assert item.place is not None
    assert archive.read(buffer, item.place, Limits()) == portraits["biden"]


class Pipe(io.RawIOBase):
    """A file that cannot be turned back: zipfile then writes sizes behind the data."""

    def __init__(self) -> None:
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        self.data += bytes(data)  # type: ignore[call-overload]
        return len(bytes(data))  # type: ignore[call-overload]


def test_sizes_behind_the_data_are_read(portraits: dict[str, bytes]) -> None:
    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as made:  # type: ignore[arg-type]
        made.writestr("joe.jpg", portraits["biden"])
        made.writestr("barack.jpg", portraits["obama"])
    for item, name in zip(plan(bytes(pipe.data)).items, ("biden", "obama"), strict=True):
        assert item.place is not None
        assert archive.read(io.BytesIO(pipe.data), item.place, Limits()) == portraits[name]
