"""The original's people move in and are recognised."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime
from pathlib import Path

import cv2
import face_recognition
import numpy as np
import pytest
from click.testing import CliRunner

from control_plane.store import galleries, identities
from control_plane.store.db import Database
from faces import engine as engines
from faces.encoding import FACE_RECOGNITION_BGR
from faces.engine.enroll import enroll
from faces.errors import Refused
from faces.replica import Replica
from rollcall import face_db
from rollcall.cli import cli
from rollcall.moving_in import move_in

G = galleries.DEFAULT_GALLERY
PEOPLE = {"Obama": "obama.jpg", "Biden": "biden.jpg", "Lin-Manuel": "lin-manuel-miranda.png"}


def clock() -> datetime:
    return datetime.now(UTC)


@pytest.fixture(scope="module")
def pickled(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A face_db.pkl as the original makes it: dlib's encodings of pictures as OpenCV reads them, BGR."""
    gallery = {}
    for name, photo in PEOPLE.items():
        bgr = cv2.imread(str(data / "portraits" / photo))
        (gallery[name],) = face_recognition.face_encodings(bgr, model="large")
    path = tmp_path_factory.mktemp("original") / "face_db.pkl"
    path.write_bytes(pickle.dumps(gallery))
    return path


def gallery_of(database: Database, model: str) -> Replica:
    replica = Replica(model)
    with database.read() as connection:
        replica.apply(galleries.page(connection, G, 0))
    return replica


def test_the_originals_people_move_in_and_are_recognised_on_other_photos(
    store: Database, pickled: Path, data: Path
) -> None:
    moved = move_in(store, face_db.read(pickled.read_bytes()), clock, lambda: None)
    assert (moved.added, moved.known) == (list(PEOPLE), [])
    engine = engines.load(FACE_RECOGNITION_BGR)
    gallery = gallery_of(store, engine.model).gallery
    found = enroll(engine, (data / "portraits" / "obama2.jpg").read_bytes())
    nearest = gallery.search(found.encoding[None])[0].nearest
    assert nearest is not None
    assert (nearest.name, nearest.distance < 0.45) == ("Obama", True)


def test_moving_in_twice_adds_nobody_twice(store: Database, pickled: Path) -> None:
    people = face_db.read(pickled.read_bytes())
    move_in(store, people, clock, lambda: None)
    moved = move_in(store, people, clock, lambda: None)
    assert (moved.added, moved.known) == ([], list(PEOPLE))
    with store.read() as connection:
        assert identities.names(connection, G) == list(PEOPLE)


def test_from_the_command_line_it_says_what_was_done_and_what_to_do(pickled: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    moved = CliRunner().invoke(cli, ["import", str(pickled), "--data", str(data)])
    assert moved.exit_code == 0, moved.output
    assert "3 people moved in" in moved.output
    assert "ENGINE=face_recognition-bgr" in moved.output


def test_an_enrolled_gallery_says_who_is_likely_to_be_taken_for_whom(pickled: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    CliRunner().invoke(cli, ["import", str(pickled), "--data", str(data)])
    arguments = ["evaluate", "--gallery", "default", "--engine", FACE_RECOGNITION_BGR, "--data", str(data)]
    shown = CliRunner().invoke(cli, arguments)
    assert shown.exit_code == 0, shown.output
    assert "0 of 3 people would be taken for somebody else" in shown.output
    strict = CliRunner().invoke(cli, [*arguments, "--distance", "2", "--json"])
    assert '"confused": 3' in strict.stdout


def test_the_bgr_model_is_of_its_own(data: Path) -> None:
    photo = (data / "portraits" / "obama.jpg").read_bytes()
    rgb, bgr = (enroll(engines.load(m), photo).encoding for m in ("face_recognition", FACE_RECOGNITION_BGR))
    assert np.linalg.norm(rgb - bgr) > 0.1


def test_nobody_moves_in_without_consent_where_it_is_required(
    pickled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUIRE_CONSENT", "true")
    refused = CliRunner().invoke(cli, ["import", str(pickled), "--data", str(tmp_path)])
    assert isinstance(refused.exception, Refused)
    assert "manifest.csv" in refused.exception.remedy
