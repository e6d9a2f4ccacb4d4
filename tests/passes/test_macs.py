from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar_export.passes.macs import count_macs, node_macs
from tests.conftest import DATA
from tests.passes.models import loaded, parsed

# One node, and its multiply-adds written out: numbers written (or read) times terms of each.
CASES: dict[str, tuple[str, int]] = {
    "Conv": (
        "(float[1,3,8,6] x, float[5,3,3,3] w) => (float[A,B,C,D] y) { y = Conv(x, w) }",
        (5 * 6 * 4) * (3 * 3 * 3),
    ),
    "Conv, padded, strided, batch of two": (
        "(float[2,3,8,6] x, float[5,3,3,3] w) => (float[A,B,C,D] y) "
        "{ y = Conv<pads = [1,1,1,1], strides = [2,2]>(x, w) }",
        (2 * 5 * 4 * 3) * (3 * 3 * 3),
    ),
    "Conv in groups": (
        "(float[1,6,8,6] x, float[4,3,1,2] w) => (float[A,B,C,D] y) { y = Conv<group = 2>(x, w) }",
        (4 * 8 * 5) * (3 * 1 * 2),
    ),
    "Conv, dilated": (
        "(float[1,3,8,6] x, float[5,3,3,3] w) => (float[A,B,C,D] y) "
        "{ y = Conv<dilations = [2,2]>(x, w) }",
        (5 * 4 * 2) * (3 * 3 * 3),
    ),
    "ConvTranspose": (
        "(float[1,3,8,6] x, float[3,5,4,4] w) => (float[A,B,C,D] y) "
        "{ y = ConvTranspose<pads = [1,1,1,1], strides = [2,2]>(x, w) }",
        (3 * 8 * 6) * (5 * 4 * 4),
    ),
    "ConvTranspose in groups": (
        "(float[1,4,8,6] x, float[4,3,2,2] w) => (float[A,B,C,D] y) "
        "{ y = ConvTranspose<group = 2>(x, w) }",
        (4 * 8 * 6) * (3 * 2 * 2),
    ),
    "Gemm": (
        "(float[3,7] x, float[7,5] w) => (float[A,B] y) { y = Gemm(x, w) }",
        (3 * 5) * 7,
    ),
    "Gemm, second transposed": (
        "(float[3,7] x, float[5,7] w) => (float[A,B] y) { y = Gemm<transB = 1>(x, w) }",
        (3 * 5) * 7,
    ),
    "Gemm, first transposed": (
        "(float[7,3] x, float[7,5] w) => (float[A,B] y) { y = Gemm<transA = 1>(x, w) }",
        (3 * 5) * 7,
    ),
    "MatMul": (
        "(float[3,7] x, float[7,5] w) => (float[A,B] y) { y = MatMul(x, w) }",
        (3 * 5) * 7,
    ),
    "MatMul, batched": (
        "(float[2,1,3,7] x, float[4,7,5] w) => (float[A,B,C,D] y) { y = MatMul(x, w) }",
        (2 * 4 * 3 * 5) * 7,
    ),
    "not counted, as is usual": (
        "(float[3,7] x, float[3,7] w) => (float[A,B] y) { y = Mul(x, w) }",
        0,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_multiply_adds_of_a_node(case: str) -> None:
    text, expected = CASES[case]
    (node,) = loaded(parsed(f"g {text}")).graph
    assert node_macs(node) == expected


@pytest.mark.parametrize("free", ["x", "w"])
def test_unknown_shapes_count_nothing(free: str) -> None:
    shapes = {"x": "1,3,8,6", "w": "5,3,3,3"} | {free: "N,3,P,Q"}
    body = f"g (float[{shapes['x']}] x, float[{shapes['w']}] w) => (float[A,B,C,D] y)"
    (node,) = loaded(parsed(f"{body} {{ y = Conv(x, w) }}")).graph
    assert node_macs(node) == 0


def test_a_model_is_the_sum_of_its_nodes() -> None:
    body = "g (float[1,3,8,8] x) => (float[1,4,8,8] y)"
    body += "{ c = Conv(x, w) r = Relu(c) y = Conv(r, v) }"
    shapes = {"w": np.zeros((2, 3, 1, 1)), "v": np.zeros((4, 2, 1, 1))}
    model = loaded(parsed(body, **{k: v.astype(np.float32) for k, v in shapes.items()}))
    assert count_macs(model) == 8 * 8 * (2 * 3 + 4 * 2)


@given(
    groups=st.integers(1, 3),
    cin=st.integers(1, 4),
    cout=st.integers(1, 4),
    kernel=st.integers(1, 3),
    stride=st.integers(1, 3),
    size=st.integers(3, 9),
)
@settings(max_examples=20, deadline=None)
def test_a_transposed_convolution_costs_what_its_convolution_does(
    groups: int, cin: int, cout: int, kernel: int, stride: int, size: int
) -> None:
    """One is the transpose of the other: the same matrix, the same products.

    But for what the convolution leaves at the border unread: sizes are chosen to leave none.
    """
    side = (size - 1) * stride + kernel
    attributes = f"<group = {groups}, strides = [{stride},{stride}]>"
    weight = f"float[{groups * cout},{cin},{kernel},{kernel}] w"
    forth = f"g (float[1,{groups * cin},{side},{side}] x, {weight}) => (float[A,B,C,D] y)"
    back = f"g (float[1,{groups * cout},{size},{size}] x, {weight}) => (float[A,B,C,D] y)"
    counts = [
        count_macs(loaded(parsed(f"{head} {{ y = {kind}{attributes}(x, w) }}")))
        for head, kind in ((forth, "Conv"), (back, "ConvTranspose"))
    ]
    assert counts[0] == counts[1] > 0


def convolution(cin: int, cout: int, side: int, kernel: int) -> str:
    pads = [kernel // 2] * 4
    inputs = f"float[1,{cin},{side},{side}] x, float[{cout},{cin},{kernel},{kernel}] w"
    return f"g ({inputs}) => (float[A,B,C,D] y) {{ y = Conv<pads = {pads}>(x, w) }}"


def linear(cin: int, cout: int) -> str:
    inputs = f"float[1,{cin}] x, float[{cout},{cin}] w"
    return f"g ({inputs}) => (float[A,B] y) {{ y = Gemm<transB = 1>(x, w) }}"


def test_layers_of_the_full_size_frame_graph() -> None:
    """The published sizes, layer by layer, against what hooks counted over the original code."""
    widths = [256, 256, 256, 256, 128, 64, 32]
    layers = [linear(*sizes) for sizes in ((136, 256), (256, 256), (256, 256), (256, 4096))]
    for k, (a, b) in enumerate(pairwise(widths)):
        small, large = 4 * 2**k, 8 * 2**k
        layers += [convolution(a, b, small, 3), convolution(b, b, large, 3)]
        layers.append(convolution(a, b, large, 1))
    layers += [convolution(32, head, 256, 3) for head in (2, 3, 1)]
    macs = json.loads((DATA / "bilayer_manifest.json").read_text())["macs"]
    assert sum(count_macs(loaded(parsed(layer))) for layer in layers) == macs["per_frame"]
