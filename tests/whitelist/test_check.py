from __future__ import annotations

import json

import numpy as np
import onnx
import pytest

from avatar_export.errors import ModelError
from avatar_export.whitelist.check import check
from avatar_export.whitelist.codes import known_codes
from avatar_export.whitelist.finding import Severity, Verdict
from avatar_export.whitelist.targets import resolve_target
from tests.whitelist.models import model


def judge(signature, body, opset=11, sdk="2.35", runtime="gpu_float16", **weights):
    return check(model(signature, body, opset, **weights), resolve_target(None, sdk, runtime))


def codes(judgement):
    return [finding.code for finding in judgement.findings]


FRAME = """
    g = Gemm <transB = 1> (pose, w1, b1)
    a = LeakyRelu <alpha = 0.2> (g)
    shape = Constant <value = int64[4] {1, 64, 4, 4}> ()
    r = Reshape (a, shape)
    c = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (r, w2, b2)
    n = BatchNormalization <epsilon = 1e-7> (c, scale, bias, mean, var)
    l = LeakyRelu <alpha = 0.2> (n)
    s = Conv <kernel_shape = [1, 1]> (r, w3)
    t = Add (l, s)
    scales = Constant <value = float[4] {1, 1, 64, 64}> ()
    u = Upsample <mode = "nearest"> (t, scales)
    h = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (u, w4, b4)
    rgb = Tanh (h)
    mask = Sigmoid (h)
"""
FRAME_IO = "(float[1,136] pose) => (float[1,4,256,256] rgb, float[1,4,256,256] mask)"
FRAME_WEIGHTS = {
    "w1": (1024, 136),
    "b1": (1024,),
    "w2": (64, 64, 3, 3),
    "b2": (64,),
    "scale": (64,),
    "bias": (64,),
    "mean": (64,),
    "var": (64,),
    "w3": (64, 64, 1, 1),
    "w4": (4, 64, 3, 3),
    "b4": (4,),
}


@pytest.mark.parametrize("sdk", ["2.5", "2.25", "2.35"])
@pytest.mark.parametrize("runtime", ["gpu_float16", "gpu", "cpu"])
def test_frame_graph_is_clean(sdk, runtime):
    judgement = judge(FRAME_IO, FRAME, 9, sdk, runtime, **FRAME_WEIGHTS)
    assert judgement.findings == ()
    assert judgement.clean
    assert judgement.counts[Verdict.SUPPORTED] == len(judgement.node_verdicts)


def test_frame_graph_on_1_43_only_warns_about_versions():
    judgement = judge(FRAME_IO, FRAME, 9, "1.43", **FRAME_WEIGHTS)
    assert judgement.errors == ()
    assert set(codes(judgement)) == {"AX102"}
    outside = {f.operator for f in judgement.warnings}
    assert outside >= {"Gemm", "LeakyRelu", "Add", "Upsample", "Tanh", "Sigmoid"}
    assert "Conv" not in outside


# The shifted pixel index in int32, the fraction in float; the texture is a constant table of one
# row a pixel. Only the spellings that the 2.35 GPU tables take everywhere.
WARP_IO = "(float[1,2,64,64] d) => (float[1,64,64,4] y)"
WARP = """
    zero = Constant <value = float[1] {0}> ()
    top = Constant <value = float[1] {63}> ()
    size = Constant <value = int32[1] {64}> ()
    dx, dy = Split <axis = 1> (d)
    fx = Floor (dx)
    tx = Sub (dx, fx)
    px = Add (fx, base)
    low = Max (px, zero)
    cx = Min (low, top)
    ix = Cast <to = 6> (cx)
    cy = Clip (dy, zero_s, top_s)
    iy = Cast <to = 6> (cy)
    row = Mul (iy, size)
    minus = Neg (ix)
    index = Sub (row, minus)
    flat = Constant <value = int64[1] {4096}> ()
    i = Reshape (index, flat)
    v = Gather <axis = 0> (texture, i)
    image = Constant <value = int64[4] {1, 64, 64, 4}> ()
    w = Reshape (v, image)
    t = Transpose <perm = [0, 2, 3, 1]> (tx)
    y = Mul (w, t)
"""
WARP_WEIGHTS = {"base": (1, 1, 64, 64), "zero_s": (), "top_s": (), "texture": (4096, 4)}


@pytest.mark.parametrize("opset", [11, 12])
def test_gather_warp_is_clean_on_2_35(opset):
    assert judge(WARP_IO, WARP, opset, **WARP_WEIGHTS).findings == ()


def test_gather_warp_is_refused_by_2_5():
    judgement = judge(WARP_IO, WARP, 11, "2.5", **WARP_WEIGHTS)
    refused = {(f.code, f.operator) for f in judgement.errors}
    assert refused >= {("AX103", "Gather")}
    assert ("AX107", "Cast") in {(f.code, f.operator) for f in judgement.warnings}


