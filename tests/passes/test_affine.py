from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from avatar_export.passes.affine import absorb, affine_of, out_channels
from avatar_export.passes.base import constant
from avatar_export.precision.runner import run_onnx
from tests.passes.models import loaded, parsed, rng

SCALE, SHIFT = np.array([2.0, -0.5, 3.0]), np.array([1.0, 0.0, -4.0])

CONV = "[l] y = Conv<kernel_shape = [3,3], pads = [1,1,1,1]>(x, w, b)"
# What each layer needs, with three channels in and out.
LAYERS: dict[str, tuple[str, dict[str, np.ndarray]]] = {
    "Conv": (CONV, {"w": rng(3, 3, 3, 3), "b": rng(3)}),
    "Conv without bias": (CONV.replace(", b)", ")"), {"w": rng(3, 3, 3, 3)}),
    "Conv with an empty bias": (CONV.replace(", b)", ', "")'), {"w": rng(3, 3, 3, 3)}),
    "Conv, grouped": (
        CONV.replace("pads", "group = 3, pads"),
        {"w": rng(3, 1, 3, 3), "b": rng(3)},
    ),
    "ConvTranspose": (
        "[l] y = ConvTranspose<kernel_shape = [3,3], pads = [1,1,1,1]>(x, w, b)",
        {"w": rng(3, 3, 3, 3), "b": rng(3)},
    ),
    "ConvTranspose, grouped": (
        "[l] y = ConvTranspose<kernel_shape = [3,3], group = 3, pads = [1,1,1,1]>(x, w)",
        {"w": rng(3, 1, 3, 3)},
    ),
    "BatchNormalization": (
        "[l] y = BatchNormalization(x, w, b, m, v)",
        {"w": rng(3), "b": rng(3, seed=1), "m": rng(3, seed=2), "v": np.float32([0.5, 1, 2])},
    ),
}


def model_of(layer: str, tail: str = "z = Relu(y)", outputs: str = "float[1,3,5,4] z") -> ir.Model:
    text, weights = LAYERS[layer]
    return loaded(parsed(f"g (float[1,3,5,4] x) => ({outputs}) {{ {text} {tail} }}", **weights))


@pytest.mark.parametrize("layer", LAYERS)
def test_layers_that_can_take_over_what_follows(layer: str) -> None:
    assert out_channels(model_of(layer).graph.node("l")) == 3


@pytest.mark.parametrize("layer", LAYERS)
def test_absorb_scales_and_shifts_each_channel(layer: str) -> None:
    model, x = model_of(layer, "z = Identity(y)"), rng(1, 3, 5, 4)
    expected = run_onnx(ir.to_proto(model), {"x": x})["z"]
    expected = expected * SCALE.reshape(3, 1, 1) + SHIFT.reshape(3, 1, 1)
    absorb(model, model.graph.node("l"), SCALE, SHIFT)
    proto = ir.to_proto(model)
    onnx.checker.check_model(proto, full_check=True)
    found = run_onnx(proto, {"x": x})["z"]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * abs(expected).max())


def test_absorb_leaves_a_shared_weight_to_the_others() -> None:
    model = model_of("Conv", "z = Conv<pads = [1,1,1,1]>(y, w, b)")
    absorb(model, model.graph.node("l"), SCALE, SHIFT)
    np.testing.assert_array_equal(
        model.graph.initializers["w"].const_value.numpy(), rng(3, 3, 3, 3)
    )
    assert [v.name for v in list(model.graph)[1].inputs] == ["y", "w", "b"]


def test_absorb_names_what_it_makes_after_the_layer() -> None:
    model = model_of("Conv")
    absorb(model, model.graph.node("l"), SCALE, SHIFT)
    assert [v.name for v in model.graph.node("l").inputs] == ["x", "l.weight", "l.bias"]


def test_absorb_computes_in_double_precision() -> None:
    """The product is rounded once, at the end."""
    model = model_of("Conv without bias")
    node = model.graph.node("l")
    absorb(model, node, np.full(3, 1 / 3), np.zeros(3))
    exact = rng(3, 3, 3, 3).astype(np.float64) * (1 / 3)
    np.testing.assert_array_equal(constant(node.inputs[1]), np.float32(exact))
    assert (np.float32(exact) != rng(3, 3, 3, 3) * np.float32(1 / 3)).any()


@pytest.mark.parametrize(
    ("tail", "outputs"),
    [
        ("z = Relu(y)", "float[1,3,5,4] z, float[1,3,5,4] y"),
        ("z = Mul(y, y)", "float[1,3,5,4] z"),
        ("z = Relu(y) o = Neg(y)", "float[1,3,5,4] z, float[1,3,5,4] o"),
        ("z = Relu(x)", "float[1,3,5,4] z"),
    ],
    ids=["is a graph output", "read twice by one node", "two readers", "no reader"],
)
def test_a_result_that_others_read_is_left_alone(tail: str, outputs: str) -> None:
    assert out_channels(model_of("Conv", tail, outputs).graph.node("l")) is None


