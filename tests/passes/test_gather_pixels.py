from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar_export.passes.gather_pixels import GatherPixels, interleaving
from avatar_export.passes.goal import FEWEST_MACS, Nodes
from avatar_export.passes.macs import count_macs
from avatar_export.passes.pipeline import Step, run_pipeline
from tests.passes.models import (
    applied,
    initializers,
    loaded,
    operators,
    parsed,
    rewritten,
    rng,
    stamps,
)

X = rng(1, 12, 3, 5)
SPREAD = "[spread] d = DepthToSpace<blocksize = 2>(x)"
WRITTEN = ["Transpose", "Reshape", "Gather", "Transpose"]


def _price(nodes: Nodes) -> float:
    return float(sum(node.op_type == "DepthToSpace" for node in nodes))


# A runtime on which depth-to-space is the only thing that costs anything.
SLOW = replace(FEWEST_MACS, name="slow runtime", price=_price)


def model_of(
    nodes: str, outputs: str = "float[N,C,H,W] y", opset: int = 13, **weights: np.ndarray
) -> onnx.ModelProto:
    return parsed(f"g (float[1,12,3,5] x) => ({outputs}) {{ {nodes} }}", opset, **weights)


def crop(starts: list[int], ends: list[int], **more: list[int]) -> dict[str, np.ndarray]:
    """Inputs of a Slice, as initializers."""
    numbers = {"starts": starts, "ends": ends} | more
    return {name: np.array(n, np.int64) for name, n in numbers.items()}


def exact(proto: onnx.ModelProto, x: np.ndarray = X) -> tuple[list[str], list[str]]:
    """Operators and changes; the copies are the same to the last bit."""
    after, [record] = run_pipeline(proto, [Step(GatherPixels(SLOW), "fast")], {"x": x})
    assert record.worst == 0.0
    onnx.checker.check_model(after, full_check=True)
    return operators(after), list(record.changes)


def assert_left_alone(proto: onnx.ModelProto, *notes: str) -> None:
    step = GatherPixels(SLOW)
    _, changes = applied(step, proto)
    assert changes == []
    assert list(step.notes) == list(notes)


def test_a_depth_to_space_is_a_gather() -> None:
    proto = model_of(f"{SPREAD} y = Relu(d)")
    after, changes = rewritten(GatherPixels(SLOW), proto, x=X)
    assert operators(after) == [*WRITTEN, "Relu"]
    assert changes == ["spread: one Gather of 60 pixels"]
    assert set(stamps(after).values()) == {"gather-pixels"}
    assert initializers(after)["spread.table"].tolist() == [60, 3]
    assert initializers(after)["spread.rows"].dtype == np.int64


def test_the_numbers_of_the_rows() -> None:
    """Of an image of 1x2 pixels, by the formula."""
    proto = parsed(
        "g (float[1,4,1,2] x) => (float[1,1,2,4] y) { y = DepthToSpace<blocksize = 2>(x) }"
    )
    after, _ = applied(GatherPixels(SLOW), proto)
    rows = next(n for name, n in initializers(after).items() if name.endswith("rows"))
    assert rows.tolist() == [[[0, 1, 4, 5], [2, 3, 6, 7]]]


