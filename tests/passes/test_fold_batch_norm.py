from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar_export.errors import ModelError
from avatar_export.passes.fold_batch_norm import FoldBatchNorm
from avatar_export.precision.runner import run_onnx
from tests.passes.models import (
    applied,
    attributes,
    initializers,
    loaded,
    operators,
    parsed,
    rewritten,
    rng,
    stamps,
)

NORM = "[norm] y = BatchNormalization<epsilon = 1e-7>(c, g, h, m, v)"
X = rng(1, 4, 5, 3)


def norms(channels: int = 4) -> dict[str, np.ndarray]:
    variance = np.random.default_rng(3).uniform(0.2, 3, channels).astype(np.float32)
    return {"g": rng(channels), "h": rng(channels, seed=1), "m": rng(channels, seed=2)} | {
        "v": variance
    }


LAYERS: dict[str, tuple[str, dict[str, np.ndarray]]] = {
    "Conv": ("Conv<pads = [1,1,1,1]>(x, w, b)", {"w": rng(4, 4, 3, 3), "b": rng(4)}),
    "Conv without bias": ("Conv<pads = [1,1,1,1]>(x, w)", {"w": rng(4, 4, 3, 3)}),
    "Conv in groups": ("Conv<group = 2, pads = [1,1,1,1]>(x, w)", {"w": rng(4, 2, 3, 3)}),
    "depthwise Conv": ("Conv<group = 4, pads = [1,1,1,1]>(x, w)", {"w": rng(4, 1, 3, 3)}),
    "ConvTranspose": (
        "ConvTranspose<pads = [1,1,1,1]>(x, w, b)",
        {"w": rng(4, 4, 3, 3), "b": rng(4)},
    ),
    "ConvTranspose without bias": (
        "ConvTranspose<pads = [1,1,1,1]>(x, w)",
        {"w": rng(4, 4, 3, 3)},
    ),
}


def model_of(
    layer: str, norm: str = NORM, outputs: str = "float[1,4,5,3] y", opset: int = 13
) -> onnx.ModelProto:
    text, weights = LAYERS[layer]
    body = f"g (float[1,4,5,3] x) => ({outputs}) {{ [layer] c = {text} {norm} }}"
    return parsed(body, opset, **weights, **norms())


def alone(norm: str = NORM, opset: int = 13, **numbers: object) -> onnx.ModelProto:
    """A norm of a graph input."""
    body = "g (float[1,4,5,3] c) => (float[1,4,5,3] y) { " + norm + " }"
    return parsed(body, opset, **norms() | numbers)


@pytest.mark.parametrize("layer", LAYERS)
def test_a_norm_goes_into_the_layer(layer: str) -> None:
    after, changes = rewritten(FoldBatchNorm(), model_of(layer), x=X)
    assert operators(after) == [layer.removeprefix("depthwise ").split()[0]]
    assert changes == ["norm: folded into layer"]
    assert stamps(after) == {"layer": "fold-batch-norm"}
    assert set(initializers(after)) == {"layer.weight", "layer.bias"}


def test_norms_in_a_row_go_into_the_layer() -> None:
    second = NORM.replace("y =", "d =") + " e = BatchNormalization(d, g, h, m, v) y = Relu(e)"
    after, changes = rewritten(FoldBatchNorm(), model_of("Conv", second), x=X)
    assert operators(after) == ["Conv", "Relu"]
    assert len(changes) == 2


def test_a_norm_of_a_sum_is_reduced_to_scale_and_shift() -> None:
    sum_of = "d = Add(c, x) [norm] e = BatchNormalization<epsilon = 1e-7>(d, g, h, m, v) "
    after, changes = rewritten(FoldBatchNorm(), model_of("Conv", sum_of + "y = Relu(e)"), x=X)
    assert operators(after) == ["Conv", "Add", "BatchNormalization", "Relu"]
    assert changes == ["norm: reduced to scale and shift"]
    assert stamps(after) == {"norm": "fold-batch-norm"}
    norm = after.graph.node[2]
    assert attributes(norm)["epsilon"] == 0.0
    numbers = initializers(after)
    scale, shift, mean, variance = (numbers[name].astype(np.float64) for name in norm.input[1:])
    np.testing.assert_array_equal(mean, np.zeros(4))
    np.testing.assert_array_equal(variance, np.ones(4))
    n = {name: array.astype(np.float64) for name, array in norms().items()}
    factor = n["g"] / np.sqrt(n["v"] + np.float32(1e-7))
    np.testing.assert_allclose(scale, factor, rtol=1e-6)
    np.testing.assert_allclose(shift, n["h"] - factor * n["m"], rtol=1e-6)


