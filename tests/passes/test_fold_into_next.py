from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar_export.errors import ModelError
from avatar_export.passes.fold_into_next import FoldIntoNext
from avatar_export.passes.goal import FEWEST_MACS
from avatar_export.passes.pipeline import Step, run_pipeline
from tests.passes.models import initializers, loaded, operators, parsed, rewritten, rng, stamps

X = rng(1, 4, 5, 7)
WEIGHTS: dict[str, np.ndarray] = {
    "a": np.float32([2.0, 0.5, 3.0, 1.5]).reshape(4, 1, 1),
    "neg": np.float32([2.0, -0.5, 0.0, 1.5]).reshape(4, 1, 1),
    "m": rng(4, 1, 1, seed=1),
    "g": np.float32([2.0, -0.5, 0.0, 3.0]),
    "h": rng(4, seed=2),
    "zero": np.zeros(4, np.float32),
    "one": np.ones(4, np.float32),
    "w": rng(2, 4, 3, 3, seed=3),
    "t": rng(4, 2, 3, 3, seed=3),
    "b": rng(2, seed=4),
    "slope": rng(4, 1, 1, seed=5),
}
PLAIN = "[layer] y = Conv(c, w, b)"
PADDED = "[layer] y = Conv<pads = [1,1,1,1]>(c, w, b)"
NORM = "[f] c = BatchNormalization<epsilon = 0.0>(x, g, h, zero, one)"
INPUT = "[sub] d = Sub(x, m) [div] c = Div(d, a)"


def model_of(text: str, outputs: str = "y", opset: int = 13, **changed: object) -> onnx.ModelProto:
    free = ", ".join(f"float[{k}A,{k}B,{k}C,{k}D] {k}" for k in outputs.split())
    body = f"net (float[1,4,5,7] x) => ({free}) {{ {text} }}"
    return parsed(body, opset, **{**WEIGHTS, **changed})


def folded(text: str, **changed: object) -> list[str]:
    """Operators after the pass, which found one site."""
    after, changes = rewritten(FoldIntoNext(), model_of(text, **changed), x=X)
    assert len(changes) == 1
    return operators(after)


def refused(text: str, **changed: object) -> str:
    """The reason why nothing was done."""
    proto, rewrite = model_of(text, **changed), FoldIntoNext()
    after, changes = rewritten(rewrite, proto, x=X)
    assert changes == [] and operators(after) == operators(proto)
    (note,) = rewrite.notes
    return note


@pytest.mark.parametrize(
    "text",
    [
        NORM,
        "c = Mul(x, neg)",
        "c = Add(m, x)",
        "c = Sub(x, m)",
        "c = Sub(m, x)",
        "c = Div(x, a)",
        "c = BatchNormalization(x, g, h, h, one)",
        "d = Sub(x, m) e = Div(d, a) k = Mul(neg, e) c = Add(k, m)",
    ],
)
@pytest.mark.parametrize("layer", [PLAIN, PLAIN.replace(", b", ""), "y = Conv<group = 2>(c, w2)"])
def test_scales_and_shifts_go_into_a_convolution(text: str, layer: str) -> None:
    assert folded(f"{text} {layer}", w2=rng(6, 2, 3, 3)) == ["Conv"]


def test_names_stamps_and_numbers() -> None:
    after, changes = rewritten(FoldIntoNext(), model_of(f"{NORM} {PLAIN}"), x=X)
    assert changes == ["layer: took over f"]
    assert stamps(after) == {"layer": "fold-into-next"}
    (conv,) = after.graph.node
    assert conv.output == ["y"]
    weight, bias = (initializers(after)[name] for name in conv.input[1:])
    scale = WEIGHTS["g"].reshape(1, 4, 1, 1)
    np.testing.assert_allclose(weight, WEIGHTS["w"] * scale, rtol=1e-6)
    moved = (WEIGHTS["w"].sum((2, 3)) * WEIGHTS["h"]).sum(1)
    np.testing.assert_allclose(bias, WEIGHTS["b"] + moved, rtol=1e-5)


