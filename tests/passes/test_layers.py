from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar_export.passes.layers import Layer, write
from avatar_export.passes.site import RefusedError
from avatar_export.precision.runner import run_onnx
from tests.passes.models import loaded, parsed, rng

# Layers [1, 4, ...] -> [1, 6, ...] whose results are all made of the same number of inputs.
LAYERS: dict[str, tuple[str, dict[str, np.ndarray]]] = {
    "Conv": ("Conv<strides = [2,1]>(x, w, b)", {"w": rng(6, 4, 3, 2), "b": rng(6)}),
    "Conv without bias": ("Conv(x, w)", {"w": rng(6, 4, 1, 1)}),
    "Conv, dilated, in groups": (
        "Conv<group = 2, dilations = [2,2], auto_pad = 'VALID'>(x, w)".replace("'", '"'),
        {"w": rng(6, 2, 2, 2)},
    ),
    "ConvTranspose, 1x1": ("ConvTranspose(x, w, b)", {"w": rng(4, 6, 1, 1), "b": rng(6)}),
    "ConvTranspose, 1x1 in groups": ("ConvTranspose<group = 2>(x, w)", {"w": rng(4, 3, 1, 1)}),
}
ROWS: dict[str, tuple[str, dict[str, np.ndarray]]] = {
    "Gemm": ("Gemm(x, w, b)", {"w": rng(4, 6), "b": rng(6)}),
    "Gemm, transposed": ("Gemm<transB = 1>(x, w, b)", {"w": rng(6, 4), "b": rng(1, 6)}),
    "Gemm, one bias": ("Gemm<transB = 1>(x, w, b)", {"w": rng(6, 4), "b": rng(1)}),
    "Gemm without bias": ("Gemm(x, w)", {"w": rng(4, 6)}),
}


def model_of(layer: str, tail: str = "y = Identity(c)", **weights: object) -> ir.Model:
    text, numbers = (LAYERS | ROWS)[layer]
    shape = "1,4,5,6" if layer in LAYERS else "3,4"
    free = "A,B,C,D" if layer in LAYERS else "A,B"
    body = f"g (float[{shape}] x) => (float[{free}] y) {{ [l] c = {text} {tail} }}"
    return loaded(parsed(body, **numbers, **weights))


def feed(layer: str) -> np.ndarray:
    return rng(1, 4, 5, 6, seed=5) if layer in LAYERS else rng(3, 4, seed=5)


def column(numbers: np.ndarray, layer: str) -> np.ndarray:
    return numbers.reshape(-1, 1, 1) if layer in LAYERS else numbers


def run(model: ir.Model, x: np.ndarray) -> np.ndarray:
    return run_onnx(ir.to_proto(model), {"x": x.astype(np.float32)})["y"]


def assert_near(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * abs(expected).max())


@pytest.mark.parametrize("layer", LAYERS | ROWS)
def test_what_follows_goes_in(layer: str) -> None:
    model, x = model_of(layer), feed(layer)
    scale, shift = rng(6, seed=1).astype(np.float64), rng(6, seed=2).astype(np.float64)
    expected = run(model, x) * column(scale, layer) + column(shift, layer)
    found = Layer.of(model.graph.node("l"))
    assert found is not None and (found.inputs, found.outputs) == (4, 6)
    write(model, found.then(scale, shift))
    assert_near(run(model, x), expected)


@pytest.mark.parametrize("layer", LAYERS | ROWS)
def test_what_comes_before_goes_in(layer: str) -> None:
    model, x = model_of(layer), feed(layer)
    scale, shift = rng(4, seed=1).astype(np.float64), rng(4, seed=2).astype(np.float64)
    expected = run(model, x * column(scale, layer) + column(shift, layer))
    found = Layer.of(model.graph.node("l"))
    assert found is not None
    write(model, found.fed(scale, shift))
    assert_near(run(model, x), expected)


PADDED = {
    "pads": ("Conv<pads = [0,1,0,0]>(x, w)", rng(6, 4, 2, 2)),
    "auto_pad": ('Conv<auto_pad = "SAME_UPPER">(x, w)', rng(6, 4, 2, 2)),
    "ConvTranspose": ("ConvTranspose(x, w)", rng(4, 6, 2, 2)),
    "ConvTranspose 1x1, strides": ("ConvTranspose<strides = [2,2]>(x, w)", rng(4, 6, 1, 1)),
    "ConvTranspose, cropped": ("ConvTranspose<pads = [1,1,1,1]>(x, w)", rng(4, 6, 3, 3)),
    "ConvTranspose, strides of the kernel": (
        "ConvTranspose<strides = [2,2]>(x, w)",
        rng(4, 6, 2, 2),
    ),
}


