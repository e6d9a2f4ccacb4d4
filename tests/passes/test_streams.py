from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from avatar_export.passes.layers import write
from avatar_export.passes.site import RefusedError
from avatar_export.passes.streams import is_stream, made, read
from avatar_export.precision.runner import run_onnx
from tests.passes.models import loaded, parsed, rng

WEIGHTS: dict[str, np.ndarray] = {
    "w": rng(4, 3, 3, 3),
    "b": rng(4, seed=1),
    "u": rng(4, 3, 1, 1, seed=2),
    "t": rng(3, 4, 3, 3, seed=3),
    "d": rng(16, 3, 1, 1, seed=4),
    "g": rng(4, seed=5),
    "zero": np.zeros(4, np.float32),
    "one": np.ones(4, np.float32),
    "up": np.float32([1, 1, 2, 2]),
    "pixel": rng(4, 3, 5, 4, seed=6),
    "first": np.array([1]),
    "last": np.array([5]),
    "rows": np.array([2]),
    "channels": np.array([1]),
    "steps": np.array([2]),
}
SAME = "Conv<pads = [1,1,1,1]>(x, w, b)"


def resized(mode: str) -> str:
    return f'[l] k = {SAME} v = Resize<mode = "{mode}">(k, , up)'


# How the stream v [1, 4, ...] is made of x [1, 3, 5, 4], and by which layers.
MADE = {
    "a layer": (f"[l] v = {SAME}", "l"),
    "ConvTranspose": ("[l] v = ConvTranspose<strides = [2,2]>(x, t)", "l"),
    "a norm with statistics": (
        f"k = {SAME} [m] r = LeakyRelu(k) [l] v = BatchNormalization(r, g, b, b, one)",
        "l",
    ),
    "a sum": (f"[l] p = {SAME} [r] q = Conv(x, u) v = Add(p, q)", "l r"),
    "a difference": (f"[l] p = {SAME} [r] q = Conv(x, u) v = Sub(p, q)", "l r"),
    "a sum of sums": (
        f"[a] p = {SAME} [b] q = Conv(x, u) [c] r = {SAME} [d] s = Conv(x, u, b) "
        "j = Add(p, q) k = Sub(r, s) v = Sub(j, k)",
        "a b c d",
    ),
    "a pixel for all": (f"[l] p = Conv(x, pixel) [r] q = {SAME} v = Add(p, q)", "l r"),
    "nearest": (resized("nearest"), "l"),
    "linear": (resized("linear"), "l"),
    "cubic": (resized("cubic"), "l"),
    "every other row": (f"[l] k = {SAME} v = Slice(k, first, last, rows, steps)", "l"),
    "identity": (f"[l] k = {SAME} v = Identity(k)", "l"),
    "DepthToSpace": ("[l] k = Conv(x, d) v = DepthToSpace<blocksize = 2>(k)", "l"),
    "DepthToSpace, columns": (
        '[l] k = Conv(x, d) v = DepthToSpace<blocksize = 2, mode = "CRD">(k)',
        "l",
    ),
    "a block after the upsampling passes": (
        "[l] p = ConvTranspose<strides = [2,2], pads = [1,1,1,1], output_padding = [1,1]>(x, t) "
        "[r] k = Conv(x, u) q = Resize(k, , up) v = Add(p, q)",
        "l r",
    ),
}
SCALE, SHIFT = np.array([2.0, -0.5, 0.0, 3.0]), np.array([1.0, 0.0, -2.0, 0.5])


def model_of(text: str, outputs: str = "float[A,B,C,D] v", **more: object) -> ir.Model:
    body = f"net (float[1,3,5,4] x) => ({outputs}) {{ {text} }}"
    return loaded(parsed(body, **WEIGHTS, **more))


def value_of(model: ir.Model, name: str = "v") -> ir.Value:
    return next(v for node in model.graph for v in node.outputs if v.name == name)


@pytest.mark.parametrize("case", MADE)
def test_makers_take_a_scale_and_a_shift(case: str) -> None:
    text, layers = MADE[case]
    model, x = model_of(text), {"x": rng(1, 3, 5, 4)}
    before = run_onnx(ir.to_proto(model), x)["v"]
    makers = made(value_of(model), SCALE, SHIFT)
    assert " ".join(layer.node.name or "" for layer in makers) == layers
    for layer in makers:
        write(model, layer)
    expected = before * SCALE.reshape(4, 1, 1) + SHIFT.reshape(4, 1, 1)
    found = run_onnx(ir.to_proto(model), x)["v"]
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6 * abs(expected).max())


