"""What counts as repetition, held against what ONNX Runtime makes of it."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar_export.passes.base import fixed_shape
from avatar_export.passes.repetition import repeat, repetition
from avatar_export.passes.site import Sketch
from avatar_export.precision.runner import run_onnx
from avatar_export.resize import COORDINATES, ROUNDINGS
from tests.passes.models import loaded, parsed, rng

X = rng(2, 3, 4, 5)
FLOOR = 'mode = "nearest", coordinate_transformation_mode = "asymmetric", nearest_mode = "floor"'


def model_of(
    node: str, opset: int = 13, x: str = "2,3,4,5", y: str = "N,C,H,W", **more: np.ndarray
) -> onnx.ModelProto:
    numbers = {
        "twice": np.float32([1, 1, 2, 2]),
        "wide": np.float32([1, 1, 1, 3]),
        "sizes": np.int64([2, 3, 8, 15]),
        "roi": np.zeros(8, np.float32),
        **more,
    }
    body = f"g (float[{x}] x) => (float[{y}] y) {{ {node} }}"
    return parsed(body, opset, **numbers)


def found(proto: onnx.ModelProto) -> tuple[int, int] | None:
    return repetition(loaded(proto).graph[-1])


def repeated(proto: onnx.ModelProto, factors: tuple[int, int]) -> bool:
    """Whether ONNX Runtime repeats the pixels of X that often."""
    y = run_onnx(proto, {"x": X})["y"]
    return np.array_equal(y, X.repeat(factors[0], 2).repeat(factors[1], 3))


SPELLINGS = {
    "attribute of Upsample": (7, "y = Upsample<scales = [1.,1.,2.,3.]>(x)", (2, 3)),
    "Upsample by default": (9, "y = Upsample(x, twice)", (2, 2)),
    "no attributes yet": (10, "y = Resize(x, wide)", (1, 3)),
    "with a roi": (11, f"y = Resize<{FLOOR}>(x, roi, twice)", (2, 2)),
    "by default": (13, 'y = Resize(x, "", twice)', (2, 2)),
    "by sizes": (13, 'y = Resize(x, "", "", sizes)', (2, 3)),
    "on two axes": (18, f'y = Resize<axes = [3,2], {FLOOR}>(x, "", pair)', (2, 3)),
    "sizes on two axes": (18, 'y = Resize<axes = [-2,-1]>(x, "", "", half)', (2, 3)),
    "as large as fits": (
        18, 'y = Resize<axes = [2,3], keep_aspect_ratio_policy = "not_larger">(x, "", "", half)',
        (2, 2)),
    "almost twice": (11, "y = Resize(x, roi, almost)", (2, 2)),
    "nothing at all": (13, 'y = Resize(x, "", once)', (1, 1)),
}  # fmt: skip
MORE = {
    "pair": np.float32([3, 2]),
    "half": np.int64([8, 15]),
    "once": np.ones(4, np.float32),
    "almost": np.float32([1, 1, 2.1, 2.1]),
    "more": np.float32([1, 1, 2, 2.2]),
    "less": np.float32([1, 1, 1, 0.6]),
    "channels": np.float32([1, 2, 2, 2]),
    "batch": np.float32([2, 1, 2, 2]),
    "fraction": np.float32([1, 1.2, 2, 2]),  # 3 channels stay 3, but 6 would become 7
    "nothing": np.float32([1, 1, 0.2, 2]),  # no rows are left
}


@pytest.mark.parametrize("case", SPELLINGS)
def test_spellings(case: str) -> None:
    opset, node, factors = SPELLINGS[case]
    proto = model_of(node, opset, **MORE)
    assert found(proto) == factors
    assert repeated(proto, factors)


@pytest.mark.parametrize(
    ("opset", "node"),
    [
        (9, 'y = Upsample<mode = "linear">(x, twice)'),
        (10, "y = Resize(x, almost)"),
        (13, 'y = Resize<mode = "linear">(x, "", twice)'),
        (13, 'y = Resize<mode = "cubic">(x, "", twice)'),
        (13, f'y = Resize<{FLOOR.replace("floor", "ceil")}>(x, "", twice)'),
        (13, f'y = Resize<{FLOOR.replace("asymmetric", "align_corners")}>(x, "", twice)'),
        (13, 'y = Resize<coordinate_transformation_mode = "tf_crop_and_resize">(x, roi, twice)'),
        (13, 'y = Resize(x, "", more)'),
        (13, 'y = Resize(x, "", less)'),
        (13, 'y = Resize(x, "", channels)'),
        (13, 'y = Resize(x, "", batch)'),
        (13, 'y = Resize(x, "", fraction)'),
        (13, 'y = Resize(x, "", nothing)'),
        (13, 'k = Abs(twice) y = Resize(x, "", k)'),
        (13, "y = Relu(x)"),
    ],
)
def test_something_else(opset: int, node: str) -> None:
    assert found(model_of(node, opset, **MORE)) is None


@pytest.mark.parametrize("x", ["2,C,4,5", "2,3,H,W"])
def test_shapes_that_are_not_known(x: str) -> None:
    assert found(model_of('y = Resize(x, "", twice)', x=x)) is None


def test_an_operator_of_another_domain() -> None:
    node = 'y = custom.Resize(x, "", twice)'
    assert found(model_of(node, y="2,3,8,10")) is None
    assert found(model_of(node.replace("custom.", ""), y="2,3,8,10")) == (2, 2)


def test_no_pixels_and_no_scales() -> None:
    assert found(model_of("y = Upsample<scales = [1.,1.,2.,2.]>(x)", 7, "2,3,0,5")) is None
    assert found(model_of("y = Upsample(x)", 7, y="2,3,8,10")) is None


def test_a_line_is_no_image() -> None:
    body = 'g (float[2,3,4] x) => (float[2,3,8] y) { y = Resize(x, "", s) }'
    assert found(parsed(body, s=[1, 1, 2])) is None


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("coordinates", COORDINATES)
@pytest.mark.parametrize("factors", [(2, 2), (3, 4), (1, 5), (7, 1)])
def test_rules_as_onnx_runtime_has_them(
    factors: tuple[int, int], coordinates: str, rounding: str
) -> None:
    """Repetition is never found where there is none; and where there is some, it mostly is."""
    rule = f'coordinate_transformation_mode = "{coordinates}", nearest_mode = "{rounding}"'
    proto = model_of(f'y = Resize<{rule}>(x, "", s)', s=np.float32([1, 1, *factors]))
    if found(proto) is not None:
        assert found(proto) == factors
        assert repeated(proto, factors)
    if (coordinates, rounding) in SAFE:
        assert found(proto) == factors


SAFE = [
    ("asymmetric", "floor"),
    ("tf_half_pixel_for_nn", "floor"),
    *(
        (coordinates, f"round_prefer_{way}")
        for coordinates in ("half_pixel", "pytorch_half_pixel")
        for way in ("floor", "ceil")
    ),
]


def wider(proto: onnx.ModelProto, channels: int) -> tuple[ir.Model, ir.Node]:
    """The model with a new input of so many channels, repeated as x is."""
    model = loaded(proto)
    like = model.graph[-1]
    kind = ir.TensorType(ir.DataType.FLOAT)
    value = ir.val("z", shape=ir.Shape([2, channels, 4, 5]), type=kind)
    sketch = Sketch(like)
    result = repeat(sketch, value, like, channels)
    result.name = "wider"
    for weight in sketch.nodes[0].inputs:
        if weight is not None and weight.const_value is not None and weight.graph is None:
            model.graph.register_initializer(weight)
    model.graph.extend(sketch.nodes)
    model.graph.inputs.append(value)
    model.graph.outputs.append(result)
    return model, sketch.nodes[0]


@pytest.mark.parametrize("case", SPELLINGS)
def test_the_same_for_more_channels(case: str) -> None:
    opset, node, (rows, columns) = SPELLINGS[case]
    model, made = wider(model_of(node, opset, **MORE), 6)
    assert fixed_shape(made.outputs[0]) == (2, 6, 4 * rows, 5 * columns)
    assert repetition(made) == (rows, columns)
    z = rng(2, 6, 4, 5)
    y = run_onnx(ir.to_proto(model), {"x": X, "z": z})["wider"]
    np.testing.assert_array_equal(y, z.repeat(rows, 2).repeat(columns, 3))


@pytest.mark.parametrize(
    ("axes", "sizes"), [([1, 2, 3], [3, 8, 15]), ([3, 2, 1, 0], [15, 8, 3, 2]), ([-1, -2], [15, 8])]
)
def test_sizes_in_the_order_of_their_axes(axes: list[int], sizes: list[int]) -> None:
    """Written anew for another number of channels, each in its place."""
    node = f'y = Resize<axes = {axes}>(x, "", "", s)'
    model, made = wider(model_of(node, 18, s=np.int64(sizes)), 6)
    wanted = [(2, 6, 8, 15)[axis] for axis in axes]
    assert made.inputs[3].const_value.numpy().tolist() == wanted
    z = rng(2, 6, 4, 5)
    y = run_onnx(ir.to_proto(model), {"x": X, "z": z})["wider"]
    np.testing.assert_array_equal(y, z.repeat(2, 2).repeat(3, 3))


def test_scales_are_kept() -> None:
    model, made = wider(model_of('y = Resize(x, "", wide)'), 6)
    assert made.inputs[2] is model.graph.initializers["wide"]


@settings(deadline=None, max_examples=25)
@given(
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    factors=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    by_sizes=st.booleans(),
)
def test_any_size(size: tuple[int, int], factors: tuple[int, int], by_sizes: bool) -> None:
    (height, width), (rows, columns) = size, factors
    shape = f"1,2,{height},{width}"
    if by_sizes:
        sizes = np.int64([1, 2, height * rows, width * columns])
        proto = model_of('y = Resize(x, "", "", sizes)', x=shape, sizes=sizes)
    else:
        scales = np.float32([1, 1, *factors])
        proto = model_of('y = Resize(x, "", scales)', x=shape, scales=scales)
    assert found(proto) == factors
    x = rng(1, 2, height, width)
    y = run_onnx(proto, {"x": x})["y"]
    np.testing.assert_array_equal(y, x.repeat(rows, 2).repeat(columns, 3))
