"""The rewritten networks compute what the files compute."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from faces.engine import graphs, models


def noise(side: int) -> np.ndarray:
    return np.random.default_rng(7).uniform(0, 255, (1, 3, side, side)).astype(np.float32)


def by_the_book(content: bytes, **inputs: np.ndarray) -> list[np.ndarray]:
    """What the file computes by ONNX's own reference implementation."""
    outputs: list[np.ndarray] = ReferenceEvaluator(onnx.load_from_string(content)).run(None, inputs)
    return outputs


def test_sface_gives_the_encodings_of_its_file() -> None:
    content, chip = models.read(models.SFACE), noise(112)
    (theirs,) = by_the_book(content, data=chip)
    (ours,) = models.session(graphs.sface(content)).run(None, {"data": chip})
    assert np.abs(theirs).max() > 0.5
    assert np.abs(ours - theirs).max() < 1e-5


def test_yunet_gives_the_outputs_of_its_file_with_the_channels_as_rgb() -> None:
    content, picture = models.read(models.YUNET), noise(160)
    theirs = by_the_book(content, input=picture)
    ours = models.session(graphs.yunet(content)).run(None, {"input": picture[:, ::-1]})
    assert len(ours) == 12
    assert max(float(np.abs(a - b).max()) for a, b in zip(ours, theirs, strict=True)) < 1e-4


def test_yunet_takes_any_height_and_width_that_are_multiples_of_32() -> None:
    session = models.session(graphs.yunet(models.read(models.YUNET)))
    for height, width in ((32, 32), (96, 1280), (128, 160)):
        (scores,) = session.run(["cls_8"], {"input": np.zeros((1, 3, height, width), np.float32)})
        assert scores.shape == (1, height * width // 64, 1)


@pytest.mark.parametrize("rewrite", [graphs.sface, graphs.yunet])
def test_the_picture_is_the_only_input_and_nothing_slow_is_left(rewrite: object) -> None:
    file = models.SFACE if rewrite is graphs.sface else models.YUNET
    model = rewrite(models.read(file))  # type: ignore[operator]
    onnx.checker.check_model(model)
    assert len(model.graph.input) == 1
    assert {"PRelu", "DequantizeLinear"}.isdisjoint(node.op_type for node in model.graph.node)
