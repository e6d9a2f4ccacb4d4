from __future__ import annotations

import numpy as np
import onnx
import pytest

from avatar_export.passes.cures.resize_rounding import ResizeRounding
from tests.passes.models import applied, attributes, parsed, rewritten, rng, stamps

X = rng(1, 2, 4, 6)
SPELLED = {
    "mode": b"nearest",
    "coordinate_transformation_mode": b"asymmetric",
    "nearest_mode": b"floor",
}


def model_of(coordinates: str, rounding: str, scale: float, opset: int = 13) -> onnx.ModelProto:
    body = f"""g (float[1,2,4,6] x) => (float[1,2,h,w] y) {{
        [up] y = Resize<mode = "nearest", coordinate_transformation_mode = "{coordinates}",
                        nearest_mode = "{rounding}">(x, r, s)
    }}"""
    return parsed(body, opset, r=np.float32([]), s=np.float32([1, 1, scale, scale]))


@pytest.mark.parametrize("opset", [11, 13, 18, 21])
@pytest.mark.parametrize(
    ("coordinates", "rounding", "scale"),
    [
        ("half_pixel", "round_prefer_floor", 1.5),
        ("asymmetric", "ceil", 0.5),
        ("pytorch_half_pixel", "round_prefer_floor", 1.5),
    ],
)
def test_the_same_pixels_are_spelled_so_that_they_survive(
    coordinates: str, rounding: str, scale: float, opset: int
) -> None:
    cure = ResizeRounding()
    after, changes = rewritten(cure, model_of(coordinates, rounding, scale, opset), x=X)
    if coordinates == "asymmetric":  # whole positions: every rounding is right already
        assert changes == []
        return
    assert attributes(after.graph.node[0]) == SPELLED
    assert changes == [
        f"up: {coordinates} with {rounding} became asymmetric with floor, "
        "which picks the same pixels"
    ]
    assert stamps(after) == {"up": "resize-rounding"}


@pytest.mark.parametrize(
    ("coordinates", "rounding", "scale"),
    [
        ("asymmetric", "round_prefer_ceil", 2),
        ("asymmetric", "round_prefer_floor", 3),
        ("half_pixel", "ceil", 2),
        ("pytorch_half_pixel", "floor", 2),
    ],
)
def test_other_pixels_stay_with_a_note(coordinates: str, rounding: str, scale: float) -> None:
    cure = ResizeRounding()
    assert applied(cure, model_of(coordinates, rounding, scale))[1] == []
    assert cure.notes == [
        f"up stays: no rule that is stored picks the pixels of {coordinates} with {rounding}"
    ]


@pytest.mark.parametrize(
    ("coordinates", "rounding", "scale"),
    [
        ("asymmetric", "floor", 1.5),
        ("asymmetric", "round_prefer_floor", 2),
        ("half_pixel", "round_prefer_floor", 2),
        ("half_pixel", "round_prefer_ceil", 2),
        ("align_corners", "round_prefer_floor", 2),
    ],
)
def test_what_the_layer_does_by_itself_stays(coordinates: str, rounding: str, scale: float) -> None:
    cure = ResizeRounding()
    assert applied(cure, model_of(coordinates, rounding, scale))[1] == []
    assert list(cure.notes) == []


@pytest.mark.parametrize(
    ("shape", "attributes_text"),
    [("[1,2,4,6,1]", 'mode = "nearest"'), ("[1,2,4,6]", 'mode = "linear"')],
    ids=["rank 5", "linear"],
)
def test_resizes_that_keep_their_rule_stay(shape: str, attributes_text: str) -> None:
    rank = shape.count(",") + 1
    result = f"float[{','.join('abcde'[:rank])}]"
    text = f'y = Resize<{attributes_text}, nearest_mode = "ceil">(x, "", s)'
    scales = np.float32([1, 1, 1.5, 1.5, 1][:rank])
    proto = parsed(f"g (float{shape} x) => ({result} y) {{ {text} }}", 13, s=scales)
    cure = ResizeRounding()
    assert applied(cure, proto)[1] == [] and list(cure.notes) == []


def test_set_10_has_no_rounding() -> None:
    body = 'g (float[1,2,4,6] x) => (float[1,2,h,w] y) { y = Resize<mode = "nearest">(x, s) }'
    cure = ResizeRounding()
    proto = parsed(body, 10, ir_version=5, s=np.float32([1, 1, 1.5, 1.5]))
    assert applied(cure, proto)[1] == [] and list(cure.notes) == []


def test_open_sizes_stay_with_a_note() -> None:
    body = 'g (float[1,2,H,6] x) => (float[1,2,h,w] y) { y = Resize<mode="nearest">(x, "", s) }'
    cure = ResizeRounding()
    assert applied(cure, parsed(body, 13, s=np.float32([1, 1, 2, 2])))[1] == []
    assert cure.notes == ["y stays: its sizes are not fixed"]
