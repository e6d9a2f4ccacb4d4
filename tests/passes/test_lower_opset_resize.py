"""Resize below its own operator set: Upsample where that repeats, else it holds the model."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar_export.passes.lower_opset import (
    LowerOpset,
)
from tests.passes.lowered import IN, X, body, held, ints, version
from tests.passes.models import (
    applied,
    attributes,
    initializers,
    operators,
    parsed,
    rewritten,
    rng,
)

NEAREST = (
    '[n] y = Resize<coordinate_transformation_mode = "{0}", mode = "{1}", nearest_mode = "{2}">'
    '(x, "", s)'
)
REPEATING = [
    ("asymmetric", "nearest", "floor"),
    ("half_pixel", "nearest", "round_prefer_floor"),
    ("half_pixel", "nearest", "round_prefer_ceil"),
]
OTHERS = [
    ("asymmetric", "linear", "floor"),
    ("half_pixel", "linear", "round_prefer_floor"),
    ("align_corners", "nearest", "floor"),
    ("asymmetric", "nearest", "ceil"),
    ("asymmetric", "nearest", "round_prefer_floor"),
    ("half_pixel", "nearest", "floor"),
]


def resize(mode: tuple[str, str, str], scales: object = (1, 1, 2, 3), opset: int = 13):
    return parsed(body(NEAREST.format(*mode)), opset, s=np.float32(scales))


@pytest.mark.parametrize("mode", REPEATING)
@pytest.mark.parametrize("scales", [(1, 1, 2, 2), (1, 1, 3, 1), (1, 1, 2, 5)])
@pytest.mark.parametrize(("target", "operator"), [(9, "Upsample"), (10, "Resize")])
def test_nearest_by_whole_factors(mode, scales, target: int, operator: str) -> None:
    after, changes = rewritten(LowerOpset(target), resize(mode, scales), x=X)
    assert version(after) == target
    assert operators(after) == [operator]
    (node,) = after.graph.node
    assert attributes(node) == {"mode": b"nearest"}
    np.testing.assert_array_equal(initializers(after)[node.input[1]], np.float32(scales))
    assert changes == [f"operator set 13 became {target}", "n: Resize respelled"]


def test_the_defaults_of_resize_are_half_pixel() -> None:
    model = parsed(body('y = Resize(x, "", s)'), s=[1, 1, 2, 2])
    after, _ = rewritten(LowerOpset(9), model, x=X)
    assert operators(after) == ["Upsample"]


@pytest.mark.parametrize("mode", OTHERS)
def test_other_modes_hold_the_model_at_11(mode: tuple[str, str, str]) -> None:
    line = held(resize(mode), 9, 11)
    where, kind, rounding = mode
    assert f"{kind} / {where} / {rounding} has no older spelling" in line


@pytest.mark.parametrize("scales", [(1, 1, 1.5, 2), (1, 1, 0.5, 0.5)])
def test_broken_scales_hold_the_model_at_11(scales: tuple[float, ...]) -> None:
    line = held(resize(REPEATING[0], scales), 9, 11)
    assert "only constant whole scales have an older spelling" in line


def test_sizes_hold_the_model_at_11() -> None:
    text = body('y = Resize(x, "", "", s)')
    line = held(parsed(text, s=ints(2, 4, 12, 16)), 9, 11)
    assert "only constant whole scales" in line


def test_computed_scales_hold_the_model_at_11() -> None:
    model = parsed(body('y = Resize(x, "", s)', f"{IN}, float[4] s"))
    assert "constant" in held(model, 9, 11, x=X, s=np.float32([1, 1, 2, 2]))


def test_scales_of_some_axes_hold_the_model_at_18() -> None:
    model = parsed(body('y = Resize<axes = [2,3]>(x, "", s)'), 18, s=[2, 2])
    after, changes = applied(LowerOpset(9), model)
    assert version(after) == 18
    assert "set 17 has no attribute axes" in changes[0]


@pytest.mark.parametrize("target", [11, 12])
def test_roi_is_named_where_the_set_demands_it(target: int) -> None:
    after, changes = rewritten(LowerOpset(target), resize(OTHERS[1]), x=X)
    assert version(after) == target
    assert initializers(after)[after.graph.node[0].input[1]].size == 0
    assert len(changes) == 2


def test_roi_of_two_nodes_and_one_that_is_there() -> None:
    nodes = NEAREST.format(*OTHERS[1]).replace("[n] y", "[n] t") + " y = Resize(t, r, s)"
    model = parsed(body(nodes), s=[1, 1, 2, 2], r=np.zeros(0, np.float32))
    after, changes = rewritten(LowerOpset(11), model, x=X)
    assert after.graph.node[1].input[1] == "r"
    assert len(changes) == 2


@given(
    scales=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    size=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    mode=st.sampled_from(REPEATING),
    target=st.sampled_from([9, 10]),
)
@settings(max_examples=25, deadline=None)
def test_upsampling_repeats_at_every_size(scales, size, mode, target: int) -> None:
    height, width = size
    text = body(NEAREST.format(*mode), f"float[1,2,{height},{width}] x")
    model = parsed(text, s=np.float32([1, 1, *scales]))
    x = rng(1, 2, height, width)
    after, _ = rewritten(LowerOpset(target), model, x=x)
    assert version(after) == target