def test_a_vector_that_is_reshaped_to_channels() -> None:
    body = "net (float[2,3] x) => (float[2,4,1,5] v) { [l] k = Gemm(x, w, b) v = Reshape(k, to) }"
    to = np.array([2, 4, 1, 5], np.int64)
    model = loaded(parsed(body, w=rng(3, 20), b=rng(20), to=to))
    x = {"x": rng(2, 3)}
    before = run_onnx(ir.to_proto(model), x)["v"]
    for layer in made(value_of(model), SCALE, SHIFT):
        write(model, layer)
    expected = before * SCALE.reshape(4, 1, 1) + SHIFT.reshape(4, 1, 1)
    found = run_onnx(ir.to_proto(model), x)["v"]
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6 * abs(expected).max())


# How v is made where its makers cannot take anything over, and why.
NOT_MADE = {
    "fed": ("v = Add(x, x)", "x has other readers"),
    "an input": (f"p = {SAME} k = Conv(x, u) q = Add(k, fed) v = Add(p, q)", "fed is fed"),
    "an activation": (f"p = {SAME} [a] q = LeakyRelu(p) v = Identity(q)", "q is made by LeakyRelu"),
    "another reader": (f"[l] p = {SAME} [i] v = Identity(p) o = Neg(p)", "p has other readers"),
    "a sum with itself": (f"p = {SAME} [s] v = Add(p, p)", "p has other readers than s"),
    "a constant": (f"p = {SAME} [s] v = Add(p, map)", "map is fed"),
    "one channel for all": (
        f"p = {SAME} q = Conv(x, n) [s] v = Add(p, q)",
        "s widens what it adds",
    ),
    "fewer axes": (f"p = {SAME} [s] v = Add(low, p)", "s widens what it adds"),
    "computed": ("y = Neg(u) [l] v = Conv(x, y)", "the numbers of l are not constant"),
    "channels grow": (
        'k = Conv(x, n) [s] v = Resize<mode = "nearest">(k, , grow)',
        "Resize s does not keep channels apart",
    ),
    "channels are reversed": (
        f"k = {SAME} [s] v = Slice(k, last, end, channels, back)",
        "Slice s does not keep channels apart",
    ),
    "some channels": (
        f"k = {SAME} m = Conv(k, eight) [s] v = Slice(m, first, last, channels)",
        "Slice s does not keep channels apart",
    ),
    "cropping": (
        f'k = {SAME} [s] v = Resize<coordinate_transformation_mode = "tf_crop_and_resize", '
        'mode = "linear">(k, roi, up)',
        "Resize s does not keep channels apart",
    ),
    "channels are mixed": (
        f"k = {SAME} [s] v = Reshape(k, mixed)",
        "Reshape s does not keep channels apart",
    ),
}


@pytest.mark.parametrize("case", NOT_MADE)
def test_what_cannot_be_made_otherwise(case: str) -> None:
    text, reason = NOT_MADE[case]
    body = "net (float[1,3,5,4] x, float[1,4,5,4] fed) => (float[A,B,C,D] v, float[E,F,G,H] o) {"
    text = text if "o = " in text else f"{text} o = Neg(x)"
    more = {
        "map": rng(1, 4, 5, 4),
        "low": rng(4, 5, 4),
        "n": rng(1, 3, 1, 1),
        "eight": rng(8, 4, 1, 1),
        "end": np.array([-9]),
        "back": np.array([-1]),
        "grow": np.float32([1, 4, 1, 1]),
        "roi": np.zeros(8, np.float32),
        "mixed": np.array([1, 8, 5, 2], np.int64),
    }
    model = loaded(parsed(f"{body} {text} }}", **WEIGHTS, **more))
    channels = 8 if "mixed" in text else 4
    with pytest.raises(RefusedError, match=reason):
        made(value_of(model), np.ones(channels), np.zeros(channels))


def test_streams_are_made_by_layers_sums_and_moves() -> None:
    model = model_of(f"k = {SAME} i = Identity(k) r = LeakyRelu(i) v = Add(r, k)")
    expected = {"k": True, "i": True, "r": False, "v": True}
    assert {name: is_stream(value_of(model, name)) for name in expected} == expected
    assert not is_stream(model.graph.inputs[0])


