from __future__ import annotations

import numpy as np
import pytest

from avatar_export.passes.pointwise import is_1x1, is_flat, keeps_grid, pixel_slots
from avatar_export.precision.runner import run_onnx
from tests.passes.models import loaded, parsed, rng

NUMBERS = {"w": rng(6, 4, 1, 1), "k": rng(6, 4, 3, 3), "b": rng(6), "p": rng(4, 1, 1)} | {
    "s": np.full(4, 0.5, np.float32),
    "low": np.float32(-1),
    "image": rng(1, 1, 4, 6),
    "row": rng(6),
    "column": rng(4, 1),
}
IMAGE = np.abs(rng(1, 4, 4, 6)) + 0.1  # positive, for Log and Sqrt

POINTWISE = {
    "Conv(x, w, b)": [0],
    "Conv<dilations = [2,3], group = 1>(x, w)": [0],
    "Relu(x)": [0],
    "LeakyRelu<alpha = 0.2>(x)": [0],
    "Softplus(x)": [0],
    "Erf(x)": [0],
    "Log(x)": [0],
    "Clip(x, low)": [0],
    'Clip(x, "", low)': [0],
    "PRelu(x, p)": [0],
    "BatchNormalization(x, s, s, s, s)": [0],
    "Mul(x, low)": [0],
    "Sub(p, x)": [1],
    "Add(x, x)": [0, 1],
    "Max(x, p, x)": [0, 2],
    "Mul(x, image)": [0, 1],
    "Add(x, row)": [0, 1],
    "Concat<axis = 1>(x, x)": [0, 1],
    "Concat<axis = -3>(x, x, x)": [0, 1, 2],
}
MIXING = [
    "Conv<pads = [1,1,1,1]>(x, k)",
    "Conv<pads = [1,1,1,1]>(x, w)",
    "Conv<strides = [1,2]>(x, w)",
    "Concat<axis = 2>(x, x)",
    "AveragePool<kernel_shape = [1,1]>(x)",
    "InstanceNormalization(x, s, s)",
    "Softmax<axis = 3>(x)",
    "Transpose<perm = [0,1,3,2]>(x)",
    "GlobalMaxPool(x)",
]


def first(expression: str, opset: int = 13, outputs: str = "y") -> object:
    body = f"g (float[1,4,4,6] x) => (float[N,C,H,W] y) {{ {outputs} = {expression} }}"
    model = loaded(parsed(body, opset, **NUMBERS))
    return model.graph.node(0)


@pytest.mark.parametrize("expression", POINTWISE)
def test_slots_with_pixels(expression: str) -> None:
    assert pixel_slots(first(expression)) == POINTWISE[expression]


@pytest.mark.parametrize("expression", MIXING)
def test_operators_that_mix_or_move_pixels(expression: str) -> None:
    assert pixel_slots(first(expression)) is None


@pytest.mark.parametrize(
    "expression", [e for e in POINTWISE if "image" not in e and "row" not in e]
)
def test_what_is_said_is_so(expression: str) -> None:
    """Pixels in another order give the result in that order."""
    body = f"g (float[1,4,4,6] x) => (float[N,C,H,W] y) {{ y = {expression} }}"
    proto = parsed(body, **NUMBERS)
    order = np.random.default_rng(0).permutation(24)
    y = run_onnx(proto, {"x": IMAGE})["y"]
    mixed = IMAGE.reshape(1, 4, 24)[..., order].reshape(IMAGE.shape)
    found = run_onnx(proto, {"x": mixed})["y"]
    expected = y.reshape(*y.shape[:2], 24)[..., order].reshape(y.shape)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_batch_norm_that_measures() -> None:
    norm = "BatchNormalization<training_mode = 1>(x, s, s, s, s)"
    assert pixel_slots(first(norm, 15, "y, m, v")) is None


def test_a_batch_norm_whose_statistics_are_read() -> None:
    """Set 9 could give the running mean back."""
    body = "g (float[1,4,4,6] x) => (float[N,C,H,W] y, float[4] m)"
    norm = "y, m, v, n, w2 = BatchNormalization(x, s, s, s, s)"
    model = loaded(parsed(f"{body} {{ {norm} }}", 9, **NUMBERS))
    assert pixel_slots(model.graph.node(0)) is None


def test_a_batch_norm_with_numbers_for_each_pixel() -> None:
    norm = "BatchNormalization<spatial = 0>(x, s, s, s, s)"
    assert pixel_slots(first(norm, 7)) is None


def test_an_operator_of_another_domain() -> None:
    model = loaded(parsed("g (float[1,4,4,6] x) => (float[1,4,4,6] y) { y = custom.Relu(x) }"))
    assert pixel_slots(model.graph.node(0)) is None


def test_an_unknown_size() -> None:
    model = loaded(parsed("g (float[1,4,H,W] x) => (float[1,4,H,W] y) { y = Relu(x) }"))
    assert pixel_slots(model.graph.node(0)) is None


def test_no_image() -> None:
    model = loaded(parsed("g (float[4,6] x) => (float[4,6] y) { y = Relu(x) }"))
    assert pixel_slots(model.graph.node(0)) is None


@pytest.mark.parametrize(
    ("name", "flat"), [("p", True), ("low", True), ("row", False), ("column", False)]
)
def test_what_varies_over_the_image(name: str, flat: bool) -> None:
    node = first(f"Mul(x, {name})")
    assert is_flat(node.inputs[1]) is flat


def test_a_kernel_of_one_pixel() -> None:
    assert is_1x1(first("Conv(x, w)"))
    assert not is_1x1(first("Conv(x, k)"))
    assert not is_1x1(first("Relu(x)"))


def test_a_convolution_that_keeps_the_grid() -> None:
    assert keeps_grid(first("Conv<pads = [0,0,0,0], strides = [1,1]>(x, w)"))
    assert not keeps_grid(first("Conv<pads = [0,0,0,1]>(x, w)"))
    assert not keeps_grid(first("Conv<strides = [2,2]>(x, w)"))
