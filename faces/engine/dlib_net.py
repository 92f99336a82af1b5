"""dlib's face encoder as an ONNX graph: the weights of its .dat file in the network that dlib describes in C++.

The net (`dnn_face_recognition_ex.cpp`): a 7 x 7 convolution and a max pool, 14 residual blocks, the mean over space, a
256 x 128 matrix. Layers stand in the file from input to output.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from faces.errors import ModelFileError

Floats = npt.NDArray[np.float32]

CHIP: Final = 150
"""Side of the aligned face that the net takes."""

MEAN: Final = np.array([122.782, 117.001, 104.298])
"""What dlib subtracts from red, green and blue before it divides by 256."""

BLOCKS: Final = (
    *[(32, False)] * 3,
    *[(64, True), *[(64, False)] * 3],
    *[(128, True), *[(128, False)] * 2],
    *[(256, True), *[(256, False)] * 2],
    (256, True),
)
"""Filters of each residual block, and whether it halves height and width."""


@dataclass(frozen=True, slots=True, eq=False)
class Convolution:
    """Weights of shape (filters, channels, rows, columns) and biases, with what follows (`affine`) folded in."""

    weights: Floats
    biases: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """29 convolutions from input to output, and the last matrix (256 x 128)."""

    convolutions: list[Convolution]
    matrix: Floats


def parse(content: bytes) -> Weights:
    """The weights of `dlib_face_recognition_resnet_model_v1.dat`; raises ModelFileError for another structure."""
    try:
        convolutions = [_convolution(content, at) for at in _tags(content, b"\x01\x05con_4")]
        affine = [_tensor(content, at)[0] for at in _tags(content, b"\x01\x07affine_")]
        (last,) = _tags(content, b"\x01\x04fc_2")
        matrix = _matrix(content, last)
        folded = [_folded(*pair) for pair in zip(convolutions, affine, strict=True)]
    except (ValueError, struct.error, IndexError) as error:
        raise ModelFileError("the dlib weights are not of the structure expected") from error
    return Weights(folded, matrix)


def graph(weights: Weights, *, bgr: bool = False) -> onnx.ModelProto:
    """The net: input "chip" (1, 3, 150, 150), RGB from 0 to 255; output "encoding" (1, 128).

    With `bgr` it computes what dlib computes when it is handed BGR pixels for RGB.
    """
    net = _Net(iter(weights.convolutions))
    top = net.first(bgr)
    for filters, down in BLOCKS:
        top = net.block(top, filters, down)
    pooled = net.add("GlobalAveragePool", [top])
    flat = net.add("Flatten", [pooled])
    net.add("MatMul", [flat, net.constant("matrix", weights.matrix)], output="encoding")
    chip = helper.make_tensor_value_info("chip", TensorProto.FLOAT, [1, 3, CHIP, CHIP])
    encoding = helper.make_tensor_value_info("encoding", TensorProto.FLOAT, [1, 128])
    body = helper.make_graph(net.nodes, "dlib", [chip], [encoding], net.constants)
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@dataclass(slots=True)
class _Net:
    """Nodes and constants as they are laid, and the convolutions still to lay."""

    convolutions: Iterator[Convolution]
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)
    size: int = CHIP
    channels: int = 3

    def add(self, kind: str, inputs: list[str], *, output: str = "", **attributes: object) -> str:
        output = output or f"{kind}/{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def constant(self, name: str, values: npt.NDArray[np.generic]) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def convolve(self, source: str, convolution: Convolution, stride: int, padding: int) -> str:
        at = len(self.nodes)
        weights = self.constant(f"weights/{at}", convolution.weights)
        biases = self.constant(f"biases/{at}", convolution.biases)
        return self.add("Conv", [source, weights, biases], strides=[stride] * 2, pads=[padding] * 4)

    def first(self, bgr: bool) -> str:
        """The 7 x 7 convolution, into which (pixel - mean) / 256 is folded, and the max pool."""
        convolution = next(self.convolutions)
        weights = convolution.weights / 256
        biases = convolution.biases - np.einsum("fcij,c->f", weights, MEAN)
        pixels = weights[:, ::-1] if bgr else weights
        top = self.convolve("chip", Convolution(pixels.astype(np.float32), biases.astype(np.float32)), 2, 0)
        self.size = ((CHIP - 7) // 2 + 1 - 3) // 2 + 1
        self.channels = len(weights)
        return self.add("MaxPool", [self.add("Relu", [top])], kernel_shape=[3, 3], strides=[2, 2])

    def block(self, source: str, filters: int, down: bool) -> str:
        """relu(conv(relu(conv(source))) + source), where the smaller of both is padded with zeros at its end."""
        stride, padding = (2, 0) if down else (1, 1)
        inner = self.add("Relu", [self.convolve(source, next(self.convolutions), stride, padding)])
        inner = self.convolve(inner, next(self.convolutions), 1, 1)
        if down:
            source = self.add("AveragePool", [source], kernel_shape=[2, 2], strides=[2, 2])
            inner_size, outer_size = (self.size - 3) // 2 + 1, self.size // 2
            self.size = max(inner_size, outer_size)
            inner = self.pad(inner, 0, self.size - inner_size)
            source = self.pad(source, filters - self.channels, self.size - outer_size)
            self.channels = filters
        return self.add("Relu", [self.add("Add", [inner, source])])

    def pad(self, source: str, channels: int, space: int) -> str:
        if not channels and not space:
            return source
        ends = np.array([0, 0, 0, 0, 0, channels, space, space], np.int64)
        return self.add("Pad", [source, self.constant(f"pads/{len(self.nodes)}", ends)])


def _tags(content: bytes, tag: bytes) -> list[int]:
    """Where the data after each occurrence of a layer's name begins."""
    found: list[int] = []
    at = content.find(tag)
    while at >= 0:
        found.append(at + len(tag))
        at = content.find(tag, at + len(tag))
    return found


def _integer(content: bytes, at: int) -> tuple[int, int]:
    """An integer and where it ends: one byte with the sign (top bit) and the length, then little-endian bytes."""
    length = content[at] & 0x0F
    value = int.from_bytes(content[at + 1 : at + 1 + length], "little")
    return -value if content[at] & 0x80 else value, at + 1 + length


def _integers(content: bytes, at: int, count: int) -> tuple[list[int], int]:
    values: list[int] = []
    for _ in range(count):
        value, at = _integer(content, at)
        values.append(value)
    return values, at


def _tensor(content: bytes, at: int) -> tuple[Floats, int]:
    """All numbers of a tensor (version 2, then four sizes), and where it ends."""
    (version, *shape), at = _integers(content, at, 5)
    if version != 2:
        raise ValueError(f"tensor version {version}")
    count = int(np.prod(shape))
    return np.frombuffer(content, "<f4", count, at).astype(np.float32), at + 4 * count


def _convolution(content: bytes, at: int) -> Convolution:
    values, at = _tensor(content, at)
    (filters, rows, columns), at = _integers(content, at, 3)
    weights = values[:-filters].reshape(filters, -1, rows, columns)
    return Convolution(weights, values[-filters:])


def _folded(convolution: Convolution, affine: Floats) -> Convolution:
    """gamma * (convolution) + beta as one convolution."""
    gamma, beta = np.split(affine, 2)
    return Convolution(convolution.weights * gamma[:, None, None, None], convolution.biases * gamma + beta)


def _matrix(content: bytes, at: int) -> Floats:
    (outputs, inputs), at = _integers(content, at, 2)
    values, _ = _tensor(content, at)
    return values.reshape(inputs, outputs)
