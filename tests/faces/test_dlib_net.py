"""The graph computes what dlib computes from the same file."""

from __future__ import annotations

from pathlib import Path

import cv2
import dlib
import numpy as np
import onnx
import pytest

from faces.engine import dlib_net, images, models
from faces.engine.dlib_net import Weights
from faces.errors import ModelFileError


@pytest.fixture(scope="module")
def weights() -> Weights:
    return dlib_net.parse(models.read(models.RESNET))


@pytest.fixture(scope="module")
def chips(data: Path) -> list[np.ndarray]:
    photos = sorted((data / "people").glob("*/*_0003.jpg"))[:5]
    return [cv2.resize(images.load(path.read_bytes())[60:190, 60:190], (150, 150)) for path in photos]


def test_the_file_holds_29_convolutions_and_a_matrix(weights: Weights) -> None:
    shapes = [convolution.weights.shape for convolution in weights.convolutions]
    assert len(shapes) == 29
    assert (shapes[0], shapes[-1]) == ((32, 3, 7, 7), (256, 256, 3, 3))
    assert all(convolution.biases.shape == convolution.weights.shape[:1] for convolution in weights.convolutions)
    assert weights.matrix.shape == (256, 128)


@pytest.mark.parametrize("bgr", [False, True])
def test_encodings_equal_dlibs_own(weights: Weights, chips: list[np.ndarray], bgr: bool) -> None:
    reference = dlib.face_recognition_model_v1(str(models.find(models.RESNET)))
    session = models.session(dlib_net.graph(weights, bgr=bgr))
    for chip in chips:
        handed = np.ascontiguousarray(chip[:, :, ::-1]) if bgr else chip
        theirs = np.array(reference.compute_face_descriptor(handed))
        (ours,) = session.run(None, {"chip": cv2.dnn.blobFromImage(chip)})
        assert ours.shape == (1, 128)
        assert np.abs(ours[0] - theirs).max() < 1e-5


def test_the_graph_is_a_valid_model(weights: Weights) -> None:
    onnx.checker.check_model(dlib_net.graph(weights), full_check=True)


@pytest.mark.parametrize("spoil", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b[:300] + b"x" + b[500:]])
def test_another_structure_is_a_model_file_error(spoil: object) -> None:
    with pytest.raises(ModelFileError):
        dlib_net.parse(spoil(models.read(models.RESNET)))  # type: ignore[operator]