def test_multiply_adds_stay_and_a_node_goes() -> None:
    proto = model_of(f"{NORM} {PLAIN}")
    _, (record,) = run_pipeline(proto, [Step(FoldIntoNext(), "here")], {"x": X})
    assert record.macs_before == record.macs_after == 3 * 5 * 2 * 4 * 9
    assert (record.nodes_before, record.nodes_after) == (2, 1)


@pytest.mark.parametrize("layer", [PADDED, "[layer] y = ConvTranspose<strides = [2,2]>(c, t, b)"])
def test_only_a_scale_goes_past_the_border(layer: str) -> None:
    assert len(folded(f"c = Mul(x, neg) {layer}")) == 1
    assert len(folded(f"{NORM} {layer}", h=np.zeros(4, np.float32))) == 1
    reason = "layer stays: the border of layer would see the shift"
    assert refused(f"{NORM} {layer}") == reason
    assert refused(f"c = Add(x, m) {layer}") == reason
    one = np.float32([0, 0, 1e-3, 0])
    assert refused(f"{NORM} {layer}", h=one) == reason


def test_of_an_input_normalisation_the_scale_goes() -> None:
    """Zeros beyond the border stand for the mean, so the mean stays; a node goes all the same."""
    assert folded(f"{INPUT} {PLAIN}") == ["Conv"]
    after, changes = rewritten(FoldIntoNext(), model_of(f"{INPUT} {PADDED}"), x=X)
    assert operators(after) == ["Add", "Conv"]
    assert changes == ["layer: took over div, sub"]
    assert set(stamps(after).values()) == {"fold-into-next"}
    (shift,) = (a for name, a in initializers(after).items() if name.endswith("shift"))
    np.testing.assert_allclose(shift, -WEIGHTS["m"][None], rtol=1e-6)


def test_a_scale_before_a_shift_goes_past_it() -> None:
    assert folded(f"d = Mul(x, a) c = Add(d, m) {PADDED}") == ["Add", "Conv"]
    note = refused(f"d = Mul(x, neg) c = Add(d, m) {PADDED}")  # one channel is scaled by 0
    assert note == "layer stays: the border of layer would see the shift"


@pytest.mark.parametrize("activation", ["LeakyRelu(d)", "Relu(d)", "PRelu(d, slope)"])
def test_a_scale_goes_through_an_activation(activation: str) -> None:
    text = f"d = Mul(x, a) [act] c = {activation} {PADDED}"
    after, _ = rewritten(FoldIntoNext(), model_of(text), x=X)
    assert [node.name for node in after.graph.node] == ["act", "layer"]
    text = text.replace("Mul(x, a)", "Mul(x, neg)")
    assert refused(text) == "layer stays: act lets no shift and no negative scale pass"
    text = text.replace("Mul(x, neg)", "Add(x, m)")
    assert refused(text) == "layer stays: act lets no shift and no negative scale pass"


def test_what_stands_before_a_shift_stays_behind_an_activation() -> None:
    text = f"e = Mul(x, neg) f = Add(e, m) [s] d = Mul(f, a) c = LeakyRelu<alpha = 0.3>(d) {PADDED}"
    after, changes = rewritten(FoldIntoNext(), model_of(text), x=X)
    assert operators(after) == ["Mul", "Add", "LeakyRelu", "Conv"]
    assert changes == ["layer: took over s"]


@pytest.mark.parametrize("activation", ["Sigmoid", "Elu", "HardSwish"])
def test_other_activations_are_no_sites(activation: str) -> None:
    proto = model_of(f"d = Mul(x, a) c = {activation}(d) {PLAIN}", opset=14)
    _, changes = rewritten(rewrite := FoldIntoNext(), proto, x=X)
    assert changes == [] and rewrite.notes == []


