"""The networks as they run: rewritten once, at load, for speed; equal to the files within rounding."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

Constants = dict[str, npt.NDArray[Any]]


def yunet(content: bytes) -> onnx.ModelProto:
    """YuNet for RGB pictures of any height and width that are multiples of 32."""
    model = onnx.load_from_string(content)
    nodes, constants = _fold(model.graph)
    first = next(node for node in nodes if node.op_type == "Conv")
    constants[first.input[1]] = constants[first.input[1]][:, ::-1]
    _assemble(model, nodes, constants, "input")
    for value in (*model.graph.input, *model.graph.output):
        for axis, dim in enumerate(value.type.tensor_type.shape.dim):
            if dim.dim_value > 16:
                dim.dim_param = f"{value.name}/{axis}"
    return model


def sface(content: bytes) -> onnx.ModelProto:
    """SFace for one RGB chip of 112 x 112, with activations that ONNX Runtime is fast at."""
    model = onnx.load_from_string(content)
    nodes, constants = _fold(model.graph)
    fast: list[onnx.NodeProto] = []
    for node in nodes:
        if node.op_type == "PRelu":
            fast += _prelu(node, constants)
        elif node.op_type == "Dropout":
            fast.append(helper.make_node("Identity", node.input[:1], node.output[:1]))
        else:
            fast.append(node)
    _assemble(model, fast, constants, "data")
    return model


def _fold(graph: onnx.GraphProto) -> tuple[list[onnx.NodeProto], Constants]:
    """The nodes that remain, and all constants, once the block-quantised weights are computed."""
    constants: Constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.op_type == "DequantizeLinear":
            constants[node.output[0]] = _dequantised(node, constants)
        elif node.op_type == "Reshape" and node.input[0] in constants:
            constants[node.output[0]] = constants[node.input[0]].reshape(constants[node.input[1]])
        else:
            nodes.append(node)
    return nodes, constants


def _dequantised(node: onnx.NodeProto, constants: Constants) -> npt.NDArray[np.float32]:
    """(quantised - zero point) * scale, where each block of values along an axis shares scale and zero point."""
    quantised, scale, zero = (constants[name] for name in node.input)
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    axis, block = attributes["axis"], attributes["block_size"]
    blocks = np.arange(quantised.shape[axis]) // block
    centred = quantised.astype(np.float32) - zero.take(blocks, axis).astype(np.float32)
    weights: npt.NDArray[np.float32] = centred * scale.take(blocks, axis)
    return weights


def _prelu(node: onnx.NodeProto, constants: Constants) -> list[onnx.NodeProto]:
    """prelu(x) = a*x + (1-a)*relu(x), with the products as 1 x 1 depthwise convolutions.

    ONNX Runtime keeps convolutions in its blocked layout and fuses the sum into them; its own PRelu leaves that
    layout and takes three times as long as all else together. Where 1-a >= 0 it may stand inside relu, which fuses too.
    """
    x, slope = node.input
    (y,) = node.output
    a = constants[slope].reshape(-1, 1, 1, 1)
    constants[f"{y}/a"], constants[f"{y}/1-a"] = a, 1 - a
    positive, linear, half = f"{y}/positive", f"{y}/linear", f"{y}/half"
    if (a <= 1).all():
        rectified = [_scaled(x, f"{y}/1-a", half, len(a)), helper.make_node("Relu", [half], [positive])]
    else:
        rectified = [helper.make_node("Relu", [x], [half]), _scaled(half, f"{y}/1-a", positive, len(a))]
    return [*rectified, _scaled(x, f"{y}/a", linear, len(a)), helper.make_node("Add", [linear, positive], [y])]


def _scaled(source: str, factors: str, target: str, channels: int) -> onnx.NodeProto:
    return helper.make_node("Conv", [source, factors], [target], group=channels, kernel_shape=[1, 1])


def _assemble(model: onnx.ModelProto, nodes: list[onnx.NodeProto], constants: Constants, source: str) -> None:
    """Put nodes and the constants they use into the model, with the picture as its only input."""
    graph = model.graph
    used = {name for node in nodes for name in node.input}
    inputs = [value for value in graph.input if value.name == source]
    del graph.node[:], graph.initializer[:], graph.input[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.input.extend(inputs)
    graph.initializer.extend(
        numpy_helper.from_array(np.ascontiguousarray(array), name) for name, array in constants.items() if name in used
    )
