"""float32 to float16: which tensors become half, and where casts stand."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from avatar_export.precision.fp16 import to_fp16
from tests.precision.fp16_models import (
    FLOAT,
    HALF,
    converted,
    operators,
    parsed,
    rng,
    types,
    with_weights,
)

# The restricted operator set of an avatar


@pytest.mark.parametrize("opset", [9, 10, 11, 13, 17])
def test_a_convolutional_network_at_every_opset(opset):
    body = """g (float[1,3,8,8] x) => (float[1,4] y) {
        c = Conv<pads = [1,1,1,1]>(x, w, b)
        n = BatchNormalization<epsilon = 0.0>(c, one, zero, zero, one)
        l = LeakyRelu<alpha = 0.2>(n)
        t = ConvTranspose<strides = [2,2], pads = [1,1,1,1]>(l, u)
        s = Sigmoid(t)
        p = GlobalAveragePool(s)
        f = Flatten(p)
        y = Gemm<transB = 1>(f, m, k)
    }"""
    model = with_weights(
        parsed(body, opset),
        w=rng(4, 3, 3, 3),
        b=rng(4),
        one=np.ones(4),
        zero=np.zeros(4),
        u=rng(4, 4, 4, 4) / 8,
        m=rng(4, 4),
        k=rng(4),
    )
    half, report = converted(model, x=rng(1, 3, 8, 8))
    assert report.casts_inserted == 2
    assert operators(half) == ["Cast", *operators(model), "Cast"]
    assert report.bytes_before == model.ByteSize()
    assert report.bytes_after == half.ByteSize()
    # From opset 15 the statistics have type variables of their own, and keep their 32 bits.
    assert types(half)["one"] == (HALF if opset < 15 else FLOAT)
    assert types(half)["w"] == HALF


def test_upsample_9_keeps_its_scales_in_float():
    body = """g (float[1,1,2,2] x) => (float[1,1,4,4] y) <float[4] s = {1,1,2,2}>
              { y = Upsample(x, s) }"""
    half, report = converted(parsed(body, 9), x=rng(1, 1, 2, 2))
    assert types(half)["s"] == FLOAT
    assert types(half)["y_fp16"] == HALF
    assert report.tensors_converted == 0


@pytest.mark.parametrize("opset", [11, 13, 19])
def test_resize_keeps_roi_and_scales_in_float(opset):
    body = """g (float[1,1,2,2] x) => (float[1,1,4,4] y)
              <float[8] roi = {0,0,0,0,1,1,1,1}, float[4] s = {1,1,2,2}>
              { y = Resize<mode = "linear">(x, roi, s) }"""
    half, _ = converted(parsed(body, opset), x=rng(1, 1, 2, 2))
    assert types(half)["roi"] == types(half)["s"] == FLOAT


def test_a_constant_of_a_half_slot_and_a_float_slot_is_split():
    body = """g (float[1,1,2,4] x) => (float[1,1,4,8] y) <float[4] s = {1,1,2,2}>
              { m = Mul(x, s)  u = Upsample(m, s)  y = Mul(u, t)  }"""
    model = with_weights(parsed(body, 9), t=np.ones(8))
    half, report = converted(model, x=rng(1, 1, 2, 4))
    assert types(half)["s"] == FLOAT
    assert types(half)["s_fp16"] == HALF
    assert report.tensors_converted == 2


def test_a_constant_node_is_split_too():
    body = """g (float[1,1,2,4] x) => (float[1,1,4,8] y)
              { s = Constant<value_floats = [1.0, 1.0, 2.0, 2.0]>()
                m = Mul(x, s)  y = Resize(m, , s) }"""
    half, _ = converted(parsed(body), x=rng(1, 1, 2, 4))
    assert operators(half) == ["Cast", "Constant", "Constant", "Mul", "Resize", "Cast"]
    assert types(half)["s"] == FLOAT
    assert types(half)["s_fp16"] == HALF


@pytest.mark.parametrize("form", ["value = float[2] {1, 2}", "value_floats = [1.0, 2.0]"])
def test_constant_nodes_become_half(form):
    body = f"g (float[2] x) => (float[2] y) {{ c = Constant<{form}>() y = Add(x, c) }}"
    half, report = converted(parsed(body), x=rng(2))
    assert types(half)["c"] == HALF
    assert report.tensors_converted == 1


def test_scales_computed_from_a_shape_stay_in_float():
    body = """g (float[1,1,2,2] x) => (float[1,1,4,4] y) <float[4] two = {1,1,2,2}>
              { s = Shape(x)  f = Cast<to = 1>(s)  t = Mul(f, two)  r = Div(t, f)
                h = Relu(x)  y = Resize(h, , r) }"""
    half, report = converted(parsed(body), x=rng(1, 1, 2, 2))
    assert report.casts_inserted == 2
    assert {types(half)[name] for name in ("f", "t", "r", "two")} == {FLOAT}


@pytest.mark.parametrize("opset", [16, 20])
def test_a_grid_follows_its_value(opset):
    body = """g (float[1,1,4,4] x, float[1,4,4,2] d) => (float[1,1,4,4] y, float[1,1,4,4] z)
              { s = Mul(d, half)  y = GridSample(x, s)  z = GridSample(x, grid) }"""
    model = with_weights(parsed(body, opset), half=0.5, grid=rng(1, 4, 4, 2) / 4)
    half, report = converted(model, 1e-2, x=rng(1, 1, 4, 4), d=rng(1, 4, 4, 2) / 2)
    assert types(half)["s"] == HALF
    assert types(half)["grid"] == FLOAT
    assert report.casts_inserted == 4


# Casts


def test_an_operator_without_half_gets_casts_around_it():
    body = """g (float[4] x) => (float[4] y, float[4] z) <float q = {0.1}, uint8 o = {128}>
              { r = Relu(x)  [q] i = QuantizeLinear(r, q, o)  [d] f = DequantizeLinear(i, q, o)
                y = Relu(f)  z = Identity(f) }"""
    half, report = converted(parsed(body), x=rng(4))
    assert [(f.kind, f.name) for f in report.findings] == [("float_only", "q"), ("float_only", "d")]
    assert operators(half).count("Cast") == report.casts_inserted == 5
    assert types(half)["q"] == FLOAT


def test_a_value_that_only_float_slots_read_is_never_halved():
    body = """g (float[4] x) => (float[4] y) <float q = {0.1}, uint8 o = {128}>
              { i = QuantizeLinear(x, q, o)  y = DequantizeLinear(i, q, o) }"""
    _, report = converted(parsed(body), 0.0, x=rng(4))
    assert report.casts_inserted == 0


def test_one_cast_serves_all_readers():
    body = "g (float[2] x) => (float[2] y, float[2] z) { y = Relu(x) z = Neg(x) }"
    _, report = converted(parsed(body), x=rng(2))
    assert report.casts_inserted == 3


def test_an_output_that_is_read_inside_keeps_its_name():
    body = "g (float[2] x) => (float[2] y, float[2] z) { y = Relu(x) z = Neg(y) }"
    half, _ = converted(parsed(body), x=rng(2))
    assert [o.name for o in half.graph.output] == ["y", "z"]
    assert [n.input[0] for n in half.graph.node if n.op_type == "Neg"] == ["y_fp16"]


def test_an_output_that_is_an_input_or_a_weight():
    body = "g (float[2] x) => (float[2] x, float[2] w, float[2] y) { y = Mul(x, w) }"
    half, _ = to_fp16(with_weights(parsed(body), w=[1, 2]))
    assert [o.name for o in half.graph.output] == ["x", "w", "y"]
    assert types(half)["w"] == FLOAT
    assert types(half)["w_fp16"] == HALF


def test_a_cast_to_float_becomes_a_cast_to_half():
    body = """g (int64[2] i, float[2] x) => (float[2] y) { f = Cast<to = 1>(i) y = Add(f, x) }"""
    half, _ = converted(parsed(body), i=np.int64([1, 2]), x=rng(2))
    assert types(half)["f"] == HALF


def test_a_cast_from_integers_straight_to_an_output_is_not_rounded():
    body = "g (float[3000] x) => (float[1] y) { i = ArgMax(x) y = Cast<to = 1>(i) }"
    x = np.zeros(3000, np.float32)
    x[2999] = 1
    half, _ = converted(parsed(body), 0.0, x=x)
    assert operators(half) == ["Cast", "ArgMax", "Cast"]


def test_casts_of_a_mixed_model_disappear():
    body = """g (float[2] x) => (float[2] y)
              { a = Relu(x) h = Cast<to = 10>(a) n = Neg(h) f = Cast<to = 1>(n) y = Relu(f) }"""
    half, report = converted(parsed(body), x=rng(2))
    assert operators(half) == ["Cast", "Relu", "Neg", "Relu", "Cast"]
    assert report.casts_removed == 2


@pytest.mark.parametrize("fill", ["", "<value = float[1] {0.5}>"])
def test_constant_of_shape(fill):
    body = f"""g (float[2,3] x) => (float[2,3] y)
               {{ s = Shape(x) c = ConstantOfShape{fill}(s) y = Add(x, c) }}"""
    half, _ = converted(parsed(body), x=rng(2, 3))
    assert types(half)["c"] == HALF


@pytest.mark.parametrize(
    ("maker", "attribute"),
    [
        ("RandomNormal<shape = [2,2]>()", "dtype"),
        ("RandomUniformLike(x)", "dtype"),
        ("RandomNormalLike<dtype = 1>(i)", "dtype"),
        ("EyeLike<dtype = 1>(i)", "dtype"),
        ("EyeLike(x)", "dtype"),
    ],
)
def test_an_attribute_that_names_the_type_is_changed(maker, attribute):
    body = f"""g (float[2,2] x, int64[2,2] i) => (float[2,2] y)
               {{ [made] c = {maker} y = Add(x, c) }}"""
    half, _ = to_fp16(parsed(body))
    (node,) = [node for node in half.graph.node if node.name == "made"]
    assert {a.name: a.i for a in node.attribute}[attribute] == HALF
    assert types(half)["c"] == HALF


def test_half_io_changes_the_types_of_the_graph():
    body = "g (float[2] x, int64[2] i) => (float[2] y, int64[1] n) { y = Relu(x) n = Shape(y) }"
    half, report = to_fp16(parsed(body), io="half")
    assert report.casts_inserted == 0
    assert types(half) == {"x": HALF, "i": TensorProto.INT64, "y": HALF, "n": TensorProto.INT64}


def test_half_io_of_an_operator_without_half():
    body = """g (float[4] x) => (float[4] y) <float q = {0.1}, uint8 o = {128}>
              { i = QuantizeLinear(x, q, o)  y = DequantizeLinear(i, q, o) }"""
    half, report = to_fp16(parsed(body), io="half")
    assert report.casts_inserted == 2
    assert types(half)["y"] == types(half)["x"] == HALF


def test_the_bits_of_a_float_are_not_halved():
    body = "g (float[2] x) => (int32[2] y) { r = Relu(x) y = BitCast<to = 6>(r) }"
    half, report = to_fp16(parsed(body, 26, ir_version=13))
    assert operators(half) == ["Cast", "Relu", "Cast", "BitCast"]
    assert [f.kind for f in report.findings] == ["float_only"]


@pytest.mark.parametrize(("reduction", "told"), [("add", ["float_only"]), ("none", [])])
def test_a_scatter_that_sums_stays_in_float(reduction, told):
    body = f"""g (float[2] x, int64[3] i, float[3] u) => (float[2] y)
               {{ y = ScatterElements<reduction = "{reduction}">(x, i, u) }}"""
    indices, updates = np.int64([0, 1, 1]), np.float32([1, 2, 2])
    _, report = converted(parsed(body, 16), x=rng(2), i=indices, u=updates)
    assert [f.kind for f in report.findings] == told


def test_a_model_of_another_domain_only():
    body = """<ir_version: 8, opset_import: ["ai.onnx.ml": 1]>
              g (float[2] x) => (float[2] y) { y = ai.onnx.ml.Binarizer<threshold = 0.5>(x) }"""
    half, _ = to_fp16(onnx.parser.parse_model(body), io="half")
    assert operators(half) == ["Cast", "Binarizer", "Cast"]


def test_sequences_inside_the_graph_become_half():
    body = """g (float[2] x) => (float[4] y) <float[2] w = {1, 2}>
              { s = SequenceConstruct(x) t = SequenceInsert(s, w)
                y = ConcatFromSequence<axis = 0>(t) }"""
    half, report = converted(parsed(body), x=rng(2))
    assert report.casts_inserted == 2
    assert types(half)["w"] == HALF