INT = "(int32[1,1,8,8] x, int32[1,1,8,8] z) => (int32[1,1,8,8] y)"
BOUNDS = "lo = Constant <value = int32 {0}> () hi = Constant <value = int32 {5}> () "


@pytest.mark.parametrize(
    ("signature", "body", "opset", "found"),
    [
        (INT, "y = Mul (x, z)", 11, []),
        (INT, "y = Sub (x, z)", 11, []),
        (INT, "y = Add (x, z)", 11, ["AX105"]),
        (INT, "c = Constant <value = int32[1] {2}> () y = Add (x, c)", 11, []),
        (INT, BOUNDS + "y = Clip (x, lo, hi)", 12, ["AX105"]),
        (INT, "a = Max (x, z) y = Min (a, z)", 12, []),
        (INT, "y = Concat <axis = 2> (x, z)", 11, []),
        (INT, "y = Concat <axis = 1> (x, z)", 11, ["AX109"]),
        ("(int32[1,2,8,8] x) => (y, z)", "y, z = Split <axis = 1> (x)", 11, ["AX105"]),
        ("(float[9,4] x, int32[6] z) => (y)", "y = Gather (x, z)", 11, []),
        (
            "(float[9,4] x, int32[6,1] q) => (y)",
            "s = Constant <value = int64[4] {1, 1, 2, 3}> () z = Reshape (q, s) y = Gather (x, z)",
            11,
            ["AX105"],
        ),
    ],
)
def test_integer_rules_of_the_gpu(signature, body, opset, found):
    assert codes(judge(signature, body, opset)) == found


MATMUL = ("(float[3,4] x, float[4,5] z) => (float[3,5] y)", "y = MatMul (x, z)", 9)


@pytest.mark.parametrize(
    ("sdk", "runtime", "found"),
    [
        ("2.5", "cpu", [("AX107", Severity.WARNING)]),
        ("2.5", "gpu_float16", [("AX103", Severity.ERROR)]),
        ("1.43", "cpu", [("AX102", Severity.WARNING), ("AX105", Severity.ERROR)]),
        ("2.35", "gpu_float16", []),
    ],
)
def test_matmul_of_two_computed_operands(sdk, runtime, found):
    judgement = judge(*MATMUL, sdk, runtime)
    assert [(f.code, f.severity) for f in judgement.findings] == found


def test_matmul_by_a_constant_is_a_fully_connected_layer():
    judgement = judge("(float[3,4] x) => (y)", "y = MatMul (x, z)", 1, "1.43", z=(4, 5))
    assert judgement.clean
    assert judgement.node_verdicts[0].operations == ("FullyConnected",)


def test_unknown_operator_and_foreign_domain():
    assert codes(judge("(float[4] x) => (float[4] y)", "y = Selu (x)")) == ["AX101"]
    foreign = model("(float[4] x) => (float[4] y)", "y = my.own.Relu (x)")
    foreign.opset_import.append(onnx.helper.make_opsetid("my.own", 1))
    (finding,) = check(foreign, resolve_target()).findings
    assert (finding.code, finding.verdict) == ("AX101", Verdict.UNSUPPORTED)
    assert "my.own.Relu" in finding.reason


def test_newer_operator_version_is_a_warning():
    judgement = judge("(float[1,4] x) => (float[1,4] y)", "y = Relu (x)", 14)
    (finding,) = judgement.findings
    assert (finding.code, finding.severity) == ("AX102", Severity.WARNING)
    assert "version 14" in finding.reason


@pytest.mark.parametrize(("sdk", "found"), [("1.43", ["error"]), ("2.5", ["warning"])])
def test_packed_width_is_an_error_only_in_1_x(sdk, found):
    wide = "(float[1,256,2,256] x) => (float[1,256,2,256] y)"
    judgement = judge(wide, "y = Tanh (x)", 1, sdk)
    assert [str(f.severity) for f in judgement.findings if f.code == "AX104"] == found


@pytest.mark.parametrize("sdk", ["1.43", "2.5", "2.25", "2.35"])
def test_input_ranks(sdk):
    """Rank 2 is a note, rank 3 a conflict of page and experiment."""
    vector = judge("(float[1,4] x) => (float[1,4] y)", "y = Tanh (x)", 1, sdk)
    assert vector.clean
    tokens = judge("(float[1,4,4] x) => (float[1,4,4] y)", "y = Tanh (x)", 1, sdk)
    assert codes(tokens) == ["AX107"]


def test_dynamic_shapes_are_reported_once_at_the_input():
    judgement = judge("(float[N,4,8,8] x) => (y)", "a = Tanh (x) y = Conv (a, w)", w=(4, 4, 3, 3))
    assert codes(judgement) == ["AX106"]
    assert judgement.node_verdicts[-1].verdict is Verdict.UNKNOWN