@pytest.mark.parametrize(
    ("rest", "outputs"),
    [(f"{PLAIN} o = Neg(c)", "y o"), (PLAIN, "y c"), ("[layer] y = Conv(c, w) o = Neg(c)", "y o")],
)
def test_what_others_read_stays(rest: str, outputs: str) -> None:
    proto = model_of(f"c = Mul(x, a) {rest}", outputs)
    after, changes = rewritten(FoldIntoNext(), proto, x=X)
    assert changes == [] and operators(after) == operators(proto)


def test_a_chain_ends_where_others_read() -> None:
    proto = model_of(f"d = Mul(x, neg) c = Add(d, m) {PLAIN} o = Neg(d)", "y o")
    after, changes = rewritten(FoldIntoNext(), proto, x=X)
    assert len(changes) == 1
    assert sorted(operators(after)) == ["Conv", "Mul", "Neg"]


def test_a_weight_that_another_layer_reads_too() -> None:
    proto = model_of(f"c = Mul(x, neg) {PLAIN} o = Conv(x, w, b)", "y o")
    after, _ = rewritten(FoldIntoNext(), proto, x=X)
    assert operators(after) == ["Conv", "Conv"]


def test_computed_weights_stay() -> None:
    text = "k = Neg(w) c = Mul(x, a) [layer] y = Conv(c, k)"
    assert refused(text) == "layer stays: its numbers are not constant"


def test_shapes_that_are_not_known_stay() -> None:
    body = f"net (float[N,4,5,7] x) => (float[N,2,3,5] y) {{ c = Mul(x, neg) {PLAIN} }}"
    rewrite = FoldIntoNext()
    _, changes = rewritten(rewrite, parsed(body, **WEIGHTS), x=X)
    assert changes == []
    assert rewrite.notes == ["layer stays: its shapes are not fixed"]


# Products of rows [3, 4], with what they become.
PRODUCTS = {
    "Gemm": ("Gemm(c, k, b)", "Gemm"),
    "Gemm, transposed": ("Gemm<transB = 1>(c, kt, b)", "Gemm"),
    "Gemm without bias": ("Gemm(c, k)", "Gemm"),
    "MatMul": ("MatMul(c, k)", "Gemm"),
    "norm": ("BatchNormalization<epsilon = 0.0>(c, g, h, zero, one)", "BatchNormalization"),
}


@pytest.mark.parametrize("product", PRODUCTS)
def test_products_of_rows(product: str) -> None:
    text, expected = PRODUCTS[product]
    body = "net (float[3,4] x) => (float[3,A] y) { d = Mul(x, s) c = Add(d, h) [p] y = "
    numbers = {**WEIGHTS, "s": rng(4), "k": rng(4, 2), "kt": rng(2, 4)}
    after, changes = rewritten(FoldIntoNext(), parsed(f"{body} {text} }}", **numbers), x=rng(3, 4))
    assert operators(after) == [expected]
    assert len(changes) == 1


def test_a_norm_of_rows_goes_into_a_product() -> None:
    body = "net (float[3,4] x) => (float[3,2] y) { c = BatchNormalization(x, g, h, h, one) "
    proto = parsed(f"{body} [p] y = MatMul(c, k) }}", **WEIGHTS, k=rng(4, 2))
    after, _ = rewritten(FoldIntoNext(), proto, x=rng(3, 4))
    assert operators(after) == ["Gemm"]


def test_a_product_of_more_axes_takes_a_scale_of_the_last() -> None:
    """The gain of a layer norm, say; its shift has nowhere to go."""
    body = "net (float[2,3,4] x) => (float[2,3,5] y) {{ {} [p] y = MatMul(c, k) }}"
    numbers = {"s": rng(4), "k": rng(4, 5), "middle": rng(3, 1)}
    proto = parsed(body.format("c = Mul(x, s)"), **numbers)
    after, _ = rewritten(FoldIntoNext(), proto, x=rng(2, 3, 4))
    assert operators(after) == ["MatMul"]
    rewrite = FoldIntoNext()
    _, changes = rewritten(rewrite, parsed(body.format("c = Add(x, s)"), **numbers), x=rng(2, 3, 4))
    assert changes == []
    assert rewrite.notes == [
        "p stays: a MatMul of more than two axes has no bias to take the shift"
    ]
    proto = parsed(body.format("d = Mul(x, s) c = Add(d, s)"), **numbers)
    assert operators(rewritten(FoldIntoNext(), proto, x=rng(2, 3, 4))[0]) == ["Add", "MatMul"]
    proto = parsed(body.format("c = Mul(x, middle)"), **numbers)
    assert rewritten(FoldIntoNext(), proto, x=rng(2, 3, 4))[1] == []


