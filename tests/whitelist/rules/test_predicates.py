"""Every named rule, once where it holds and once where it does not."""

from __future__ import annotations

import pytest

from avatar_export.whitelist.rules.every import PREDICATES
from avatar_export.whitelist.targets import resolve_target
from avatar_export.whitelist.view import UndeterminedError
from tests.whitelist.models import node

X = "float[1,8,4,4] x"
UNARY = f"({X}) => (float[1,8,4,4] y)"
PAIR = f"({X}, float[1,8,4,4] z) => (float[1,8,4,4] y)"
ONE = "c = Constant <value = float[1] {1}> ()"
RELU = (UNARY, "y = Relu (x)")
ADD = (PAIR, "y = Add (x, z)")
ADD_CONSTANT = (UNARY, f"{ONE} y = Add (x, c)")
INT_ADD = ("(int32[4] x, int32[4] z) => (int32[4] y)", "y = Add (x, z)")
SCALAR_ADD = ("(float[4] x, float z) => (float[4] y)", "y = Add (x, z)")
ROW_ADD = ("(float[1,8,4,4] x, float[4] z) => (float[1,8,4,4] y)", "y = Add (x, z)")
POOL = (UNARY, "y = AveragePool <kernel_shape = [1, 1], pads = [0, 0, 0, 0]> (x)")
BAD_POOL = (UNARY, "y = AveragePool <kernel_shape = [2, 2], pads = [1, 1, 0, 0]> (x)")
SOFTMAX_C = (UNARY, "y = Softmax <axis = 1> (x)")
SOFTMAX_H = (UNARY, "y = Softmax <axis = 2> (x)")
SOFTMAX_W = (UNARY, "y = Softmax <axis = 3> (x)")
SOFTMAX_MATMUL = (PAIR, "a = MatMul (x, z) y = Softmax <axis = 3> (a)")
MEAN_HW = (f"({X}) => (float[1,8] y)", "y = ReduceMean <axes = [2, 3], keepdims = 0> (x)")
MEAN_ALL = (f"({X}) => (float y)", "y = ReduceMean <keepdims = 0> (x)")
MEAN_N = (f"({X}) => (float[8,4,4] y)", "y = ReduceMean <axes = [0], keepdims = 0> (x)")
MATMUL = ("(float[2,3,4] x, float[1,4,5] z) => (float[2,3,5] y)", "y = MatMul (x, z)")
BAD_MATMUL = ("(float[1,3,4] x, float[2,4,5] z) => (float[2,3,5] y)", "y = MatMul (x, z)")
TRANSPOSED = (
    "(float[1,3,4] x, float[1,5,4] z) => (float[1,3,5] y)",
    "t = Transpose <perm = [0, 2, 1]> (z) y = MatMul (x, t)",
)
PAD = (UNARY, "y = Pad <pads = [0, 0, 1, 1, 0, 0, 1, 1]> (x)", 9)
CROP = (UNARY, "y = Pad <pads = [0, 0, -1, 0, 0, 0, 0, 0]> (x)", 9)
CAST_OUT = (f"({X}) => (int32[1,8,4,4] y)", "y = Cast <to = 6> (x)")
CAST_IN = (UNARY, "a = Cast <to = 6> (x) y = Cast <to = 1> (a)")
CONCAT = (f"({X}, float[1,8,4,4] z) => (float[1,16,4,4] y)", "y = Concat <axis = 1> (x, z)")
ODD_CONCAT = ("(float[1,3,4,4] x, float[1,8,4,4] z) => (float[1,11,4,4] y)", CONCAT[1])
UP = "s = Constant <value = float[4] {SCALES}> () y = Upsample (x, s)"
UP2 = (f"({X}) => (float[1,8,8,8] y)", UP.replace("SCALES", "1, 1, 2, 2"), 9)
UP_ODD = (f"({X}) => (float[1,8,6,6] y)", UP.replace("SCALES", "1, 1, 1.5, 1.5"), 9)
UP_C = (f"({X}) => (float[1,16,4,4] y)", UP.replace("SCALES", "1, 2, 1, 1"), 9)
DOWN = (f"({X}) => (float[1,8,1,1] y)", UP.replace("SCALES", "1, 1, 0.25, 0.25"), 9)
TILE = "r = Constant <value = int64[4] {REPEATS}> () y = Tile (x, r)"
TILE_C = (f"({X}) => (float[1,16,4,4] y)", TILE.replace("REPEATS", "1, 2, 1, 1"))
TILE_N = (f"({X}) => (float[2,8,4,4] y)", TILE.replace("REPEATS", "2, 1, 1, 1"))
GEMM = "y = Gemm (x, w, b)"
GEMM_VECTOR = ("(float[1,4] x, float[4,2] w, float[2] b) => (float[1,2] y)", GEMM)
GEMM_SCALAR = ("(float[1,4] x, float[4,2] w, float b) => (float[1,2] y)", GEMM)
SPLIT = (f"({X}) => (float[1,4,4,4] y, float[1,4,4,4] z)", "y, z = Split <axis = 1> (x)")
DYNAMIC = ("(float[N,4] x) => (float[N,4] y)", "y = Relu (x)")
SLICE = "y = Slice <axes = [0], starts = [0], ends = [1]> (x)"
SLICE_4D = ("(float[2,8,4,4] x) => (float[1,8,4,4] y)", SLICE, 9)
SLICE_5D = ("(float[2,8,4,4,4] x) => (float[1,8,4,4,4] y)", SLICE, 9)
TWINS = (UNARY, '["a"] b = Relu (x) ["a"] y = Relu (b)')

