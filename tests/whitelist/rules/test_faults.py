"""Silent faults of the converter: a model that has each, and its nearest neighbour that has not."""

from __future__ import annotations

import pytest

from avatar_export.whitelist.check import check
from avatar_export.whitelist.finding import Severity
from avatar_export.whitelist.targets import resolve_target
from tests.whitelist.models import model

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


def test_a_crop_of_the_channels_is_lost():
    cropped = "(float[1,4,8,8] x) => (float[1,3,8,8] y)"
    assert codes(cropped, pad("0, -1, 0, 0, 0, 0, 0, 0", "0")) == ["AX214"]


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


@pytest.mark.parametrize(("axis", "wrong"), [(1, True), (2, True), (3, False), (-1, False)])
def test_a_norm_is_written_for_the_last_axis(axis, wrong):
    assert codes(IMAGE, "t = Relu (x)" + NORMALISE.format(axis=axis)) == ["AX203"] * wrong


@pytest.mark.parametrize(
    "bound",
    [
        "low = Constant <value_float = 0.1> ()\n m = Add (n, low)",
        "low = Constant <value_float = 0.1> ()\n c = Clip (n, low)\n s = Shape (x)\n"
        " m = Expand (c, s)",
    ],
)
def test_a_norm_with_a_small_number_is_merged_too(bound):
    head = "n = ReduceL2 <axes = [1], keepdims = 1> (x)\n"
    assert codes(IMAGE, head + bound + "\n y = Div (x, m)") == ["AX203"]


def test_a_normalised_vector_or_reshaped_tensor_is_right():
    vector = "(float[2,8] x) => (float[2,8] y)"
    assert codes(vector, "t = Relu (x)" + NORMALISE.format(axis=1)) == []
    assert codes(vector, "t = Relu (x)" + NORMALISE.format(axis=0)) == ["AX203"]
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
    oblong = body.replace("2, 2, 2, 4, 4", "2, 2, 3, 4, 4").format(size="8, 12")
    assert codes("(float[1,12,4,4] x) => (float[1,2,8,12] y)", oblong) == []


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
        ("Floor", 10, False),  # half numbers become floats anyway
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


def test_a_cast_on_to_a_third_type_skips_the_second():
    signature = "(float[1,8] x) => (bool[1,8] y)"
    assert codes(signature, "r = Relu (x)\n b = Cast <to = 6> (r)\n y = Cast <to = 9> (b)") == [
        "AX207"
    ]
    signature = "(float[1,8] x) => (int32[1,8] y)"
    assert codes(signature, "r = Relu (x)\n b = Cast <to = 7> (r)\n y = Cast <to = 6> (b)") == []


def test_casts_that_do_not_follow_each_other_are_kept():
    body = "b = Cast <to = 6> (x)\n r = Relu (x)\n c = Cast <to = 1> (b)\n y = Add (r, c)"
    assert codes(IMAGE, body) == []
    body = "b = Cast <to = 6> (x)\n c = Cast <to = 1> (b)\n d = Neg (b)\n y = Relu (c)"
    signature = "(float[1,4,8,8] x) => (float[1,4,8,8] y, int32[1,4,8,8] d)"
    assert codes(signature, body) == []


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


def test_a_clamp_the_other_way_round_loses_the_output_too():
    turned = CLAMP.replace("Max (a, low)", "Min (a, high)").replace("Min (b, high)", "Max (b, low)")
    assert codes("(float[1,4,8,8] x) => (float[1,4,8,8] c)", turned) == ["AX208"]
    apart = turned.replace("c = Max", "d = Relu (x)\n c = Max")
    signature = "(float[1,4,8,8] x) => (float[1,4,8,8] c, float[1,4,8,8] d)"
    assert codes(signature, apart) == []


def recurrent(outputs: str, states: str = "") -> list[str]:
    weights = {"w": (1, 12, 4), "r": (1, 12, 3), "h": (1, 1, 3), "c": (1, 1, 3)}
    body = f"{outputs} = LSTM <hidden_size = 3> (x, w, r{states})"
    shapes = {"y": "3,1,1,3", "p": "1,1,3", "q": "1,1,3"}
    named = ", ".join(f"float[{shapes[n]}] {n}" for n in outputs.split(", "))
    return codes(f"(float[3,1,4] x) => ({named})", body, **weights)


def test_the_last_states_of_an_lstm():
    assert recurrent("y") == []
    assert recurrent("y, p", ', "", "", h, c') == ["AX209"]
    assert recurrent("y, p, q", ', "", "", h, c') == []  # with all three the names are kept


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


VECTOR = "v = Constant <value_floats = [{}]> ()\n"
FOUR = VECTOR.format("1.0, 2.0, 3.0, 4.0")


def convolved(width: int, body: str, vector: str) -> list[str]:
    signature = f"(float[1,4,6,{width}] x) => (float[1,4,6,{width}] y)"
    head = "a = Conv <kernel_shape = [1, 1]> (x, w)\n" + VECTOR.format(vector)
    return codes(signature, head + body, w=(4, 4, 1, 1))


