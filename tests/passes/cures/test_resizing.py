from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar_export.passes.cures.resizing import picks, resized_axes, same_picks, survives
from avatar_export.precision.runner import run_onnx
from avatar_export.resize import Axis
from tests.passes.models import loaded, parsed

COORDINATES = ["asymmetric", "half_pixel", "pytorch_half_pixel", "align_corners"]
ROUNDINGS = ["floor", "ceil", "round_prefer_floor", "round_prefer_ceil"]


def model_of(width: int, attributes: str, opset: int = 13, **inputs: np.ndarray) -> onnx.ModelProto:
    given = ", ".join(["x", *(name if name in inputs else '""' for name in ("r", "s", "z"))])
    body = (
        f"g (float[1,1,1,{width}] x) => (float[1,1,h,w] y) {{ y = Resize<{attributes}>({given}) }}"
    )
    return parsed(body.replace(', "")', ")"), opset, **inputs)


@settings(max_examples=80, deadline=None)
@given(
    before=st.integers(1, 9),
    after=st.integers(1, 20),
    coordinates=st.sampled_from(COORDINATES),
    rounding=st.sampled_from(ROUNDINGS),
)
def test_picks_are_those_of_the_runtime(
    before: int, after: int, coordinates: str, rounding: str
) -> None:
    found = picks(Axis(before, after, after / before), coordinates, rounding)
    if found is None:  # one precision and the other disagree
        return
    attributes = (
        f'mode = "nearest", nearest_mode = "{rounding}", '
        f'coordinate_transformation_mode = "{coordinates}"'
    )
    proto = model_of(before, attributes, z=np.array([1, 1, 1, after]))
    line = np.arange(before, dtype=np.float32).reshape(1, 1, 1, -1)
    assert run_onnx(proto, {"x": line})["y"].ravel().tolist() == found


def test_an_unknown_rule_picks_nothing() -> None:
    assert picks(Axis(4, 8, 2), "tf_crop_and_resize", "floor") is None
    assert picks(Axis(4, 8, 2), "asymmetric", "sideways") is None


def test_where_precisions_disagree_nothing_is_sure() -> None:
    third = float(np.float32(1 / 3))
    assert picks(Axis(9, 3, third), "asymmetric", "floor") is None
    assert not same_picks([Axis(9, 3, third)], ("asymmetric", "floor"), ("half_pixel", "ceil"))
    assert same_picks([Axis(9, 3, third)], ("asymmetric", "floor"), ("asymmetric", "floor"))


def test_the_layer_rounds_by_its_coordinates() -> None:
    twice = [Axis(8, 16, 2)]
    assert survives(twice, ("asymmetric", "floor"), "asymmetric")
    assert survives(twice, ("asymmetric", "floor"), "half_pixel")
    assert survives(twice, ("half_pixel", "round_prefer_ceil"), "half_pixel")
    assert not survives(twice, ("half_pixel", "ceil"), "half_pixel")
    # Half way between two pixels nobody knows where the layer rounds to.
    assert not survives([Axis(6, 9, 1.5)], ("half_pixel", "round_prefer_floor"), "half_pixel")


@pytest.mark.parametrize(
    ("opset", "inputs", "scale"),
    [
        (13, {"s": np.float32([1, 1, 1, 1.5])}, 1.5),
        (13, {"z": np.array([1, 1, 1, 7])}, 7 / 5),
        (11, {"r": np.float32([]), "s": np.float32([1, 1, 1, 2])}, 2),
    ],
)
def test_axes_of_a_resize(opset: int, inputs: dict[str, np.ndarray], scale: float) -> None:
    node = loaded(model_of(5, 'mode = "nearest"', opset, **inputs)).graph[0]
    axes = resized_axes(node)
    assert axes is not None
    assert axes[:3] == [Axis(1, 1, 1)] * 3
    assert axes[3] == Axis(5, int(5 * scale), scale)


def test_scales_of_some_axes() -> None:
    proto = model_of(5, 'mode = "nearest", axes = [3]', 18, s=np.float32([2]))
    assert resized_axes(loaded(proto).graph[0]) == [*[Axis(1, 1, 1)] * 3, Axis(5, 10, 2)]


def test_set_10_has_its_scales_second() -> None:
    body = "g (float[1,1,1,5] x) => (float[1,1,1,10] y) { y = Resize(x, s) }"
    axes = resized_axes(loaded(parsed(body, 10, s=np.float32([1, 1, 1, 2]))).graph[0])
    assert axes is not None and axes[3] == Axis(5, 10, 2)


@pytest.mark.parametrize("where", ["shape", "scales"])
def test_open_sizes_have_no_axes(where: str) -> None:
    width, feed = ("W", "") if where == "shape" else ("5", ", float[4] t")
    body = f"g (float[1,1,1,{width}] x{feed}) => (float[1,1,1,w] y) {{ y = Resize(x, , S) }}"
    body = body.replace(", , S", ', "", ' + ("s" if where == "shape" else "t"))
    assert resized_axes(loaded(parsed(body, 13, s=np.float32([1, 1, 1, 2]))).graph[0]) is None
