"""Small graphs for ``ort_cost``: an operator between convolutions, as generators have it.

ONNX Runtime keeps images in blocks of channels between convolutions, and takes them out of the
blocks for operators that do not know them. That costs more than many an operator, so none is
measured alone: a block is some operators whose result is as large as what they read, and a graph
is a convolution, the block once or several times, and a convolution. What one block takes is the
difference of two such graphs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_OPSET = 13
_NEAREST = {
    "mode": "nearest",
    "coordinate_transformation_mode": "asymmetric",
    "nearest_mode": "floor",
}


class Net:
    """A graph that grows by one node at a time, [1, channels, side, side] to begin with."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self._random = np.random.default_rng(0)

    def put(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a node; returns the name of its result."""
        result = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [result], **attributes))
        return result

    def weight(self, array: object) -> str:
        """Add an initializer; returns its name."""
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def noise(self, *shape: int) -> str:
        """Add an initializer of random numbers that keep a chain of layers in range."""
        numbers = self._random.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
        return self.weight(numbers.astype(np.float32))

    def conv(self, x: str, before: int, after: int, side: int, pad: int = 0, **more: Any) -> str:
        """A convolution with bias; without ``pad`` the image keeps its size."""
        weight = self.noise(after, before // more.get("group", 1), side, side)
        pads = [pad or side // 2] * 4
        kernel = {"kernel_shape": [side, side], "pads": pads}
        return self.put("Conv", x, weight, self.noise(after), **kernel, **more)

    def deconv(self, x: str, channels: int, side: int, pad: int) -> str:
        """A transposed convolution with bias that doubles the size of the image."""
        kernel = {"kernel_shape": [side, side], "pads": [pad] * 4, "strides": [2, 2]}
        weight, bias = self.noise(channels, channels, side, side), self.noise(channels)
        return self.put("ConvTranspose", x, weight, bias, **kernel)

    def resize(self, x: str, **attributes: Any) -> str:
        """Twice the size, by repeating pixels unless attributes say otherwise."""
        scales = self.weight(np.array([1, 1, 2, 2], np.float32))
        return self.put("Resize", x, "", scales, **(attributes or _NEAREST))

    def halved(self, x: str, channels: int) -> str:
        """A pointwise convolution of every other pixel."""
        return self.conv(x, channels, channels, 1, strides=[2, 2])

    def model(self, x: Sequence[int], result: str, y: Sequence[int]) -> onnx.ModelProto:
        """The graph from input ``x`` to ``result``, with their shapes."""
        ports = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in (("x", x), (result, y))
        ]
        graph = helper.make_graph(self.nodes, "blocks", ports[:1], ports[1:], self.weights)
        opset = helper.make_opsetid("", _OPSET)
        return helper.make_model(graph, opset_imports=[opset], ir_version=8)


Block = Callable[[Net, str, int, int], str]
"""Adds its nodes to a net: from a tensor, its channels and its side to a tensor of that shape."""


@dataclass(frozen=True)
class Case:
    """A block at one size.

    Attributes:
        channels, side: of the image; a matrix [side, channels] where ``block`` is a product.
        blocks: how many more the longer of two graphs has.
    """

    name: str
    block: Block
    channels: int
    side: int
    blocks: int = 2

    def model(self, count: int) -> onnx.ModelProto:
        """A graph with the block ``count`` times; its input is named x."""
        net, c, n = Net(), self.channels, self.side
        matrix = self.block is _products
        y = "x" if matrix else net.conv("x", c, c, 1)
        for _ in range(count):
            y = self.block(net, y, c, n)
        if matrix:
            return net.model([n, c], y, [n, c])
        return net.model([1, c, n, n], net.conv(y, c, 16, 1), [1, 16, n, n])

    def __str__(self) -> str:
        return f"{self.name}, {self.channels} channels, {self.side}"


def _unary(operator: str, **attributes: Any) -> Block:
    """An operator of the blocked layout, again and again."""
    return lambda net, x, c, n: net.put(operator, x, **attributes)


def _with_relu(operator: str) -> Block:
    """An operator of two images: x, and what a Relu makes of it."""
    return lambda net, x, c, n: net.put(operator, x, net.put("Relu", x))


def _before_conv(operator: str, *constants: Callable[[Net, int], str], **attributes: Any) -> Block:
    """An operator, and a sum with its input after a convolution: no layer can take it over."""

    def block(net: Net, x: str, c: int, n: int) -> str:
        made = net.put(operator, x, *(constant(net, c) for constant in constants), **attributes)
        return net.put("Add", net.conv(made, c, c, 1), x)

    return block


def _ones(net: Net, channels: int) -> str:
    return net.weight(np.ones(channels, np.float32))


def _concat(net: Net, x: str, c: int, n: int) -> str:
    return net.conv(net.put("Concat", x, net.put("Relu", x), axis=1), 2 * c, c, 1)


def _split(net: Net, x: str, c: int, n: int) -> str:
    halves = [f"v{len(net.nodes)}", f"half{len(net.nodes)}"]
    net.nodes.append(helper.make_node("Split", [x], halves, axis=1))
    return net.conv(net.put("Concat", *reversed(halves), axis=1), c, c, 1)


def _crop(net: Net, x: str, c: int, n: int) -> str:
    limits = [net.weight(np.array(pair)) for pair in ([1, 1], [n - 1, n - 1], [2, 3])]
    return net.conv(net.put("Slice", x, *limits), c, c, 1, pad=1)


def _depth_to_space(net: Net, x: str, c: int, n: int) -> str:
    return net.halved(net.put("DepthToSpace", net.conv(x, c, 4 * c, 1), blocksize=2), c)


def _gather(net: Net, x: str, c: int, n: int) -> str:
    """A depth-to-space as the pass gather-pixels writes it."""
    last = net.put("Transpose", net.conv(x, c, 4 * c, 1), perm=[0, 2, 3, 1])
    rows = np.arange(4 * n * n).reshape(n, n, 2, 2).swapaxes(1, 2).reshape(1, 2 * n, 2 * n)
    table = net.put("Reshape", last, net.weight(np.array([4 * n * n, c])))
    pixels = net.put("Gather", table, net.weight(rows), axis=0)
    return net.halved(net.put("Transpose", pixels, perm=[0, 3, 1, 2]), c)


def _products(net: Net, x: str, c: int, n: int) -> str:
    wide = net.put("Gemm", x, net.noise(4 * c, c), net.noise(4 * c), transB=1)
    return net.put("Gemm", wide, net.noise(c, 4 * c), net.noise(c), transB=1)


_BLOCKS: dict[str, Block] = {
    "conv 3x3": lambda net, x, c, n: net.conv(x, c, c, 3),
    "conv 1x1": lambda net, x, c, n: net.conv(x, c, c, 1),
    "conv 5x5": lambda net, x, c, n: net.conv(x, c, c, 5),
    "to 6 channels and back": lambda net, x, c, n: net.conv(net.conv(x, c, 6, 3), 6, c, 3),
    "depthwise 3x3": lambda net, x, c, n: net.conv(x, c, c, 3, group=c),
    "depthwise 5x5": lambda net, x, c, n: net.conv(x, c, c, 5, group=c),
    "products of matrices": _products,
    "deconv 4x4": lambda net, x, c, n: net.halved(net.deconv(x, c, 4, 1), c),
    "deconv 2x2": lambda net, x, c, n: net.halved(net.deconv(x, c, 2, 0), c),
    "nearest x2": lambda net, x, c, n: net.halved(net.resize(x), c),
    "linear x2": lambda net, x, c, n: net.halved(net.resize(x, mode="linear"), c),
    "average pool 2x2": _unary("AveragePool", kernel_shape=[2, 2], pads=[0, 0, 1, 1]),
    "depth to space": _depth_to_space,
    "gather of pixels": _gather,
    "crop": _crop,
    "swap of axes": lambda net, x, c, n: net.conv(
        net.put("Transpose", x, perm=[0, 1, 3, 2]), c, c, 1
    ),
    "Relu": _unary("Relu"),
    "Sigmoid": _unary("Sigmoid"),
    "Tanh": _unary("Tanh"),
    "Relu, conv 1x1": _before_conv("Relu"),
    "LeakyRelu, conv 1x1": _before_conv("LeakyRelu", alpha=0.2),
    "batch norm, conv 1x1": _before_conv("BatchNormalization", *[_ones] * 4),
    "instance norm, conv 1x1": _before_conv("InstanceNormalization", *[_ones] * 2),
    "Relu and Add": _with_relu("Add"),
    "Relu and Mul": _with_relu("Mul"),
    "Relu and Concat": _concat,
    "Split and Concat": _split,
}

# Channels and sides of the portrait's generator at 256 px, after and before upsampling.
_LARGE = [(32, 256), (64, 128), (128, 64), (256, 32)]
_SMALL = [(32, 128), (64, 64), (128, 32), (256, 16)]
_SIZES: dict[str, list[tuple[int, int]]] = {
    "conv 3x3": [*_LARGE, (256, 16), (256, 8), (256, 4), (20, 128), (48, 64)],
    "conv 1x1": [*_LARGE, (256, 16), (256, 8), (20, 128)],
    "conv 5x5": [(64, 64)],
    "to 6 channels and back": [(32, 256), (64, 128)],
    "products of matrices": [(128, 1), (256, 1), (512, 1), (128, 64), (256, 256)],
    **dict.fromkeys(["deconv 4x4", "deconv 2x2", "nearest x2", "linear x2"], _SMALL),
    **dict.fromkeys(["depth to space", "gather of pixels"], _SMALL),
}


def cases() -> Iterator[Case]:
    """Every block at its sizes, and one so small that it is nothing but a launch."""
    yield Case("launch", _BLOCKS["Relu"], 16, 4, blocks=50)
    for name, block in _BLOCKS.items():
        for channels, side in _SIZES.get(name, _LARGE):
            yield Case(name, block, channels, side)


def _upsampled(net: Net, x: str, c: int, n: int) -> str:
    """What a decoder repeats: upsampling, a convolution, an activation."""
    wide = net.conv(net.resize(x), c, c, 3)
    return net.halved(net.put("LeakyRelu", wide, alpha=0.2), c)


def decoder_cases() -> Iterator[Case]:
    """The block whose equal forms the passes choose between."""
    for channels, side in _SMALL:
        yield Case("upsampled", _upsampled, channels, side)
