"""Subgraphs, names, metadata, and refusals that name what they refuse."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from avatar_export.errors import ModelError, UserError
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

# Subgraphs

IF = """g (float[2] x, bool b) => (float[2] y) <float[2] w = {1, 2}> {
    r = Relu(x)
    y = If (b) <
        then_branch = then () => (float[2] t) { t = Mul(r, w) },
        else_branch = other () => (float[2] e) <float[2] v = {3, 4}> { e = Add(r, v) }
    >
}"""

LOOP = """g (float[2] x) => (float[2] y, float[3,2] all)
<int64 n = {3}, bool go = {1}, float[2] w = {1, 2}> {
    y, all = Loop (n, go, x) <
        body = body (int64 i, bool c, float[2] s) => (bool d, float[2] t, float[2] u) {
        d = Identity(c)
        f = Cast<to = 1>(i)
        p = Add(s, f)
        t = Mul(p, w)
        u = Identity(t)
    }>
}"""

SCAN = """g (float[2] x, float[3,2] s) => (float[2] y, float[3,2] all) {
    y, all = Scan <num_scan_inputs = 1,
        body = body (float[2] a, float[2] e) => (float[2] o, float[2] q) {
        o = Add(a, e)
        q = Identity(o)
    }>(x, s)
}"""


@pytest.mark.parametrize("opset", [11, 13, 17])
@pytest.mark.parametrize("branch", [True, False])
def test_if(opset, branch):
    half, report = converted(parsed(IF, opset), x=rng(2), b=np.bool_(branch))
    assert report.casts_inserted == 2
    assert report.tensors_converted == 2
    assert types(half)["r"] == HALF


@pytest.mark.parametrize("opset", [11, 13, 17])
def test_loop(opset):
    _, report = converted(parsed(LOOP, opset), x=rng(2))
    assert report.casts_inserted == 3


@pytest.mark.parametrize("opset", [9, 11, 17])
def test_scan(opset):
    converted(parsed(SCAN, opset), x=rng(2), s=rng(3, 2))


def test_sequence_map_with_a_constant():
    body = """g (float[2] x) => (float[4] y) <float[2] w = {1, 2}> {
        s = SequenceConstruct(x, x)
        m = SequenceMap <
            body = body (float[2] a, float[2] b) => (float[2] c) { c = Add(a, b) }
        >(s, w)
        y = ConcatFromSequence<axis = 0>(m)
    }"""
    half, _ = converted(parsed(body, 17), x=rng(2))
    assert types(half)["w"] == HALF


def test_an_operator_without_half_inside_a_body():
    body = IF.replace("Mul(r, w)", "Range(z, n, o)").replace(
        "<float[2] w = {1, 2}>", "<float z = {0}, float n = {2}, float o = {1}>"
    )
    converted(parsed(body), x=rng(2), b=np.bool_(True))


# Names, metadata, inputs that are weights


def test_new_names_never_collide():
    body = """g (float[1,1,1,4] x) => (float[1,1,2,8] y) <float[4] s = {1,1,2,2}>
              { x_fp16 = Mul(x, s) [to_fp16_x] s_fp16 = Relu(x_fp16) y = Upsample(s_fp16, s) }"""
    model = parsed(body, 9)
    model.graph.node[0].name = "to_fp16/x_fp16_1"
    half, _ = converted(model, x=rng(1, 1, 1, 4))
    made = [name for node in half.graph.node for name in node.output]
    made += [tensor.name for tensor in half.graph.initializer]
    assert len(made) == len(set(made))
    named = [node.name for node in half.graph.node if node.name]
    assert len(named) == len(set(named))


def test_the_same_model_gives_the_same_bytes():
    first, second = (to_fp16(parsed(LOOP))[0].SerializeToString(deterministic=True) for _ in "ab")
    assert first == second


def test_the_argument_is_left_as_it_was():
    model = parsed(LOOP)
    before = model.SerializeToString(deterministic=True)
    to_fp16(model)
    assert model.SerializeToString(deterministic=True) == before


def test_metadata_is_kept():
    model = parsed("g (float[2] x) => (float[2] y) { [relu] y = Relu(x) }", ir_version=10)
    model.producer_name, model.doc_string = "avatar-export", "a face"
    model.graph.name = "frame"
    helper.set_model_props(model, {"identity": "portrait"})
    model.graph.node[0].metadata_props.add(key="origin", value="generator.head")
    half, _ = to_fp16(model)
    relu = half.graph.node[1]
    assert (half.producer_name, half.doc_string, half.graph.name) == (
        "avatar-export",
        "a face",
        "frame",
    )
    assert half.metadata_props[0].value == "portrait"
    assert (relu.name, relu.metadata_props[0].value) == ("relu", "generator.head")


def test_weights_that_are_inputs_too_become_constants():
    body = "g (float[2] x, float[2] w) => (float[2] y) { y = Mul(x, w) }"
    model = with_weights(parsed(body, 8, ir_version=3), w=[1, 2])
    half, _ = converted(model, x=rng(2))
    assert [i.name for i in half.graph.input] == ["x"]
    assert half.ir_version == 4
    assert types(half)["w"] == HALF


def test_local_functions_are_inlined():
    model = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["": 13, "own": 1]>
        g (float[2] x) => (float[2] y) { y = own.twice(x) }
        <domain: "own", opset_import: ["": 13]> twice (a) => (b) { b = Add(a, a) }"""
    )
    half, report = converted(model, x=rng(2))
    assert operators(half) == ["Cast", "Add", "Cast"]
    assert report.casts_inserted == 2


