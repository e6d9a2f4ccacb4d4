"""Silent faults of the converter: a model that has each, and its nearest neighbour that has not."""

from __future__ import annotations

import pytest

from avatar_export.whitelist.check import check
from avatar_export.whitelist.finding import Severity
from avatar_export.whitelist.tables import resolve_target

from .models import model

IMAGE = "(float[1,4,8,8] x) => (float[1,4,8,8] y)"


def faults(signature, body, opset=13, sdk="2.25", **weights):
    judgement = check(model(signature, body, opset, **weights), resolve_target(None, sdk, "cpu"))
    return [f for f in judgement.findings if f.code.startswith("AX2")]


def codes(*args, **kwargs):
    return [f.code for f in faults(*args, **kwargs)]


def pad(amounts: str, value: str) -> str:
    return f"""
        p = Constant <value_ints = [{amounts}]> ()
        v = Constant <value = float {{{value}}}> ()
        y = Pad <mode = "constant"> (x, p, v)
    """


def padded(value: str, amounts: str = "0, 0, 1, 1, 0, 0, 1, 1") -> list[str]:
    return codes("(float[1,4,8,8] x) => (float[1,4,10,10] y)", pad(amounts, value))


@pytest.mark.parametrize("value", ["1.5", "-0.25", "inf", "-inf", "3e9"])
def test_padding_values_are_cut(value):
    assert padded(value) == ["AX202"]


@pytest.mark.parametrize("value", ["0", "-1", "255", "-2147483647"])
def test_whole_padding_values_are_kept(value):
    assert padded(value) == []


def test_the_value_of_a_pad_that_pads_nothing_does_not_matter():
    assert codes(IMAGE, pad("0, 0, 0, 0, 0, 0, 0, 0", "1.5")) == []


def test_a_padding_value_in_an_attribute_is_kept():
    body = "y = Pad <pads = [0, 0, 1, 1, 0, 0, 1, 1], value = 0.5> (x)"
    assert codes("(float[1,4,8,8] x) => (float[1,4,10,10] y)", body, 10) == []


def test_pads_of_both_signs_are_crops():
    assert codes(IMAGE, pad("0, 0, 1, 1, 0, 0, -1, -1", "0")) == ["AX214"]
    shrunk = "(float[1,4,8,8] x) => (float[1,4,7,8] y)"
    assert codes(shrunk, pad("0, 0, 0, 0, 0, 0, -1, 0", "0")) == []


def test_dilations_of_a_transposed_convolution():
    signature = "(float[1,4,8,8] x) => (float[1,4,12,12] y)"
    body = "y = ConvTranspose <kernel_shape = [3, 3], dilations = [2, 2]> (x, w)"
    assert codes(signature, body, w=(4, 4, 3, 3)) == ["AX201"]
    plain = "y = ConvTranspose <kernel_shape = [3, 3], dilations = [1, 1]> (x, w)"
    assert codes("(float[1,4,8,8] x) => (float[1,4,10,10] y)", plain, w=(4, 4, 3, 3)) == []


NORMALISE = "n = ReduceL2 <axes = [{axis}], keepdims = 1> (t)\n y = Div (t, n)"


def test_a_normalised_image_gets_the_wrong_axis():
    (fault,) = faults(IMAGE, "t = Relu (x)" + NORMALISE.format(axis=1))
    assert fault.code == "AX203"
    assert fault.cure == "spell-out-norm"
    assert "[1]" in fault.reason


def test_a_normalised_vector_or_reshaped_tensor_is_right():
    vector = "(float[1,8] x) => (float[1,8] y)"
    assert codes(vector, "t = Relu (x)" + NORMALISE.format(axis=1)) == []
    reshaped = "s = Constant <value_ints = [1, 8, 32]> ()\n t = Reshape (x, s)\n"
    assert (
        codes("(float[1,4,8,8] x) => (float[1,8,32] y)", reshaped + NORMALISE.format(axis=2)) == []
    )


@pytest.mark.parametrize(
    ("shape", "perm", "wrong"),
    [
        ("1,2,3,4,5,6", "0, 2, 4, 3, 5, 1", True),
        ("1,2,3,4,5,6", "0, 2, 1, 3, 4, 5", False),  # its own inverse
        ("2,3,4,5,6,7", "3, 4, 5, 0, 1, 2", False),  # two blocks that change places
        ("2,3,4,5,6,7", "2, 3, 4, 5, 0, 1", False),
        ("2,3,4,5,6,7", "4, 5, 2, 3, 0, 1", False),
        ("2,3,4,5,6,7", "2, 3, 4, 0, 5, 1", True),
        ("1,1,1,1,5,6", "0, 2, 3, 1, 4, 5", False),  # only axes of size 1 change places
    ],
)
def test_transposes_of_rank_6_are_inverted(shape, perm, wrong):
    sizes = shape.split(",")
    after = ",".join(sizes[int(axis)] for axis in perm.split(","))
    signature = f"(float[{shape}] x) => (float[{after}] y)"
    assert codes(signature, f"y = Transpose <perm = [{perm}]> (x)") == ["AX204"] * wrong