@pytest.mark.parametrize(
    ("outputs", "tail"),
    [("float[1,4,5,3] y, float[1,4,5,3] c", ""), ("float[1,4,5,3] z", "z = Add(y, c)")],
    ids=["is a graph output", "has another reader"],
)
def test_a_layer_that_others_read_keeps_its_numbers(outputs: str, tail: str) -> None:
    after, changes = rewritten(FoldBatchNorm(), model_of("Conv", f"{NORM} {tail}", outputs), x=X)
    assert operators(after)[:2] == ["Conv", "BatchNormalization"]
    assert changes == ["norm: reduced to scale and shift"]


def test_a_norm_that_two_read_folds_all_the_same() -> None:
    """What counts is that nobody else reads the layer."""
    tail = f"{NORM} z = Relu(y)"
    proto = model_of("Conv", tail, "float[1,4,5,3] y, float[1,4,5,3] z")
    after, _ = rewritten(FoldBatchNorm(), proto, x=X)
    assert operators(after) == ["Conv", "Relu"]


def test_numbers_that_two_norms_share() -> None:
    body = "g (float[1,4,5,3] x) => (float[1,4,5,3] y, float[1,4,5,3] z) {"
    body += "y = BatchNormalization(x, g, h, m, v) r = Relu(x)"
    body += "z = BatchNormalization<epsilon = 0.5>(r, g, h, m, v) }"
    after, changes = rewritten(FoldBatchNorm(), parsed(body, **norms()), x=X)
    assert len(changes) == 2
    assert len(initializers(after)) == 8


def test_double_precision_of_a_tiny_variance() -> None:
    """Far below epsilon, whose square root single precision would round before the division."""
    variance, mean = np.full(4, 1e-12, np.float32), np.float32([1, 3, 5, 7]) * 1e-3
    proto = alone(v=variance, m=mean)
    after, _ = applied(FoldBatchNorm(), proto)
    numbers = initializers(after)
    n = {name: array.astype(np.float64) for name, array in initializers(proto).items()}
    factor = n["g"] / np.sqrt(n["v"] + float(np.float32(1e-7)))
    shift = n["h"] - factor * n["m"]
    np.testing.assert_array_equal(numbers["norm.scale"], np.float32(factor))
    np.testing.assert_array_equal(numbers["norm.shift"], np.float32(shift))
    x = X * 1e-3
    exact = x * factor.reshape(4, 1, 1) + shift.reshape(4, 1, 1)
    found = run_onnx(after, {"c": x})["y"]
    np.testing.assert_allclose(found, exact, rtol=0, atol=1e-6 * abs(exact).max())


def test_variance_zero() -> None:
    """A channel that is dead in training."""
    rewritten(FoldBatchNorm(), alone(v=[0.0, 0.0, 1.0, 1e-12]), c=X)


def test_the_default_epsilon() -> None:
    """1e-5, and it is not dropped with the attribute."""
    norm = NORM.replace("<epsilon = 1e-7>", "")
    rewritten(FoldBatchNorm(), alone(norm, v=[1e-5] * 4), c=X)


def test_double_precision_stays_double() -> None:
    body = "g (double[1,4,5,3] c) => (double[1,4,5,3] y) { " + NORM + " }"
    numbers = {name: array.astype(np.float64) for name, array in norms().items()}
    rewritten(FoldBatchNorm(), parsed(body, **numbers), c=X.astype(np.float64))


def test_a_reduced_norm_is_left_as_it_is() -> None:
    once, _ = rewritten(FoldBatchNorm(), alone(), c=X)
    twice, changes = rewritten(FoldBatchNorm(), once, c=X)
    assert changes == []
    assert twice == once