@pytest.mark.parametrize("computed", ["w", "b"])
def test_computed_weights_are_left_alone(computed: str) -> None:
    shape = {"w": "3,3,3,3", "b": "3"}[computed]
    weights = {k: v for k, v in LAYERS["Conv"][1].items() if k != computed}
    body = f"g (float[1,3,5,4] x, float[{shape}] {computed}) => (float[1,3,5,4] z)"
    model = loaded(parsed(f"{body} {{ {CONV} z = Relu(y) }}", **weights))
    assert out_channels(model.graph.node("l")) is None


def test_other_nodes_are_no_layers() -> None:
    model = model_of("Conv", "[r] q = Relu(y) z = Neg(q)")
    assert out_channels(model.graph.node("r")) is None
    assert out_channels(None) is None


def test_a_second_output_in_use_is_left_alone() -> None:
    text = "[l] y, p, q = BatchNormalization<training_mode = 1>(x, w, b, m, v) z = Relu(y)"
    body = f"g (float[1,3,5,4] x) => (float[1,3,5,4] z, float[3] p) {{ {text} }}"
    model = loaded(parsed(body, opset=15, **LAYERS["BatchNormalization"][1]))
    assert out_channels(model.graph.node("l")) is None


def read_as(text: str, opset: int = 13, rank: str = "1,3,5,4", **weights: object) -> str | None:
    """``scale, shift`` that a node ``[n]`` is read as, in short."""
    body = f"g (float[{rank}] x) => (float[{rank}] y) {{ [n] y = {text} }}"
    affine = affine_of(loaded(parsed(body, opset, **weights)).graph.node("n"))
    if affine is None:
        return None
    assert affine.data.name == "x"
    return f"{affine.scale.tolist()} {affine.shift.tolist()}"


K = np.float32([[[1]], [[2]], [[4]]])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Mul(x, k)", "[1.0, 2.0, 4.0] [0.0, 0.0, 0.0]"),
        ("Mul(k, x)", "[1.0, 2.0, 4.0] [0.0, 0.0, 0.0]"),
        ("Div(x, k)", "[1.0, 0.5, 0.25] [0.0, 0.0, 0.0]"),
        ("Add(k, x)", "[1.0, 1.0, 1.0] [1.0, 2.0, 4.0]"),
        ("Sub(x, k)", "[1.0, 1.0, 1.0] [-1.0, -2.0, -4.0]"),
        ("Sub(k, x)", "[-1.0, -1.0, -1.0] [1.0, 2.0, 4.0]"),
        ("Div(k, x)", None),
        ("Add(x, x)", None),
        ("Max(x, k)", None),
    ],
)
def test_arithmetic_with_constants_is_read(text: str, expected: str | None) -> None:
    assert read_as(text, k=K) == expected


def test_a_number_for_all_channels_is_read() -> None:
    assert read_as("Mul(x, k)", k=3.0) == "[3.0, 3.0, 3.0] [0.0, 0.0, 0.0]"


@pytest.mark.parametrize("shape", [(4,), (5, 4), (2, 3, 1, 1), (1, 1, 1, 1, 1), (3, 1, 4)])
def test_what_varies_elsewhere_is_not_read(shape: tuple[int, ...]) -> None:
    body = "g (float[1,3,5,4] x) => (float[A] y) { [n] y = Mul(x, k) }".replace(
        "float[A]", f"float[{','.join(map(str, np.broadcast_shapes(shape, (1, 3, 5, 4))))}]"
    )
    assert affine_of(loaded(parsed(body, k=rng(*shape))).graph.node("n")) is None


def test_division_by_zero_is_not_read() -> None:
    assert read_as("Div(x, k)", k=[[[1.0]], [[0.0]], [[2.0]]]) is None


def test_whole_numbers_are_not_read() -> None:
    """Their division cuts off."""
    body = "g (int64[1,3] x) => (int64[1,3] y) { [n] y = Div(x, k) }"
    model = loaded(parsed(body, k=np.array([2], np.int64)))
    assert affine_of(model.graph.node("n")) is None


def test_a_batch_norm_is_read_with_its_statistics() -> None:
    numbers = {"w": [2.0, 1.0, 1.0], "b": [1.0, 0.0, 0.0], "m": [3.0, 0.0, 1.0], "v": [3.0, 0, 0]}
    text = "BatchNormalization<epsilon = 1.0>(x, w, b, m, v)"
    assert read_as(text, **numbers) == "[1.0, 1.0, 1.0] [-2.0, 0.0, -1.0]"


def test_a_batch_norm_in_training_is_not_read() -> None:
    body = "g (float[2,3,5,4] x) => (float[2,3,5,4] y) "
    body += "{ [n] y, p, q = BatchNormalization<training_mode = 1>(x, w, b, m, v) }"
    model = loaded(parsed(body, opset=15, **LAYERS["BatchNormalization"][1]))
    assert affine_of(model.graph.node("n")) is None


def test_the_last_axis_may_be_the_channels() -> None:
    body = "g (float[2,7,3] x) => (float[2,7,3] y) { [n] y = Mul(x, k) }"
    node = loaded(parsed(body, k=[1.0, 2.0, 3.0])).graph.node("n")
    assert affine_of(node) is None
    affine = affine_of(node, -1)
    assert affine is not None and affine.scale.tolist() == [1, 2, 3]