def test_a_pixel_shuffle_is_recognised_and_right():
    body = """
        six = Constant <value_ints = [1, 2, 2, 2, 4, 4]> ()
        four = Constant <value_ints = [1, 2, {size}]> ()
        a = Reshape (x, six)
        b = Transpose <perm = [0, 1, 4, 2, 5, 3]> (a)
        y = Reshape (b, four)
    """
    shuffle = body.format(size="8, 8")
    assert codes("(float[1,8,4,4] x) => (float[1,2,8,8] y)", shuffle) == []
    other = body.format(size="4, 16")
    assert codes("(float[1,8,4,4] x) => (float[1,2,4,16] y)", other) == ["AX204"]


def test_slopes_of_one_dimension_are_lost():
    slope = "s = Constant <value_floats = [{}]> ()\n y = PRelu (x, s)"
    assert codes(IMAGE, slope.format("0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8")) == ["AX205"]
    assert codes(IMAGE, slope.format(", ".join(["0.25"] * 8))) == []
    assert codes(IMAGE, slope.format("0.25")) == []
    assert codes(IMAGE, "y = PRelu (x, s)", s=(4, 1, 1)) == []


def test_the_smallest_of_topk():
    signature = "(float[1,8] x) => (float[1,2] y)"
    body = "k = Constant <value_ints = [2]> ()\n y, i = TopK <largest = {}> (x, k)"
    assert codes(signature, body.format(0)) == ["AX206"]
    assert codes(signature, body.format(1)) == []


@pytest.mark.parametrize(
    ("before", "to", "wrong"),
    [
        ("Relu", 6, True),
        ("Relu", 7, True),
        ("Relu", 9, True),
        ("Relu", 3, True),
        ("Floor", 6, False),  # whole already
        ("Floor", 9, True),  # but not 0 or 1
        ("Relu", 11, False),  # to double and back keeps every value
        ("Relu", 1, False),
    ],
)
def test_pairs_of_casts_vanish(before, to, wrong):
    body = f"""
        a = {before} (x)
        b = Cast <to = {to}> (a)
        c = Cast <to = 1> (b)
        y = Relu (c)
    """
    assert codes(IMAGE, body) == ["AX207"] * wrong


def test_casts_with_arithmetic_between_are_kept():
    body = """
        b = Cast <to = 6> (x)
        d = Add (b, b)
        c = Cast <to = 1> (d)
        y = Relu (c)
    """
    assert codes(IMAGE, body) == []


CLAMP = """
    low = Constant <value_float = -1.0> ()
    high = Constant <value_float = 1.0> ()
    a = Relu (x)
    b = Max (a, low)
    c = Min (b, high)
"""


def test_a_clamp_at_the_end_loses_the_output():
    assert codes("(float[1,4,8,8] x) => (float[1,4,8,8] c)", CLAMP) == ["AX208"]
    assert codes(IMAGE, CLAMP + "y = Relu (c)") == []


def test_outputs_that_nothing_computes_are_left_out():
    signature = "(float[1,4,8,8] x) => (float[1,4,8,8] y, float[1,4,8,8] x)"
    assert codes(signature, "y = Relu (x)") == ["AX209"]
    signature = "(float[1,4,8,8] x) => (float[1,4,8,8] y, float[2] c)"
    body = "y = Relu (x)\n c = Constant <value_floats = [1.0, 2.0]> ()"
    assert codes(signature, body) == ["AX209"]
    assert codes(IMAGE, "y = Identity (x)") == []


def test_the_mask_of_a_dropout_is_left_out():
    signature = "(float[1,4,8,8] x) => (float[1,4,8,8] y, bool[1,4,8,8] m)"
    assert codes(signature, "a, m = Dropout (x)\n y = Relu (a)", 10) == ["AX209"]


def resize(scale: str, opset: int, attributes: str) -> list[str]:
    size = int(8 * float(scale))
    body = f"""
        s = Constant <value = float[4] {{1, 1, {scale}, {scale}}}> ()
        r = Relu (x)
        y = Resize <{attributes}> (r, {'"", ' if opset > 10 else ""}s)
    """
    return codes(f"(float[1,4,8,8] x) => (float[1,4,{size},{size}] y)", body, opset)


@pytest.mark.parametrize(
    ("scale", "mode", "wrong"),
    [
        ("2", "linear", True),
        ("2", "nearest", False),
        ("1.5", "nearest", True),
        ("1", "linear", False),
    ],
)
def test_resizes_of_set_10(scale, mode, wrong):
    assert resize(scale, 10, f'mode = "{mode}"') == ["AX210"] * wrong


