"""Alignment equals OpenCV's, and undoes rotation, scale and shift exactly."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from faces.engine import images, models
from faces.engine.chips import TEMPLATE, chip, similarity
from faces.engine.yunet import YuNet


def test_chips_are_those_of_opencvs_aligncrop_on_real_faces(data: Path) -> None:
    yunet = YuNet.load()
    opencv = cv2.FaceRecognizerSF.create(str(models.find(models.SFACE)), "")
    paths = sorted((data / "people").glob("*/*_0002.jpg"))[:20] + sorted((data / "portraits").iterdir())
    for path in paths:
        picture = images.load(path.read_bytes())
        face = yunet.detect(picture)[0]
        row = np.array([[*face.box, *face.landmarks.ravel(), face.score]], np.float32)
        theirs = opencv.alignCrop(picture, row)
        assert np.abs(theirs.astype(int) - chip(picture, face.landmarks)).max() <= 1


def test_a_turned_scaled_and_shifted_template_is_brought_back_onto_itself() -> None:
    angle = np.radians(33)
    turn = 2.5 * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = (TEMPLATE @ turn.T + [400, -30]).astype(np.float32)
    matrix = similarity(points, TEMPLATE)
    assert np.abs(points @ matrix[:, :2].T + matrix[:, 2] - TEMPLATE).max() < 1e-3


def test_landmarks_in_one_point_do_not_fail() -> None:
    assert np.isfinite(similarity(np.full((5, 2), 7, np.float32), TEMPLATE)).all()
