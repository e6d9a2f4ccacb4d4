from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar_export.errors import ModelError
from avatar_export.passes.fold_adaptive import FoldAdaptive
from tests.passes.models import loaded, operators, parsed, rewritten, rng, stamps

# Three channels in, four out, spatial size kept. The width of the data is four too, so that a
# vector [4] could be taken for one number a channel.
LAYERS: dict[str, tuple[str, dict[str, np.ndarray]]] = {
    "Conv": (
        "[layer] c = Conv<kernel_shape = [3,3], pads = [1,1,1,1]>(x, w, b)",
        {"w": rng(4, 3, 3, 3), "b": rng(4)},
    ),
    "ConvTranspose": (
        "[layer] c = ConvTranspose<kernel_shape = [3,3], pads = [1,1,1,1]>(x, w, b)",
        {"w": rng(3, 4, 3, 3), "b": rng(4)},
    ),
    "BatchNormalization": (
        "t = Concat<axis = 1>(x, n) [layer] c = BatchNormalization(t, w, b, m, v)",
        {
            "n": rng(1, 1, 5, 4),
            "w": rng(4),
            "b": rng(4, seed=1),
            "m": rng(4, seed=2),
            "v": np.float32([0.1, 0.5, 1, 2]),
        },
    ),
}
CONSTANTS = {
    "scalar": np.float32(1.7),
    "[1]": np.float32([1.7]),
    "[1,1,1,1]": np.full((1, 1, 1, 1), 1.7, np.float32),
    "[C,1,1]": rng(4, 1, 1, seed=3),
    "[1,C,1,1]": rng(1, 4, 1, 1, seed=4),
}
X = rng(1, 3, 5, 4)
SHAPE = "float[1,4,5,4]"


def model_of(layer: str, tail: str, outputs: str = f"{SHAPE} y", inputs: str = "", **more: object):
    text, weights = LAYERS[layer]
    body = f"g (float[1,3,5,4] x{inputs}) => ({outputs}) {{ {text} {tail} }}"
    return parsed(body, **weights, **more)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("constant", CONSTANTS)
@pytest.mark.parametrize("tail", ["[f] d = Mul(c, k) y = Relu(d)", "[f] d = Add(k, c) y = Relu(d)"])
def test_scale_or_shift_goes_into_the_layer(layer: str, constant: str, tail: str) -> None:
    proto = model_of(layer, tail, k=CONSTANTS[constant])
    after, changes = rewritten(FoldAdaptive(), proto, x=X)
    assert operators(after) == [o for o in operators(proto) if o not in ("Mul", "Add")]
    assert changes == ["f: folded into layer"]
    assert stamps(after) == {"layer": "fold-adaptive"}


@pytest.mark.parametrize("layer", LAYERS)
def test_a_chain_folds_whole(layer: str) -> None:
    tail = "d = Mul(c, k) e = Add(d, h) f = Mul(s, e) y = Relu(f)"
    proto = model_of(layer, tail, k=rng(4, 1, 1), h=rng(1, 4, 1, 1), s=2.0)
    after, changes = rewritten(FoldAdaptive(), proto, x=X)
    assert operators(after)[-2:] == [layer, "Relu"]
    assert len(changes) == 3


def test_a_layer_without_bias_gets_one() -> None:
    body = "g (float[1,3,5,4] x) => (float[1,4,5,4] y) { c = Conv(x, w) y = Add(c, k) }"
    proto = parsed(body, w=rng(4, 3, 1, 1), k=rng(4, 1, 1))
    after, _ = rewritten(FoldAdaptive(), proto, x=X)
    (conv,) = after.graph.node
    assert len(conv.input) == 3


def test_a_graph_output_keeps_its_name() -> None:
    after, _ = rewritten(FoldAdaptive(), model_of("Conv", "y = Mul(c, k)", k=rng(4, 1, 1)), x=X)
    assert operators(after) == ["Conv"]
    assert after.graph.node[0].output == ["y"]


def test_a_weight_that_another_layer_reads_too() -> None:
    tail = "d = Mul(c, k) e = Conv<pads = [1,1,1,1]>(x, w, b) y = Add(d, e)"
    after, _ = rewritten(FoldAdaptive(), model_of("Conv", tail, k=rng(4, 1, 1)), x=X)
    assert operators(after) == ["Conv", "Conv", "Add"]


def test_constant_nodes_are_constants_too() -> None:
    tail = "k = Constant<value_float = 3.0>() y = Mul(c, k)"
    after, _ = rewritten(FoldAdaptive(), model_of("Conv", tail), x=X)
    assert operators(after) == ["Conv"]