def test_an_epsilon_of_zero_alone_is_not_reduced() -> None:
    _, changes = rewritten(FoldBatchNorm(), alone(NORM.replace("1e-7", "0.0")), c=X)
    assert changes == ["norm: reduced to scale and shift"]


def test_an_epsilon_beside_mean_0_and_variance_1_is_reduced() -> None:
    proto = alone(NORM.replace("1e-7", "0.5"), m=[0, 0, 0, 0], v=[1, 1, 1, 1])
    _, changes = rewritten(FoldBatchNorm(), proto, c=X)
    assert changes == ["norm: reduced to scale and shift"]


@pytest.mark.parametrize("changed", [{"m": [0, 0, 1, 0]}, {"v": [1, 1, 1, 2]}])
def test_one_channel_with_a_mean_or_variance_is_not_reduced(changed: dict[str, object]) -> None:
    numbers = {"m": [0, 0, 0, 0], "v": [1, 1, 1, 1]} | changed
    _, changes = rewritten(FoldBatchNorm(), alone(NORM.replace("1e-7", "0.0"), **numbers), c=X)
    assert changes == ["norm: reduced to scale and shift"]


def test_training_mode_is_left_alone() -> None:
    norm = "y, p, q = BatchNormalization<training_mode = 1>(c, g, h, m, v)"
    after, changes = applied(FoldBatchNorm(), alone(norm, opset=15))
    assert changes == []
    assert set(initializers(after)) == set(norms())


@pytest.mark.parametrize("read", ["an output", "a node"])
def test_a_second_output_in_use_is_left_alone(read: str) -> None:
    """Set 9 could give the running mean and variance back."""
    norm = "y, p, q, r, s = BatchNormalization(x, g, h, m, v) z = Relu(p)"
    outputs = "float[1,4,5,3] y, float[4] " + {"an output": "p", "a node": "z"}[read]
    proto = parsed(f"g (float[1,4,5,3] x) => ({outputs}) {{ {norm} }}", 9, **norms())
    after, changes = applied(FoldBatchNorm(), proto)
    assert changes == []
    assert len(initializers(after)) == 4


def test_a_second_output_that_nobody_reads() -> None:
    norm = "y, p, q, r, s = BatchNormalization(c, g, h, m, v)"
    _, changes = applied(FoldBatchNorm(), alone(norm, opset=9))
    assert len(changes) == 1


@pytest.mark.parametrize("fed", "ghmv")
def test_numbers_that_are_fed_are_left_alone(fed: str) -> None:
    numbers = {name: array for name, array in norms().items() if name != fed}
    body = f"g (float[1,4,5,3] c, float[4] {fed}) => (float[1,4,5,3] y) {{ {NORM} }}"
    proto = parsed(body, **numbers)
    _, changes = rewritten(FoldBatchNorm(), proto, c=X, **{fed: norms()[fed]})
    assert changes == []


def test_a_graph_output_keeps_its_name() -> None:
    after, _ = rewritten(FoldBatchNorm(), model_of("Conv"), x=X)
    assert after.graph.node[0].output == ["y"]


def test_what_is_left_undone_is_named() -> None:
    model: ir.Model = loaded(alone())
    with pytest.raises(ModelError, match="norm was left as it was"):
        FoldBatchNorm().ensures(model)


@given(
    channels=st.integers(1, 5),
    kernel=st.sampled_from([1, 2, 3]),
    stride=st.integers(1, 3),
    size=st.tuples(st.integers(3, 9), st.integers(3, 9)),
    transposed=st.booleans(),
)
@settings(max_examples=12, deadline=None)
def test_any_layer(
    channels: int, kernel: int, stride: int, size: tuple[int, int], transposed: bool
) -> None:
    height, columns = size
    kind = "ConvTranspose" if transposed else "Conv"
    shape = (3, channels) if transposed else (channels, 3)
    body = f"g (float[2,3,{height},{columns}] x) => (float[A,B,C,D] y) {{"
    body += f"c = {kind}<pads = [0,1,0,0], strides = [{stride},{stride}]>(x, w) {NORM} }}"
    proto = parsed(body, w=rng(*shape, kernel, kernel), **norms(channels))
    after, _ = rewritten(FoldBatchNorm(), proto, x=rng(2, 3, height, columns))
    assert operators(after) == [kind]