def test_the_numbers_of_rows_by_the_formula() -> None:
    """Of two images of 3x5 pixels, each of which becomes 3x3."""
    images, height, width, f = 2, 3, 5, 3
    n, i, j = np.indices((images, f * height, f * width))
    rows = ((n * height + i // f) * width + j // f) * f * f + (i % f) * f + j % f
    np.testing.assert_array_equal(interleaving(images, height, width, f), rows)


def test_a_crop_costs_nothing() -> None:
    """As after the sub-pixel form of an upsampling, which makes a border too many."""
    border = crop([1, 1], [5, 9], axes=[2, 3])
    proto = model_of(f"{SPREAD} [crop] y = Slice(d, starts, ends, axes)", **border)
    after, changes = rewritten(GatherPixels(SLOW), proto, x=X)
    assert operators(after) == WRITTEN
    assert changes == ["crop: one Gather of 32 pixels"]
    assert after.graph.node[-1].output == ["y"]


@pytest.mark.parametrize(
    "numbers",
    [
        crop([0], [1]),
        crop([1], [-1], axes=[-1]),
        crop([-3, 2], [2**63 - 1, 100], axes=[-2, 3]),
        crop([5, 0], [-(2**62), 10], axes=[2, 3], steps=[-1, 3]),
        crop([0, 1], [1, 4], axes=[0, 2]),
    ],
)
def test_any_crop(numbers: dict[str, np.ndarray]) -> None:
    proto = model_of(f"{SPREAD} y = Slice(d, {', '.join(numbers)})", **numbers)
    assert exact(proto)[0] == WRITTEN


def test_a_crop_of_each_axis_in_turn() -> None:
    """As torch.onnx writes x[:, :, 1:, 1:]."""
    nodes = f"{SPREAD} c = Slice(d, starts, ends, rows) [crop] y = Slice(c, starts, ends, columns)"
    axes = {"rows": np.array([2]), "columns": np.array([3])}
    operators_after, changes = exact(model_of(nodes, **crop([1], [2**63 - 1]), **axes))
    assert operators_after == WRITTEN
    assert changes == ["crop: one Gather of 45 pixels"]


def test_attributes_of_old_operator_sets() -> None:
    nodes = f"{SPREAD} y = Slice<starts = [1,1], ends = [9,-1], axes = [2,3]>(d)"
    assert exact(model_of(nodes, opset=9))[0] == WRITTEN


@pytest.mark.parametrize("opset", [7, 10, 13, 21])
def test_operator_sets(opset: int) -> None:
    assert exact(model_of(f"{SPREAD} y = Neg(d)", opset=opset))[0] == [*WRITTEN, "Neg"]


def test_a_crop_that_others_do_not_want() -> None:
    nodes = f"{SPREAD} y = Slice(d, starts, ends, axes) z = Neg(d)"
    proto = model_of(nodes, "float[N,C,H,W] y, float[N,C,H,W] z", **crop([1], [5], axes=[2]))
    assert sorted(exact(proto)[0]) == sorted([*WRITTEN, "Slice", "Neg"])


def test_a_crop_of_what_others_read_is_no_site() -> None:
    nodes = f"{SPREAD} y = Slice(d, starts, ends, axes) z = Neg(d)"
    proto = model_of(nodes, "float[N,C,H,W] y, float[N,C,H,W] z", **crop([1], [5], axes=[2]))
    assert GatherPixels(SLOW).options(loaded(proto).graph.node(1)) == []


def test_an_operator_of_another_domain() -> None:
    assert_left_alone(model_of("y = custom.DepthToSpace<blocksize = 2>(x)"))


def test_a_graph_output_before_the_crop() -> None:
    nodes = f"{SPREAD} y = Slice(d, starts, ends, axes)"
    proto = model_of(nodes, "float[N,C,H,W] y, float[N,C,H,W] d", **crop([1], [5], axes=[2]))
    after, _ = rewritten(GatherPixels(SLOW), proto, x=X)
    assert sorted(operators(after)) == sorted([*WRITTEN, "Slice"])
    assert [value.name for value in after.graph.output] == ["y", "d"]


def test_refused_for_the_order_of_channels() -> None:
    nodes = '[spread] y = DepthToSpace<blocksize = 2, mode = "CRD">(x)'
    reason = "in mode CRD the numbers of a pixel do not lie together"
    assert_left_alone(model_of(nodes), f"spread stays: {reason}")


def test_refused_for_a_computed_crop() -> None:
    nodes = f"{SPREAD} n = Neg(starts) [crop] y = Slice(d, n, ends, axes)"
    proto = model_of(nodes, **crop([-1], [5], axes=[2]))
    assert_left_alone(proto, "crop stays: the crop is computed")


def test_refused_for_a_crop_of_channels() -> None:
    nodes = f"{SPREAD} [crop] y = Slice(d, starts, ends, axes)"
    proto = model_of(nodes, **crop([0, 1], [5, 2], axes=[2, 1]))
    assert_left_alone(proto, "crop stays: the crop cuts channels too")


def test_an_unknown_size() -> None:
    body = f"g (float[1,12,H,W] x) => (float[N,C,I,J] y) {{ {SPREAD} y = Neg(d) }}"
    assert_left_alone(parsed(body), "spread stays: its size is not known")


def test_other_crops() -> None:
    proto = model_of("y = Slice(x, starts, ends, axes)", **crop([1], [3], axes=[2]))
    assert_left_alone(proto)


def test_where_only_multiply_adds_count() -> None:
    step = GatherPixels()
    _, changes = applied(step, model_of(f"{SPREAD} y = Relu(d)"))
    assert changes == []
    assert "one Gather of 60 pixels would cost" in step.notes[0]


def test_multiply_adds_stay() -> None:
    w = rng(12, 12, 3, 3)
    nodes = "c = Conv(x, w) d = DepthToSpace<blocksize = 2>(c) y = Tanh(d)"
    before = model_of(nodes, w=w)
    after, _ = rewritten(GatherPixels(SLOW), before, x=X)
    assert operators(after) == ["Conv", *WRITTEN, "Tanh"]
    assert count_macs(loaded(after)) == count_macs(loaded(before)) == 3 * 12 * 12 * 9


@pytest.mark.parametrize("kind", ["float16", "double"])
def test_precision_is_kept(kind: str) -> None:
    body = f"g ({kind}[1,12,3,5] x) => ({kind}[N,C,H,W] y) {{ {SPREAD} y = Identity(d) }}"
    x = X.astype({"float16": np.float16, "double": np.float64}[kind])
    assert exact(parsed(body), x)[0] == [*WRITTEN, "Identity"]


@given(
    batch=st.integers(1, 3),
    channels=st.integers(1, 4),
    size=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    factor=st.integers(1, 4),
    start=st.tuples(st.integers(-6, 6), st.integers(-6, 6)),
    end=st.tuples(st.integers(7, 30), st.integers(7, 30)),
)
@settings(max_examples=25, deadline=None)
def test_any_shape(
    batch: int,
    channels: int,
    size: tuple[int, int],
    factor: int,
    start: tuple[int, int],
    end: tuple[int, int],
) -> None:
    x = rng(batch, channels * factor**2, *size)
    body = f"g (float{list(x.shape)} x) => (float[N,C,H,W] y) {{"
    body += f"d = DepthToSpace<blocksize = {factor}>(x) y = Slice(d, starts, ends, axes) }}"
    proto = parsed(body, **crop(list(start), list(end), axes=[2, 3]))
    assert exact(proto, x)[0] == WRITTEN