# What must stay: the tail after the layer, the constants, further inputs and outputs.
REFUSED: dict[str, tuple[str, dict[str, object], str, str]] = {
    "a vector [W], W = C": ("y = Mul(c, k)", {"k": rng(4)}, "", f"{SHAPE} y"),
    "a map [H, W]": ("y = Add(c, k)", {"k": rng(5, 4)}, "", f"{SHAPE} y"),
    "a row [1, 1, 1, W]": ("y = Mul(c, k)", {"k": rng(1, 1, 1, 4)}, "", f"{SHAPE} y"),
    "channels and width": ("y = Mul(c, k)", {"k": rng(4, 1, 4)}, "", f"{SHAPE} y"),
    "larger batch": ("y = Mul(c, k)", {"k": rng(2, 4, 1, 1)}, "", "float[2,4,5,4] y"),
    "higher rank": ("y = Mul(c, k)", {"k": rng(1, 1, 1, 1, 1)}, "", "float[1,1,4,5,4] y"),
    "fed": ("y = Mul(c, k)", {}, ", float[4,1,1] k", f"{SHAPE} y"),
    "computed": ("k = Relu(j) y = Mul(c, k)", {}, ", float[4,1,1] j", f"{SHAPE} y"),
    "two readers": ("d = Mul(c, k) y = Add(d, c)", {"k": rng(4, 1, 1)}, "", f"{SHAPE} y"),
    "a graph output": ("y = Mul(c, k)", {"k": rng(4, 1, 1)}, "", f"{SHAPE} y, {SHAPE} c"),
    "squared": ("y = Mul(c, c)", {}, "", f"{SHAPE} y"),
    "a nonlinearity between": ("d = Relu(c) y = Mul(d, k)", {"k": 2.0}, "", f"{SHAPE} y"),
    "other arithmetic": ("y = Sub(c, k)", {"k": rng(4, 1, 1)}, "", f"{SHAPE} y"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_scale_or_shift_of_a_channel_stays(case: str) -> None:
    tail, constants, inputs, outputs = REFUSED[case]
    proto = model_of("Conv", tail, outputs, inputs, **constants)
    feeds = {v.name: rng(4, 1, 1) for v in proto.graph.input if v.name != "x"}
    after, changes = rewritten(FoldAdaptive(), proto, x=X, **feeds)
    assert changes == []
    assert operators(after) == operators(proto)


def test_one_channel_that_a_constant_widens_stays() -> None:
    body = "g (float[1,3,5,4] x) => (float[1,4,5,4] y) { c = Conv(x, w) y = Mul(c, k) }"
    proto = parsed(body, w=rng(1, 3, 1, 1), k=rng(4, 1, 1))
    _, changes = rewritten(FoldAdaptive(), proto, x=X)
    assert changes == []


def test_a_grouped_transposed_convolution_takes_over() -> None:
    body = "g (float[1,4,5,5] x) => (float[1,4,7,7] y) "
    body += "{ c = ConvTranspose<group = 2>(x, w) y = Mul(c, k) }"
    proto = parsed(body, w=rng(4, 2, 3, 3), k=rng(4, 1, 1))
    after, _ = rewritten(FoldAdaptive(), proto, x=rng(1, 4, 5, 5))
    assert operators(after) == ["ConvTranspose"]


def test_one_dimensional_data() -> None:
    body = "g (float[1,3,7] x) => (float[1,4,7] y) { c = Conv<pads = [1,1]>(x, w) y = Mul(c, k) }"
    after, _ = rewritten(FoldAdaptive(), parsed(body, w=rng(4, 3, 3), k=rng(4, 1)), x=rng(1, 3, 7))
    assert operators(after) == ["Conv"]


def test_a_batch_norm_of_vectors_takes_a_vector() -> None:
    body = (
        "g (float[2,4] x) => (float[2,4] y) { c = BatchNormalization(x, w, b, m, v) y = Mul(c, k) }"
    )
    weights = {name: rng(4, seed=k) for k, name in enumerate("wbmk")}
    after, _ = rewritten(FoldAdaptive(), parsed(body, v=[1, 2, 3, 4], **weights), x=rng(2, 4))
    assert operators(after) == ["BatchNormalization"]


def test_double_precision_stays_double() -> None:
    body = """g (double[1,4,5,4] x) => (double[1,4,5,4] y) {
        c = BatchNormalization(x, w, b, m, v)
        y = Mul(c, k)
    }"""
    weights = {name: rng(4, seed=k).astype(np.float64) for k, name in enumerate("wbm")}
    weights |= {"v": np.array([0.1, 0.5, 1, 2]), "k": rng(4, 1, 1).astype(np.float64)}
    rewritten(FoldAdaptive(), parsed(body, **weights), x=rng(1, 4, 5, 4).astype(np.float64))


def test_a_second_run_changes_nothing() -> None:
    after, _ = rewritten(FoldAdaptive(), model_of("Conv", "y = Mul(c, k)", k=rng(4, 1, 1)), x=X)
    _, changes = rewritten(FoldAdaptive(), after, x=X)
    assert changes == []


def test_what_is_left_undone_is_named() -> None:
    model: ir.Model = loaded(model_of("Conv", "[left] y = Mul(c, k)", k=rng(4, 1, 1)))
    with pytest.raises(ModelError, match="left was left as it was"):
        FoldAdaptive().ensures(model)


@given(
    groups=st.integers(1, 3),
    width=st.integers(1, 3),
    kernel=st.integers(1, 4),
    stride=st.integers(1, 2),
    size=st.tuples(st.integers(4, 9), st.integers(4, 9)),
)
@settings(max_examples=12, deadline=None)
def test_any_convolution(
    groups: int, width: int, kernel: int, stride: int, size: tuple[int, int]
) -> None:
    height, columns = size
    channels = groups * width
    body = f"g (float[1,{channels},{height},{columns}] x) => (float[A,B,C,D] y) {{"
    body += f"c = Conv<group = {groups}, pads = [1,0,0,1], strides = [{stride},{stride}]>(x, w)"
    body += "d = Mul(c, k) y = Add(d, h) }"
    weights = {
        "w": rng(channels, width, kernel, kernel),
        "k": rng(channels, 1, 1, seed=1),
        "h": rng(1, channels, 1, 1, seed=2),
    }
    feeds = {"x": rng(1, channels, height, columns)}
    after, _ = rewritten(FoldAdaptive(), parsed(body, **weights), **feeds)
    assert operators(after) == ["Conv"]