def test_value_that_cannot_be_known_is_said():
    text = "(float[1,4,8,8] x) => (float[1,4,10,10] y) <int64[8] p = {0, 0, 1, 1, 0, 0, 1, 1}>"
    built = model(text, "y = Pad (x, p)")
    amounts = built.graph.initializer[0]
    amounts.ClearField("int64_data")
    amounts.data_location = onnx.TensorProto.EXTERNAL
    amounts.external_data.add(key="location", value="amounts.bin")
    judgement = check(built, resolve_target(None, "2.35", "gpu_float16"))
    assert codes(judgement) == ["AX110"]
    assert judgement.counts[Verdict.UNKNOWN] == 1


def test_folded_nodes_do_not_reach_the_runtime():
    body = "s = Shape (x) c = Constant <value = int64[1] {0}> () n = Gather (s, c) y = Tanh (x)"
    judgement = judge("(float[1,4] x) => (float[1,4] y)", body, 9, "2.5", "gpu")
    assert [(f.code, f.operator) for f in judgement.findings] == [("AX107", "Gather")]


@pytest.mark.parametrize(
    ("sdk", "operator", "found"),
    [
        ("1.43", "DepthToSpace <blocksize = 2>", ["AX101"]),
        ("2.5", "DepthToSpace <blocksize = 2>", ["AX107", "AX107"]),
        ("2.25", "DepthToSpace <blocksize = 2>", []),
        ("2.5", "Pad <pads = [0, 0, 1, 1, 0, 0, 1, 1]>", ["AX107"]),
        ("1.43", "Pad <pads = [0, 0, 1, 1, 0, 0, 1, 1]>", ["AX107"]),
        ("2.25", "Pad <pads = [0, 0, -1, 0, 0, 0, 0, 0]>", ["AX103"]),
        ("1.43", "ReduceMean <axes = [1]>", ["AX107", "AX107"]),
        ("2.25", "HardSigmoid", ["AX103"]),
        ("2.35", "HardSigmoid", ["AX108"]),
    ],
)
def test_documents_that_disagree(sdk, operator, found):
    body = operator.replace(">", "> (x)") if ">" in operator else f"{operator} (x)"
    assert codes(judge("(float[1,8,8,8] x) => (y)", f"y = {body}", 6, sdk)) == found


def test_grid_sample_has_no_gpu_form():
    signature = "(float[1,4,8,8] x, float[1,8,8,2] g) => (float[1,4,8,8] y)"
    judgement = judge(signature, "y = GridSample (x, g)", 16)
    (finding,) = judgement.findings
    assert (finding.code, finding.severity) == ("AX103", Severity.ERROR)
    assert "2.34" in finding.reason
    assert judge(signature, "y = GridSample (x, g)", 16, runtime="cpu").clean


@pytest.mark.parametrize(
    ("signature", "body", "opset", "operations"),
    [
        ("(float[1,4,8,8] x) => (y)", "y = Conv <group = 4> (x, w)", 11, ("DepthWiseConv2d",)),
        ("(float[1,1,8,8] x) => (y)", "y = Upsample (x, s)", 9, ("ResizeNearestNeighbor",)),
        ("(float[1,4,8,8] x) => (y)", "y = Squeeze <axes = [0]> (x)", 11, ("Reshape",)),
        ("(float[1,4,8,8] x) => (y)", "y = Identity (x)", 11, ()),
    ],
)
def test_operations_of_a_node(signature, body, opset, operations):
    built = model(signature, body, opset, w=(4, 1, 3, 3))
    scales = onnx.numpy_helper.from_array(np.float32([1, 1, 2, 2]), "s")
    built.graph.initializer.append(scales)
    judgement = check(built, resolve_target(sdk="2.35"))
    assert judgement.node_verdicts[-1].operations == operations


def test_origin_of_a_torch_module():
    built = model("(float[4] x) => (float[4] y)", "y = Selu (x)")
    built.graph.node[0].name = "/gen/block.0/Selu"
    assert check(built, resolve_target()).findings[0].origin == "gen.block.0"


def test_to_dict_is_json():
    judgement = judge("(float[1,4] x) => (float[1,4] y)", "y = Selu (x)")
    plain = json.loads(json.dumps(judgement.to_dict()))
    assert plain["counts"] == {"supported": 0, "constrained": 0, "unsupported": 1, "unknown": 0}
    assert plain["findings"][0]["code"] in known_codes()
    assert plain["nodes"][0]["verdict"] == "unsupported"
    assert plain["target"]["runtime"] == "gpu_float16"