def test_a_vector_along_the_width_is_taken_for_channels():
    vector = "1.0, 2.0, 3.0, 4.0"
    for operator in ("Add", "Mul", "Sub", "Div"):
        assert convolved(4, f"p = {operator} (a, v)\n y = Relu (p)", vector) == ["AX213"]
    assert convolved(4, "p = Mul (v, a)\n y = Relu (p)", vector) == ["AX213"]
    assert convolved(4, "r = Relu (a)\n y = Add (r, v)", vector) == []
    assert convolved(4, "y = Add (a, v)", "1.0, 1.0, 1.0, 1.0") == []
    wide = "1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0"
    assert convolved(8, "p = Add (a, v)\n y = Relu (p)", wide) == []


def test_a_vector_reaches_the_convolution_through_what_is_folded_before_it():
    two, vector = "t = Constant <value_float = 2.0> ()\n", "1.0, 2.0, 3.0, 4.0"
    assert convolved(4, two + "b = Mul (a, t)\n y = Add (b, v)", vector) == ["AX213"]
    assert convolved(4, two + "b = Add (a, t)\n y = Mul (b, v)", vector) == []


def test_a_vector_after_a_norm_is_taken_for_channels():
    norm = "n = InstanceNormalization (x, g, h)\n y = Add (n, v)"
    weights = {"g": (4,), "h": (4,)}
    square = "(float[1,4,6,4] x) => (float[1,4,6,4] y)"
    assert codes(square, FOUR + norm, **weights) == ["AX213"]
    row = "(float[1,4,4] x) => (float[1,4,4] y)"
    assert codes(row, FOUR + norm, **weights) == ["AX213"]
    convolution = "n = Conv <kernel_shape = [1]> (x, w)\n y = Add (n, v)"
    assert codes(row, FOUR + convolution, w=(4, 4, 1)) == []  # only convolutions of images fold


def test_a_log_softmax_below_set_13_works_on_one_axis():
    (fault,) = faults(IMAGE, "y = LogSoftmax <axis = 1> (x)", 11)
    assert (fault.code, fault.severity) == ("AX203", Severity.WARNING)
    assert codes(IMAGE, "y = LogSoftmax <axis = 3> (x)", 11) == []
    assert codes("(float[1,4,1,1] x) => (float[1,4,1,1] y)", "y = LogSoftmax (x)", 11) == []
    assert codes(IMAGE, "y = LogSoftmax <axis = 2> (x)", 13) == []


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


def test_a_constant_that_a_layer_is_taken_from_changes_places():
    two = "t = Constant <value_float = 2.0> ()\n a = Conv <kernel_shape = [1, 1]> (x, w)\n"
    for operator in ("Sub", "Div"):
        assert codes(IMAGE, two + f"y = {operator} (t, a)", w=(4, 4, 1, 1)) == ["AX217"]
        assert codes(IMAGE, two + f"y = {operator} (a, t)", w=(4, 4, 1, 1)) == []
        between = f"r = Relu (a)\n y = {operator} (t, r)"
        assert codes(IMAGE, two + between, w=(4, 4, 1, 1)) == []
    dense = "t = Constant <value_float = 1.0> ()\n a = Gemm (x, w)\n y = Sub (t, a)"
    assert codes("(float[1,4] x) => (float[1,3] y)", dense, w=(4, 3)) == ["AX217"]


RMS = """
    eps = Constant <value_float = 0.00001> ()
    q = Mul (x, x)
    m = ReduceMean <axes = [1], keepdims = 1> (q)
    e = Add (m, eps)
    r = Sqrt (e)
"""


def test_a_factor_after_an_rms_norm_is_lost():
    assert codes(IMAGE, RMS + "n = Div (x, r)\n y = Mul (n, g)", g=(1, 4, 1, 1)) == ["AX218"]
    assert codes(IMAGE, RMS + "c = Reciprocal (r)\n y = Mul (x, c)") == []
    one = "o = Constant <value_float = 1.0> ()\n"
    assert codes(IMAGE, one + RMS + "n = Div (x, r)\n y = Mul (n, o)") == []
    assert codes(IMAGE, RMS + "n = Div (x, r)\n a = Relu (n)\n y = Mul (a, g)", g=(4, 1, 1)) == []


def test_inputs_of_recurrent_layers_that_are_dropped():
    weights = {"w": (1, 12, 4), "r": (1, 12, 3), "b": (1, 24), "p": (1, 9)}
    io = "(float[3,1,4] x) => (float[3,1,1,3] y)"
    lengths = "l = Constant <value = int32[1] {2}> ()\n"
    lstm = "y = LSTM <hidden_size = 3> (x, w, r, b"
    assert codes(io, lstm + ")", **weights) == []
    assert codes(io, lengths + lstm + ", l)", **weights) == ["AX219"]
    assert codes(io, lstm + ', "", "", "", p)', **weights) == ["AX219"]


@pytest.mark.parametrize(("scale", "size", "wrong"), [("1.5", 7, True), ("1.6", 8, False)])
def test_sizes_of_a_resize_are_rounded(scale, size, wrong):
    body = f"""
        s = Constant <value = float[4] {{1, 1, 1, {scale}}}> ()
        y = Resize <mode = "linear"> (x, "", s)
    """
    signature = f"(float[1,4,5,5] x) => (float[1,4,5,{size}] y)"
    assert codes(signature, body) == ["AX220"] * wrong


@pytest.mark.parametrize("index", [-1, 1])
def test_negative_indices_lose_their_sign(index):
    body = f"i = Constant <value = int64[1,1] {{{index}}}> ()\n y = GatherND (x, i)"
    assert codes("(float[8,8] x) => (float[1,8] y)", body) == ["AX221"] * (index < 0)