# Readers of v [1, 4, 5, 4], apart from the node n.
READ = {
    "nobody": "",
    "a layer": "o = Conv(v, u2, c)",
    "two layers": "p = Conv(v, u2) q = Conv<strides = [1,1]>(v, u2) o = Add(p, q)",
    "a repetition": "k = Resize(v, , up) o = Conv(k, u2)",
    "a repetition with two readers": "k = Resize(v, , up) p = Conv(k, u2) q = Conv(k, u2) "
    "o = Add(p, q)",
    "a reduced norm": "o = BatchNormalization<epsilon = 0.0>(v, g, b, zero, one)",
    "ConvTranspose of pixels": "o = ConvTranspose(v, t2)",
}
MORE = {"u2": rng(2, 4, 1, 1, seed=7), "t2": rng(4, 2, 1, 1, seed=8), "c": rng(2, seed=9)}


@pytest.mark.parametrize("case", READ)
def test_readers_undo_a_scale_and_a_shift(case: str) -> None:
    """They compute the same when v is fed as (v - shift) / scale."""
    text = READ[case] or "o = Neg(x)"
    scale, shift = rng(4, seed=1).astype(np.float64), rng(4, seed=2).astype(np.float64)
    plain = "net (float[1,4,5,4] x) => (float[A,B,C,D] o) { v = Identity(x) [n] n = Neg(v) "
    model = loaded(parsed(f"{plain} {text} }}", **WEIGHTS, **MORE))
    x = rng(1, 4, 5, 4)
    expected = run_onnx(ir.to_proto(model), {"x": x})["o"]
    layers = read(value_of(model), model.graph.node("n"), scale, shift)
    for layer in layers:
        write(model, layer)
    fed = (x - shift.reshape(4, 1, 1)) / scale.reshape(4, 1, 1) if layers else x
    found = run_onnx(ir.to_proto(model), {"x": fed.astype(np.float32)})["o"]
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5 * abs(expected).max())


NOT_READ = {
    "an activation": ("[r] o = LeakyRelu(v)", "LeakyRelu r reads v too"),
    "an output": ("o = Identity(v)", "o is an output of the graph"),
    "a border": ("[r] o = Conv<pads = [0,0,0,1]>(v, u2)", "the border of r would see the shift"),
    "a transposed border": ("[r] o = ConvTranspose(v, t3)", "the border of r would see the shift"),
    "a weight": ("[r] o = Conv(x, v)", "Conv r reads v too"),
    "a sum": ("[r] o = Add(v, x)", "Add r reads v too"),
    "a product": ("[r] o = Mul(v, g4)", "Mul r reads v too"),
    "computed": ("y = Neg(u2) [r] o = Conv(v, y)", "Conv r reads v too"),
    "channels to space": ("[r] o = DepthToSpace<blocksize = 2>(v)", "DepthToSpace r reads v too"),
    "sizes": ("z = Shape(v) [r] o = Cast<to = 1>(z)", "Shape .* reads v too"),
    "statistics": ("[r] o = BatchNormalization(v, g, b, b, one)", "r is no mere scale and shift"),
}


@pytest.mark.parametrize("case", NOT_READ)
def test_readers_that_cannot_undo_anything(case: str) -> None:
    text, reason = NOT_READ[case]
    body = "net (float[1,4,4,4] x) => (float[A,B,C,D] o) { v = Identity(x) [n] n = Neg(v) "
    more = {**MORE, "t3": rng(4, 2, 2, 2), "g4": rng(4, 1, 1)}
    model = loaded(parsed(f"{body} {text} }}", **WEIGHTS, **more))
    with pytest.raises(RefusedError, match=reason):
        read(value_of(model), model.graph.node("n"), np.ones(4), np.ones(4))


def test_an_output_has_readers_elsewhere() -> None:
    model = model_of(f"[n] v = {SAME}")
    with pytest.raises(RefusedError, match="v is an output of the graph"):
        read(value_of(model), model.graph.node("n"), np.ones(4), np.zeros(4))


def test_a_branch_is_a_reader() -> None:
    body = """net (float[1,3,5,4] x, bool c) => (float[1,4,5,4] o) {
        v = Identity(x) [n] n = Neg(v)
        o = If(c) <
            then_branch = yes () => (float[1,4,5,4] a) { a = Conv(v, u) },
            else_branch = no () => (float[1,4,5,4] e) { e = Conv(v, u) }
        >
    }"""
    model = loaded(parsed(body, **WEIGHTS))
    with pytest.raises(RefusedError, match="a branch or loop reads v"):
        read(value_of(model), model.graph.node("n"), np.ones(3), np.zeros(3))