def test_malformed_attribute_names_the_node():
    built = model("(float[1,4,8,8] x) => (y)", "y = Softmax (x)", 9)
    built.graph.node[0].attribute.append(onnx.helper.make_attribute("axis", "last"))
    (finding,) = check(built, resolve_target()).errors
    assert (finding.code, finding.node) == ("AX111", "Softmax_0")


@pytest.mark.parametrize("sdk", ["1.43", "2.5", "2.25", "2.35"])
@pytest.mark.parametrize(
    "node",
    ["y = Conv(x)", "y = Conv<group: float = 1.5>(x, x)", "y = Shape()", "y = Gather(x)"],
)
def test_a_malformed_node_is_an_error_of_the_model(node: str, sdk: str) -> None:
    text = f'<ir_version: 8, opset_import: ["": 11]>\nnet (float[1,4,8,8] x) => (y) {{ {node} }}'
    model = onnx.parser.parse_model(text)
    try:
        judgement = check(model, resolve_target(sdk=sdk))
    except ModelError as error:
        assert "malformed" in error.message
    else:
        assert judgement.findings or "Shape" in node


BRANCHES = """
    y = If (c) <
        then_branch: graph = yes () => (float[1,4,8,8] a) { [odd] a = Selu (x) },
        else_branch: graph = no () => (float[1,4,8,8] b) { b = Relu (x) }
    >
"""


def test_bodies_of_control_flow_are_judged():
    judgement = judge("(bool c, float[1,4,8,8] x) => (float[1,4,8,8] y)", BRANCHES, 13, "2.25")
    found = {(f.code, f.node) for f in judgement.errors}
    assert found == {("AX101", "If_0"), ("AX101", "If_0/then_branch/odd")}
    names = [node.node for node in judgement.node_verdicts]
    assert names == ["If_0", "If_0/then_branch/odd", "If_0/else_branch/Relu_0"]


def test_an_invalid_node_is_an_error_of_its_own():
    body = "y = Conv <kernel_shape = [3, 3]> (x, w)"
    judgement = judge("(float[1,4,8,8] x) => (float[1,4,6,6] y)", body, w=(4, 3, 3, 3))
    (finding,) = judgement.errors
    assert finding.code == "AX111"
    assert "4 channels" in finding.reason


def test_merged_nodes_stand_for_one_operation():
    body = """
        q = Mul (x, x)
        m = ReduceMean <axes = [1], keepdims = 1> (q)
        eps = Constant <value = float {0.00001}> ()
        e = Add (m, eps)
        r = Sqrt (e)
        y = Div (x, r)
    """
    judgement = judge("(float[1,4,8,8] x) => (float[1,4,8,8] y)", body)
    assert [n.operations for n in judgement.node_verdicts if n.operations] == [("RmsNorm",)]
    (finding,) = judgement.findings
    assert (finding.code, finding.node, finding.cure) == ("AX108", "Div_5", "plain-norm")


def test_macs_are_counted_by_verdict():
    body = "a = Conv <kernel_shape = [1, 1]> (x, w) y = Selu (a)"
    judgement = judge("(float[1,4,8,8] x) => (float[1,4,8,8] y)", body, w=(4, 4, 1, 1))
    assert judgement.macs[Verdict.SUPPORTED] == 4 * 4 * 8 * 8
    assert sum(judgement.macs.values()) == 4 * 4 * 8 * 8


ODD = {
    "casts of a constant": "c = Constant <value_float = 1.5> () i = Cast <to = 6> (c)"
    " f = Cast <to = 1> (i) y = Add (x, f)",
    "a text where a number should be": 't = Constant <value_string = "a"> () d = Div (x, t)'
    " e = Erf (d) y = Relu (e)",
    "a shuffle of nothing": "s = Constant <value_ints = [0, 1, 2, 2, 4, 4]> () r = Reshape (x, s)"
    " t = Transpose <perm = [0, 1, 4, 2, 5, 3]> (r)"
    " q = Constant <value_ints = [0, 0, 8, 8]> () y = Reshape (t, q)",
}


@pytest.mark.parametrize("body", ODD.values(), ids=ODD)
def test_odd_graphs_are_judged(body):
    judgement = judge("(float[1,4,8,8] x) => (y)", body, 13, "2.25")
    assert judgement.node_verdicts


def test_an_output_that_is_left_out_is_not_read():
    body = 'z,"","" = BatchNormalization (x, s, s, s, s) y = Clip (z, "", high)'
    judgement = judge("(float[1,4,8,8] x) => (float[1,4,8,8] y)", body, 13, "2.25", s=(4,), high=())
    assert not judgement.errors


def test_a_reduction_of_nothing_reduces_no_batch():
    body = "y = ReduceSum <noop_with_empty_axes = 1> (x)"
    judgement = judge("(float[2,4,8,8] x) => (float[2,4,8,8] y)", body, 13, "2.25")
    assert not judgement.errors