def test_an_unknown_operator_with_declared_types_stays_in_float():
    body = """<ir_version: 8, opset_import: ["": 13, "own": 1]>
              g (float[2] x) => (float[2] y) <float[2] c>
              { a = Relu(x) [odd] c = own.Odd(a) y = Relu(c) }"""
    half, report = to_fp16(onnx.parser.parse_model(body))
    assert operators(half) == ["Cast", "Relu", "Cast", "Odd", "Cast", "Relu", "Cast"]
    assert [(f.kind, f.name) for f in report.findings] == [("float_only", "odd")]


def test_the_report_is_json():
    _, report = to_fp16(parsed(LOOP))
    assert json.loads(json.dumps(report.to_dict(), allow_nan=False))["casts_inserted"] == 3


# Refusals


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("g (int64[2] x) => (int64[2] y) { y = Add(x, x) }", "nothing to convert"),
        ("g (float16[2] x) => (float16[2] y) { y = Add(x, x) }", "nothing to convert"),
        ("g (float[2] x) => (float[2] y) { y = Relu(z) }", "not a valid ONNX model"),
        ("g (seq(float[2]) s) => (float[2] y) { y = ConcatFromSequence<axis = 0>(s) }", "'s' is a"),
    ],
)
def test_what_cannot_be_converted_is_named(body, told):
    with pytest.raises(ModelError, match=told) as raised:
        to_fp16(parsed(body))
    assert "\n" not in raised.value.message


def test_an_unknown_operator_without_declared_types_is_refused_by_name():
    body = """<ir_version: 8, opset_import: ["": 13, "own": 1]>
              g (float[2] x) => (float[2] y) { [odd] c = own.Odd(x) y = Relu(c) }"""
    with pytest.raises(ModelError, match=r"'c' is not known.*'odd' \(own::Odd\)") as raised:
        to_fp16(onnx.parser.parse_model(body))
    assert "value_info" in raised.value.hint


def test_a_sparse_weight_is_refused_by_name():
    model = parsed("g (float[4] x) => (float[4] y) { y = Relu(x) }")
    values = helper.make_tensor("thin", FLOAT, [1], [1.0])
    indices = helper.make_tensor("thin_at", TensorProto.INT64, [1], [2])
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [4]))
    with pytest.raises(ModelError, match="'thin'"):
        to_fp16(model)


def test_weights_in_another_file_are_refused():
    model = with_weights(parsed("g (float[2] x) => (float[2] y) { y = Mul(x, w) }"), w=[1, 2])
    onnx.external_data_helper.set_external_data(model.graph.initializer[0], "w.bin")
    with pytest.raises(ModelError, match="'w' is in another file"):
        to_fp16(model)


def test_io_must_be_known():
    with pytest.raises(UserError, match="io"):
        to_fp16(parsed("g (float[2] x) => (float[2] y) { y = Relu(x) }"), io="double")