CASES = [
    ("never", None, RELU),
    ("constant 1", ADD_CONSTANT, ADD),
    ("present 1", ADD, RELU),
    ("attr axis 1", SOFTMAX_C, SOFTMAX_H),
    ("unset axes", RELU, MEAN_HW),
    ("each pads 0", POOL, BAD_POOL),
    ("outputs 1", RELU, SPLIT),
    ("inputs 2 2", ADD, RELU),
    ("rank 0 4 4", RELU, SCALAR_ADD),
    ("runtime_rank 1", ADD, SCALAR_ADD),
    ("dtype * f32 f16", ADD, INT_ADD),
    ("output_dtype f32", RELU, CAST_OUT),
    ("integer_broadcasts", ADD, INT_ADD),
    ("per_channel", ADD_CONSTANT, ROW_ADD),
    ("constant_follows Relu", (UNARY, f"r = Relu (x) {ONE} y = Add (r, c)"), ADD_CONSTANT),
    ("fed_by 0 Cast", CAST_IN, RELU),
    ("feeds Add", (UNARY, "n = Relu (x) y = Add (n, n)"), RELU),
    ("inner", (UNARY, "n = Relu (x) y = Add (n, n)"), RELU),
    ("unique_name", RELU, TWINS),
    ("channel_axis", SOFTMAX_C, SOFTMAX_H),
    ("channel_axis MatMul", SOFTMAX_MATMUL, SOFTMAX_W),
    ("last_axis", SOFTMAX_W, SOFTMAX_C),
    ("axis_at_least 2", SOFTMAX_H, SOFTMAX_C),
    ("axis_is 1", SOFTMAX_C, SOFTMAX_H),
    ("batch_alone", MEAN_N, MEAN_ALL),
    ("batch_kept", MEAN_HW, MEAN_N),
    ("no_negative pads 1", PAD, CROP),
    ("begin_pads_zero", POOL, BAD_POOL),
    ("last_dim 2", GEMM_VECTOR, GEMM_SCALAR),
    ("batch_dims_match", MATMUL, BAD_MATMUL),
    ("static_inputs", RELU, DYNAMIC),
    ("known_shape", RELU, DYNAMIC),
    ("channels_by_four", CONCAT, ODD_CONCAT),
    ("dims_at_most 8", RELU, ("(float[1,9] x) => (float[1,9] y)", "y = Relu (x)")),
    ("output_above_one", UP2, DOWN),
    ("spatial_only", UP2, UP_C),
    ("integer_factor", UP2, UP_ODD),
    ("leading_ones 1 3", TILE_C, TILE_N),
    ("leading_kept 4", SLICE_4D, SLICE_5D),
]