@pytest.mark.parametrize("case", PADDED)
def test_only_a_scale_goes_past_a_border(case: str) -> None:
    text, weight = PADDED[case]
    body = f"g (float[1,4,5,6] x) => (float[A,B,C,D] y) {{ [l] y = {text} }}"
    model, x = loaded(parsed(body, w=weight)), rng(1, 4, 5, 6)
    scale, shift = rng(4, seed=1).astype(np.float64), np.array([0, 0, 1e-3, 0])
    found = Layer.of(model.graph.node("l"))
    assert found is not None
    with pytest.raises(RefusedError, match="the border of l would see the shift"):
        found.fed(scale, shift)
    expected = run(model, x * scale.reshape(4, 1, 1))
    write(model, found.fed(scale, np.zeros(4)))
    assert_near(run(model, x), expected)


def test_a_batch_norm_with_statistics_is_fed_nothing() -> None:
    body = "g (float[1,4,5] x) => (float[1,4,5] y) { [l] y = BatchNormalization(x, w, w, m, v) }"
    model = loaded(parsed(body, w=rng(4), m=rng(4), v=np.ones(4, np.float32)))
    found = Layer.of(model.graph.node("l"))
    assert found is not None
    with pytest.raises(RefusedError, match="l is no mere scale and shift yet"):
        found.fed(np.ones(4), np.zeros(4))


@pytest.mark.parametrize(
    "text",
    [
        "Gemm<alpha = 2.0>(x, w, b)",
        "Gemm<beta = 0.5>(x, w, b)",
        "Gemm<transA = 1>(x, w, b)",
        "Gemm(x, w, rows)",
        "Gemm(x, w, fed)",
        "Gemm(w, x)",
        "MatMul(w, x)",
    ],
)
def test_other_products_are_no_layers(text: str) -> None:
    body = f"g (float[4,4] x, float[4] fed) => (float[4,4] y) {{ [l] y = {text} }}"
    model = loaded(parsed(body, w=rng(4, 4), b=rng(4), rows=rng(4, 1)))
    assert Layer.of(model.graph.node("l")) is None


def test_nothing_is_no_layer() -> None:
    assert Layer.of(None) is None


def test_a_layer_without_bias_gets_none_of_zeros() -> None:
    model = model_of("Conv without bias")
    found = Layer.of(model.graph.node("l"))
    assert found is not None
    write(model, found.then(np.full(6, 2.0), np.zeros(6)))
    assert len(model.graph.node("l").inputs) == 2


def test_half_precision_stays_half() -> None:
    body = "g (float16[1,4,5,5] x) => (float16[1,6,5,5] y) { [l] y = Conv(x, w) }"
    model = loaded(parsed(body, w=rng(6, 4, 1, 1).astype(np.float16)))
    found = Layer.of(model.graph.node("l"))
    assert found is not None
    weight, bias = found.then(np.full(6, 1 / 3), np.ones(6)).stored()
    assert bias is not None and weight.dtype == bias.dtype == np.float16
    with pytest.raises(RefusedError, match="float16 cannot hold the numbers of l"):
        found.then(np.full(6, 1e6), np.zeros(6)).stored()


@given(
    groups=st.integers(1, 3),
    outs=st.integers(1, 3),
    ins=st.integers(1, 3),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    transposed=st.booleans(),
)
@settings(max_examples=25, deadline=None)
def test_any_groups(
    groups: int, outs: int, ins: int, kernel: tuple[int, int], transposed: bool
) -> None:
    """Both at once: scaled channels in and out."""
    shape = (groups * ins, outs) if transposed else (groups * outs, ins)
    kind = "ConvTranspose" if transposed else "Conv"
    body = f"g (float[1,{groups * ins},4,5] x) => (float[A,B,C,D] y) {{"
    body += f"[l] y = {kind}<group = {groups}>(x, w) }}"
    model, x = loaded(parsed(body, w=rng(*shape, *kernel))), rng(1, groups * ins, 4, 5)
    before, after = rng(groups * ins, seed=1), rng(groups * outs, seed=2)
    expected = run(model, x * before.reshape(-1, 1, 1)) * after.reshape(-1, 1, 1)
    found = Layer.of(model.graph.node("l"))
    assert found is not None
    nothing = np.zeros(groups * ins), np.zeros(groups * outs)
    write(model, found.fed(before, nothing[0]).then(after, nothing[1]))
    assert_near(run(model, x), expected)