@pytest.mark.parametrize(
    ("scale", "coordinates", "rounding", "wrong"),
    [
        ("2", "asymmetric", "floor", False),
        ("2", "asymmetric", "round_prefer_floor", False),
        ("2", "asymmetric", "round_prefer_ceil", True),
        ("2", "asymmetric", "ceil", True),
        ("3", "asymmetric", "round_prefer_floor", True),
        ("2", "half_pixel", "round_prefer_floor", False),
        ("2", "half_pixel", "floor", True),
        ("3", "half_pixel", "round_prefer_ceil", False),
        ("1.5", "half_pixel", "round_prefer_floor", True),  # ties
        ("1.5", "half_pixel", "round_prefer_ceil", False),
        ("2", "align_corners", "round_prefer_floor", False),
        ("2", "align_corners", "floor", True),
        ("2", "pytorch_half_pixel", "floor", True),
        ("2", "tf_half_pixel_for_nn", "floor", False),
        ("0.5", "asymmetric", "round_prefer_ceil", False),
    ],
)
def test_the_rounding_of_a_nearest_resize_is_lost(scale, coordinates, rounding, wrong):
    attributes = (
        f'mode = "nearest", coordinate_transformation_mode = "{coordinates}",'
        f' nearest_mode = "{rounding}"'
    )
    assert resize(scale, 13, attributes) == ["AX211"] * wrong


def test_a_resize_of_rank_5_keeps_its_rounding():
    body = """
        s = Constant <value = float[5] {1, 1, 1, 2, 2}> ()
        y = Resize <mode = "nearest", nearest_mode = "ceil"> (x, "", s)
    """
    assert codes("(float[1,4,2,8,8] x) => (float[1,4,2,16,16] y)", body) == []


@pytest.mark.parametrize("axis", [1, 2, 3])
def test_a_softmax_over_an_inner_axis_leaves_its_order(axis):
    body = f"y = Softmax <axis = {axis}> (x)"
    assert codes(IMAGE, body) == ["AX212"] * (axis == 2)
    assert codes(IMAGE, f"s = Softmax <axis = {axis}> (x)\n y = Relu (s)") == []
    assert codes(IMAGE, body, 11) == []


def convolved(width: int, body: str, vector: str) -> list[str]:
    signature = f"(float[1,4,6,{width}] x) => (float[1,4,6,{width}] y)"
    head = (
        f"a = Conv <kernel_shape = [1, 1]> (x, w)\n v = Constant <value_floats = [{vector}]> ()\n"
    )
    return codes(signature, head + body, w=(4, 4, 1, 1))


def test_a_vector_along_the_width_is_taken_for_channels():
    vector = "1.0, 2.0, 3.0, 4.0"
    assert convolved(4, "p = Add (a, v)\n y = Relu (p)", vector) == ["AX213"]
    assert convolved(4, "p = Mul (v, a)\n y = Relu (p)", vector) == ["AX213"]
    assert convolved(4, "r = Relu (a)\n y = Add (r, v)", vector) == []
    assert convolved(4, "y = Add (a, v)", "1.0, 1.0, 1.0, 1.0") == []
    wide = "1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0"
    assert convolved(8, "p = Add (a, v)\n y = Relu (p)", wide) == []


def test_open_dimensions():
    assert codes("(float[N,4] x) => (float[N,4] y)", "y = Relu (x)") == ["AX215"]
    body = "y = Conv <kernel_shape = [1, 1]> (x, w)"
    signature = "(float[N,4,8,8] x) => (float[N,4,8,8] y)"
    assert codes(signature, body, w=(4, 4, 1, 1)) == []  # refused, not silently wrong


def test_quantisation_vanishes():
    head = "s = Constant <value_float = 0.05> ()\n z = Constant <value = uint8 {128}> ()\n"
    body = "q = QuantizeLinear (x, s, z)\n d = DequantizeLinear (q, s, z)\n y = Relu (d)"
    assert codes(IMAGE, head + body) == ["AX216"]
    fed = "(uint8[1,4,8,8] x) => (float[1,4,8,8] y)"
    assert codes(fed, head + "d = DequantizeLinear (x, s, z)\n y = Relu (d)") == ["AX216"]
    weight = """
        w = Constant <value = int8[1,1,1,1] {3}> ()
        i = Constant <value = int8 {0}> ()
        d = DequantizeLinear (w, s, i)
        y = Mul (x, d)
    """
    assert codes(IMAGE, head + weight) == []


def test_what_was_not_tried_with_a_version_is_a_warning():
    body = "k = Constant <value_ints = [2]> ()\n y, i = TopK <largest = 0> (x, k)"
    (fault,) = faults("(float[1,8] x) => (float[1,2] y)", body, sdk="2.35")
    assert fault.severity is Severity.WARNING
    assert "not tried in 2.35" in fault.reason