@pytest.mark.parametrize(("rule", "good", "bad"), CASES, ids=[c[0] for c in CASES])
def test_rule(rule, good, bad):
    name, *arguments = rule.split()
    function = PREDICATES[name].function
    assert good is None or function(node(*good), resolve_target(), *arguments) == ""
    assert function(node(*bad), resolve_target(), *arguments)


# Rules about convolution weights: rule, operator and attributes, then Cin and the weight's shape of
# a node that keeps the rule and of one that breaks it. The width of adreno640 is 16384.
WEIGHT_CASES = [
    ("filter_area 4", "Conv", (1, (4, 1, 64, 64)), (1, (4, 1, 65, 64))),
    ("filter_depth", "Conv", (1820, (4, 1820, 3, 3)), (1821, (4, 1821, 3, 3))),
    ("out_channels", "Conv", (1, (16384, 1, 1, 1)), (1, (16385, 1, 1, 1))),
    ("deconvolution_product", "ConvTranspose", (256, (256, 256, 1, 1)), (257, (257, 256, 1, 1))),
    ("depthwise", "Conv <group = 4>", (4, (4, 1, 3, 3)), (4, (8, 1, 3, 3))),
    ("group_multiple out", "Conv <group = 2>", (8, (8, 4, 3, 3)), (8, (4, 4, 3, 3))),
    ("group_multiple in", "Conv <group = 2>", (8, (8, 4, 3, 3)), (4, (8, 2, 3, 3))),
    ("stride_within_filter", "Conv <strides = [3, 3]>", (1, (1, 1, 3, 3)), (1, (1, 1, 2, 2))),
    ("stride_within_filter 1", "Conv <strides = [3, 3]>", (1, (1, 1, 4, 4)), (1, (1, 1, 3, 3))),
]


@pytest.mark.parametrize(("rule", "operator", "good", "bad"), WEIGHT_CASES)
def test_weight_rule(rule, operator, good, bad):
    name, *arguments = rule.split()
    for broken, (depth, shape) in enumerate((good, bad)):
        view = node(f"(float[1,{depth},80,80] x) => (y)", f"y = {operator} (x, w)", w=shape)
        assert bool(PREDICATES[name].function(view, resolve_target(), *arguments)) == broken


@pytest.mark.parametrize(
    ("strides", "holds"), [("[2, 2]", True), ("[2, 1]", False)], ids=["equal", "unequal"]
)
def test_equal_strides(strides, holds):
    body = f"y = ConvTranspose <strides = {strides}> (x, w)"
    view = node("(float[1,1,8,8] x) => (y)", body, w=(1, 1, 3, 3))
    assert (PREDICATES["equal_strides"].function(view, resolve_target()) == "") == holds


@pytest.mark.parametrize(
    ("shape", "wide", "tall"),
    [
        ("1,252,2,256", False, False),
        ("1,256,2,256", True, False),
        ("1,128,2,512", True, False),
        ("2,4,8192,4", False, False),
        ("2,4,8193,4", False, True),
        ("1,256,256", False, False),
    ],
)
def test_image_size(shape, wide, tall):
    view = node(f"(float[{shape}] x) => (float[{shape}] y)", "y = Relu (x)")
    assert bool(PREDICATES["packed_width"].function(view, resolve_target())) == wide
    assert bool(PREDICATES["image_height"].function(view, resolve_target())) == tall


@pytest.mark.parametrize(("depth", "channels"), [(16384, 16384), (16385, 4), (4, 16385)])
def test_fully_connected(depth, channels):
    signature = f"(float[1,{depth}] x, float[{depth},{channels}] w) => (y)"
    view = node(signature, "y = MatMul (x, w)")
    failure = PREDICATES["fully_connected"].function(view, resolve_target())
    assert bool(failure) == (max(depth, channels) > 16384)


def test_every_rule_is_tested_here():
    rules = {c[0].split()[0] for c in (*CASES, *WEIGHT_CASES)}
    rules |= {"equal_strides", "packed_width", "image_height", "fully_connected"}
    here = ("predicates", "axes", "sizes")
    assert rules == {n for n, p in PREDICATES.items() if p.function.__module__.endswith(here)}


def test_a_rule_that_lacks_a_shape_says_so():
    with pytest.raises(UndeterminedError, match="shape of x"):
        PREDICATES["spatial_only"].function(node(*DYNAMIC), resolve_target())