def test_double_precision_stays_double() -> None:
    body = "net (double[3,4] x) => (double[3,2] y) { c = Mul(x, s) y = Gemm(c, k) }"
    numbers = {"s": rng(4).astype(np.float64), "k": rng(4, 2).astype(np.float64)}
    after, _ = rewritten(FoldIntoNext(), parsed(body, **numbers), x=rng(3, 4).astype(np.float64))
    assert operators(after) == ["Gemm"]


def test_half_precision_that_cannot_hold_the_numbers_stays() -> None:
    body = "net (float16[1,4,5,7] x) => (float16[1,2,3,5] y) { c = Mul(x, k) [l] y = Conv(c, w) }"
    model = loaded(parsed(body, k=np.float16(6e4), w=WEIGHTS["w"].astype(np.float16) * 2))
    rewrite = FoldIntoNext()
    assert rewrite.apply(model) == []
    assert rewrite.notes == ["l stays: float16 cannot hold the numbers of l"]


def test_a_goal_that_finds_it_dearer_keeps_it() -> None:
    dear = replace(FEWEST_MACS, name="odd", price=lambda nodes: 1.0 if len(nodes) == 1 else 1e-3)
    rewrite = FoldIntoNext(dear)
    assert rewritten(rewrite, model_of(f"{NORM} {PLAIN}"), x=X)[1] == []
    assert "would cost 1e+03 ms instead of 1 ms (odd)" in rewrite.notes[0]


@pytest.mark.parametrize("opset", [9, 18])
def test_other_operator_sets(opset: int) -> None:
    proto = model_of(f"{INPUT} {PADDED}", opset=opset)
    after, _ = rewritten(FoldIntoNext(), proto, x=X)
    assert operators(after) == ["Add", "Conv"]


def test_what_is_left_undone_is_named() -> None:
    with pytest.raises(ModelError, match="layer was left as it was"):
        FoldIntoNext().ensures(loaded(model_of(f"{NORM} {PLAIN}")))


@given(
    groups=st.integers(1, 3),
    width=st.integers(1, 3),
    kernel=st.integers(1, 3),
    size=st.tuples(st.integers(3, 7), st.integers(3, 7)),
    padded=st.booleans(),
    shifted=st.booleans(),
    active=st.booleans(),
)
@settings(max_examples=25, deadline=None)
def test_any_convolution(
    groups: int,
    width: int,
    kernel: int,
    size: tuple[int, int],
    padded: bool,
    shifted: bool,
    active: bool,
) -> None:
    channels = groups * width
    body = f"net (float[1,{channels},{size[0]},{size[1]}] x) => (float[A,B,C,D] y) {{"
    body += "d = BatchNormalization<epsilon = 0.0>(x, g, h, zero, one)"
    body += "c = LeakyRelu(d)" if active else ""
    pads = [1, 0, 0, 1] if padded else [0, 0, 0, 0]
    data = "c" if active else "d"
    body += f"y = Conv<group = {groups}, pads = {pads}>({data}, w) }}"
    weights = {
        "g": np.abs(rng(channels)),
        "h": rng(channels, seed=1) * np.float32(shifted),
        "zero": np.zeros(channels, np.float32),
        "one": np.ones(channels, np.float32),
        "w": rng(channels, width, kernel, kernel, seed=2),
    }
    proto = parsed(body, **weights)
    _, changes = rewritten(FoldIntoNext(), proto, x=rng(1, channels, *size))
    assert len(changes) == (0 if shifted and (padded or active) else 1)
