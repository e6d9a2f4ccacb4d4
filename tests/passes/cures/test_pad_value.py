from __future__ import annotations

import numpy as np
import pytest

from avatar_export.passes.cures.pad_value import PadValue
from avatar_export.precision.runner import run_onnx
from tests.passes.models import applied, attributes, initializers, operators, parsed, rewritten, rng

SHAPE = [1, 3, 5, 4]
X = rng(*SHAPE)
AROUND = [0, 0, 1, 2, 0, 0, 3, 0]


def model_of(value: float, pads: list[int] = AROUND, tail: str = "y = Relu(p)", opset: int = 13):
    body = f"g (float{SHAPE} x) => (float[N,C,H,W] y) {{ [pad] p = Pad(x, a, v) {tail} }}"
    return parsed(body, opset, a=np.array(pads), v=np.float32(value))


@pytest.mark.parametrize("opset", [11, 13, 18, 21])
@pytest.mark.parametrize("value", [0.5, -1.5, 2.0**31, float(np.finfo(np.float32).min)])
def test_a_value_is_added_where_the_padding_is(value: float, opset: int) -> None:
    proto = model_of(value, opset=opset)
    after, changes = rewritten(PadValue(), proto, x=X)
    assert operators(after) == ["Pad", "Add", "Relu"]
    assert len(after.graph.node[0].input) == 2
    assert changes == [f"pad: zeros, and {np.float32(value):g} added as a border"]


def test_the_result_is_exact() -> None:
    proto = model_of(0.1, tail="y = Identity(p)")
    after, _ = applied(PadValue(), proto)
    np.testing.assert_array_equal(run_onnx(after, {"x": X})["y"], run_onnx(proto, {"x": X})["y"])


def test_the_border_has_size_1_along_axes_that_are_not_padded() -> None:
    after, _ = rewritten(PadValue(), model_of(0.5, [0, 0, 0, 2, 0, 0, 0, 1]), x=X)
    border = initializers(after)[after.graph.node[1].input[1]]
    assert border.tolist() == [[[[0.5, 0.5, 0, 0, 0, 0, 0.5]]]]


@pytest.mark.parametrize("pads", [[0, 1, 0, 0, 0, 2, 0, 0], [1, 1, 1, 1, 1, 1, 1, 1]])
def test_all_axes_can_be_padded(pads: list[int]) -> None:
    rewritten(PadValue(), model_of(0.5, pads), x=X)


@pytest.mark.parametrize("pads", [[0, 0, 2, -1, 0, 0, -2, 1], [0, 0, 3, 0, 0, 0, -4, 0]])
def test_axes_that_are_cut_as_well(pads: list[int]) -> None:
    rewritten(PadValue(), model_of(0.5, pads), x=X)


def test_the_axes_of_set_18() -> None:
    body = f"g (float{SHAPE} x) => (float[N,C,H,W] y) {{ y = Pad(x, a, v, axes) }}"
    weights = {"a": np.array([1, 0, 0, 2]), "v": np.float32(0.5), "axes": np.array([-1, 2])}
    after, _ = rewritten(PadValue(), parsed(body, 18, **weights), x=X)
    assert operators(after) == ["Pad", "Add"]


@pytest.mark.parametrize("own", ["", ", pads = [1,0,0,1]"])
def test_minus_infinity_moves_into_the_pools(own: str) -> None:
    pool = f"MaxPool<kernel_shape = [3,3], strides = [2,2]{own}>(p)"
    proto = model_of(-np.inf, [0, 0, 1, 1, 0, 0, 1, 1], f"m = {pool} n = {pool} y = Add(m, n)")
    after, changes = rewritten(PadValue(), proto, x=X)
    assert operators(after) == ["MaxPool", "MaxPool", "Add"]
    expected = [2, 1, 1, 2] if own else [1, 1, 1, 1]
    assert [attributes(node)["pads"] for node in after.graph.node[:2]] == [expected, expected]
    assert changes == ["pad: moved into the MaxPool behind it"]


UNABLE = {
    "another reader": "m = MaxPool<kernel_shape = [3,3], pads = [1,1,1,1]>(p) y = Add(m, p)",
    "ceil_mode": "y = MaxPool<kernel_shape = [3,3], ceil_mode = 1>(p)",
    "auto_pad": 'y = MaxPool<kernel_shape = [3,3], auto_pad = "SAME_UPPER">(p)',
    "a window no larger than the padding": "y = MaxPool<kernel_shape = [1,1]>(p)",
    "positions": "y, k = MaxPool<kernel_shape = [3,3]>(p)",
    "no pool": "y = Relu(p)",
}


@pytest.mark.parametrize("tail", UNABLE.values(), ids=UNABLE)
def test_infinity_elsewhere_stays_with_a_note(tail: str) -> None:
    cure = PadValue()
    after, changes = applied(cure, model_of(-np.inf, [0, 0, 1, 1, 0, 0, 1, 1], tail))
    assert changes == [] and operators(after)[0] == "Pad"
    assert cure.notes == ["pad stays: -inf is no number to add, and no MaxPool takes it over"]


def test_padding_of_channels_is_not_for_a_pool() -> None:
    cure = PadValue()
    tail = "y = MaxPool<kernel_shape = [3,3]>(p)"
    applied(cure, model_of(-np.inf, [0, 1, 1, 1, 0, 1, 1, 1], tail))
    assert len(cure.notes) == 1


@pytest.mark.parametrize("value", [0.0, -1.0, 255.0, -(2.0**31)])
def test_whole_numbers_stay(value: float) -> None:
    proto = model_of(value)
    after, changes = applied(PadValue(), proto)
    assert changes == [] and list(after.graph.node[0].input) == ["x", "a", "v"]


@pytest.mark.parametrize("node", ['Pad<mode = "edge">(x, a, v)', "Pad(x, a)"])
def test_pads_without_a_value_stay(node: str) -> None:
    body = f"g (float{SHAPE} x) => (float[N,C,H,W] y) {{ y = {node} }}"
    proto = parsed(body, 13, a=np.array(AROUND), v=np.float32(0.5))
    assert applied(PadValue(), proto)[1] == []


def test_the_attribute_of_older_sets_stays() -> None:
    body = (
        f"g (float{SHAPE} x) => (float[1,3,6,4] y) {{ y = Pad<pads = {AROUND}, value = 0.5>(x) }}"
    )
    proto = parsed(body.replace("[0, 0, 1, 2, 0, 0, 3, 0]", "[0,0,1,0,0,0,0,0]"), 9)
    assert applied(PadValue(), proto)[1] == []


def test_amounts_that_are_computed_stay_with_a_note() -> None:
    body = f"g (float{SHAPE} x, int64[8] a) => (float[N,C,H,W] y) {{ y = Pad(x, a, v) }}"
    cure = PadValue()
    assert applied(cure, parsed(body, 13, v=np.float32(0.5)))[1] == []
    assert cure.notes == ["y stays: its amounts or the shape of its input are not fixed"]


def test_half_precision_keeps_its_type() -> None:
    body = "g (float16[1,2] x) => (float16[1,4] y) { y = Pad(x, a, v) }"
    proto = parsed(body, 13, a=np.array([0, 1, 0, 1]), v=np.array(0.5, np.float16))
    after, _ = rewritten(PadValue(), proto, x=rng(1, 2).astype(np.float16))
    assert operators(after) == ["Pad", "Add"]
