"""In which order of axes the application finds inputs and outputs."""

from __future__ import annotations

import pytest

from avatar_export.whitelist.check import check
from avatar_export.whitelist.targets import resolve_target
from tests.whitelist.models import model

CPU = resolve_target(None, "2.25", "cpu")


def ports(signature, body, opset=13, **weights):
    """Stored shape of every port by name."""
    judgement = check(model(signature, body, opset, **weights), CPU)
    return {port.name: port.stored for port in judgement.ports}


@pytest.mark.parametrize(
    ("shape", "stored"),
    [
        ((2, 8), (2, 8)),
        ((1, 6, 8), (1, 8, 6)),
        ((1, 3, 4, 5), (1, 4, 5, 3)),
        ((1, 2, 3, 4, 5), (1, 3, 4, 5, 2)),
        ((1, 2, 3, 4, 5, 6), (1, 2, 3, 4, 5, 6)),
    ],
)
def test_inputs_of_rank_3_to_5_are_fed_channel_last(shape, stored):
    text = ",".join(map(str, shape))
    found = ports(f"(float[{text}] x) => (float[{text}] y)", "y = Relu (x)")
    assert found == {"x": stored, "y": stored}


def test_what_comes_out_of_a_reshape_is_in_onnx_order():
    body = "s = Constant <value_ints = [1, 4, 64]> ()\n r = Reshape (x, s)\n y = Relu (r)"
    assert ports("(float[1,4,8,8] x) => (float[1,4,64] y)", body)["y"] == (1, 4, 64)


def test_a_convolution_writes_channel_last_whatever_it_reads():
    body = """
        s = Constant <value_ints = [1, 4, 2, 8]> ()
        r = Reshape (x, s)
        y = Conv <kernel_shape = [1, 1]> (r, w)
    """
    found = ports("(float[1,64] x) => (float[1,4,2,8] y)", body, w=(4, 4, 1, 1))
    assert found["y"] == (1, 2, 8, 4)


def test_a_softmax_over_the_last_axis_ends_in_onnx_order():
    io = "(float[1,4,6,8] x) => (float[1,4,6,8] y)"
    assert ports(io, "y = Softmax <axis = 3> (x)")["y"] == (1, 4, 6, 8)
    assert ports(io, "y = Softmax <axis = 1> (x)")["y"] == (1, 6, 8, 4)


def test_a_log_softmax_keeps_the_order_of_its_input():
    io = "(float[1,4,6,8] x) => (float[1,4,6,8] y)"
    for opset in (11, 13):
        assert ports(io, "y = LogSoftmax <axis = 3> (x)", opset)["y"] == (1, 6, 8, 4)


def test_a_sum_folded_into_a_convolution_stays_channel_last():
    io = "(float[1,4,6,8] x) => (float[1,4,6,8] y)"
    body = "a = Conv <kernel_shape = [1, 1]> (x, w)\n y = Add (b, a)"
    assert ports(io, body, w=(4, 4, 1, 1), b=(1, 4, 1, 1))["y"] == (1, 6, 8, 4)


def test_a_transpose_to_channel_last_moves_nothing():
    io = "(float[1,4,6,8] x) => (float[1,6,8,4] y)"
    assert ports(io, "y = Transpose <perm = [0, 2, 3, 1]> (x)")["y"] == (1, 6, 8, 4)
    back = """
        a = Transpose <perm = [0, 2, 3, 1]> (x)
        b = Relu (a)
        y = Transpose <perm = [0, 3, 1, 2]> (b)
    """
    assert ports("(float[1,4,6,8] x) => (float[1,4,6,8] y)", back)["y"] == (1, 6, 8, 4)


def test_a_vector_along_the_width_asks_for_onnx_order():
    body = "a = Conv <kernel_shape = [1, 1]> (x, w)\n y = Add (a, v)"
    io = "(float[1,4,6,8] x) => (float[1,4,6,8] y)"
    assert ports(io, body, w=(4, 4, 1, 1), v=(8,))["y"] == (1, 4, 6, 8)
    assert ports(io, body, w=(4, 4, 1, 1), v=(1,))["y"] == (1, 6, 8, 4)


def test_a_grid_of_coordinates_is_fed_as_it_is():
    io = "(float[1,4,8,8] x, float[1,6,6,2] g) => (float[1,4,6,6] y)"
    assert ports(io, "y = GridSample (x, g)", 16)["g"] == (1, 6, 6, 2)


def test_layouts_are_named():
    judgement = check(model("(float[1,3,N,8] x) => (float[1,3,N,8] y)", "y = Relu (x)"), CPU)
    port = judgement.ports[0]
    assert (port.layout, port.shape, port.stored) == (
        "NCHW -> NHWC",
        (1, 3, "N", 8),
        (1, "N", 8, 3),
    )


def test_a_merged_norm_keeps_the_order_unless_it_works_on_the_last_axis():
    body = """
        q = Mul (x, x)
        m = ReduceMean <axes = [{axis}], keepdims = 1> (q)
        eps = Constant <value_float = 0.00001> ()
        e = Add (m, eps)
        r = Sqrt (e)
        y = Div (x, r)
    """
    io = "(float[1,4,6,8] x) => (float[1,4,6,8] y)"
    assert ports(io, body.format(axis=1))["y"] == (1, 6, 8, 4)
    assert ports(io, body.format(axis=-1))["y"] == (1, 4, 6, 8)


def test_a_transpose_without_a_permutation_reverses_the_axes():
    io = "(float[1,4,6,8] x) => (float[8,6,4,1] y)"
    assert ports(io, "y = Transpose (x)")["y"] == (8, 6, 4, 1)


def test_axes_of_a_merged_norm_may_be_an_input():
    body = """
        last = Constant <value_ints = [-1]> ()
        q = Mul (x, x)
        m = ReduceMean <keepdims = 1> (q, last)
        eps = Constant <value_float = 0.00001> ()
        e = Add (m, eps)
        r = Sqrt (e)
        y = Div (x, r)
    """
    assert ports("(float[1,4,6,8] x) => (float[1,4,6,8] y)", body, 18)["y"] == (1, 4, 6, 8)
