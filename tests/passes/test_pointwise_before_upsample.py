from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar_export.passes.goal import FEWEST_MACS, Nodes
from avatar_export.passes.macs import count_macs
from avatar_export.passes.pipeline import Step, run_pipeline
from avatar_export.passes.pointwise_before_upsample import PointwiseBeforeUpsample
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

X, Z = rng(1, 4, 3, 5), rng(1, 4, 3, 5, seed=1)
NUMBERS = {
    "w": rng(6, 4, 1, 1),
    "v": rng(6, 4, 1, 1, seed=1),
    "b": rng(6),
    "grouped": rng(6, 2, 1, 1),
    "k": rng(6, 4, 3, 3),
    "p": rng(4, 1, 1),
    "s": np.full(4, 0.5, np.float32),
    "low": np.float32(-0.5),
    "high": np.float32(0.5),
    "two": np.float32(2),
    "image": rng(6, 10),
    "twice": np.float32([1, 1, 2, 2]),
    "wide": np.float32([1, 1, 1, 2]),
}
FLOOR = 'mode = "nearest", coordinate_transformation_mode = "asymmetric", nearest_mode = "floor"'
SKIP = "[skip] y = Conv(u, w, b)"


def up(result: str, of: str, scales: str = "twice") -> str:
    return f'[up_{result}] {result} = Resize<{FLOOR}>({of}, "", {scales})'


def model_of(nodes: str, outputs: str = "float[N,C,H,W] y", opset: int = 13) -> onnx.ModelProto:
    body = f"g (float[1,4,3,5] x, float[1,4,3,5] z) => ({outputs}) {{ {nodes} }}"
    return parsed(body, opset, **NUMBERS)


def _numbers(nodes: Nodes) -> float:
    """Numbers that are written: what the price of operators without multiply-adds depends on."""
    return sum(prod(value.shape.numpy()) for node in nodes for value in node.outputs)


NUMBERS_WRITTEN = replace(FEWEST_MACS, price=_numbers)


def moved(nodes: str, outputs: str = "float[N,C,H,W] y") -> tuple[list[str], list[str]]:
    """Operators after the pass, where the numbers written count; and the changes."""
    step = PointwiseBeforeUpsample(NUMBERS_WRITTEN)
    after, changes = rewritten(step, model_of(nodes, outputs), x=X, z=Z)
    return operators(after), changes


def assert_left_alone(nodes: str, *notes: str, outputs: str = "float[N,C,H,W] y") -> None:
    step = PointwiseBeforeUpsample(NUMBERS_WRITTEN)
    _, changes = applied(step, model_of(nodes, outputs, opset=13))
    assert changes == []
    assert list(step.notes) == [f"it stays: {note}" for note in notes]


def test_a_1x1_convolution_has_fewer_pixels() -> None:
    before = model_of(f"{up('u', 'x')} {SKIP}")
    after, changes = rewritten(PointwiseBeforeUpsample(), before, x=X, z=Z)
    assert operators(after) == ["Conv", "Resize"]
    assert changes == ["skip: Conv before the upsampling"]
    assert stamps(after) == dict.fromkeys(("skip", "up_u.repeated"), "pointwise-before-upsample")
    assert set(initializers(after)) == {"w", "b", "twice"}
    assert count_macs(loaded(before)) == 6 * 10 * 6 * 4
    assert count_macs(loaded(after)) == 3 * 5 * 6 * 4


@pytest.mark.parametrize(
    "operator",
    [
        "Conv<group = 2, dilations = [3,3]>(u, grouped)",
        "LeakyRelu<alpha = 0.2>(u)",
        "Clip(u, low, high)",
        'Clip(u, "", high)',
        "PRelu(u, p)",
        "BatchNormalization<epsilon = 0.5>(u, s, s, s, s)",
        "Sub(p, u)",
        "Pow(u, two)",
        "Max(low, u, p)",
    ],
)
def test_any_operator_of_one_image(operator: str) -> None:
    found, changes = moved(f"{up('u', 'x')} y = {operator}")
    assert found == [operator.split("(")[0].split("<")[0], "Resize"]
    assert len(changes) == 1


@pytest.mark.parametrize("operator", ["Add(u, t)", "Concat<axis = 1>(u, t)", "Max(u, t, u)"])
def test_several_images_repeated_alike(operator: str) -> None:
    found, changes = moved(f"{up('u', 'x')} {up('t', 'z')} y = {operator}")
    assert found == [operator.split("(")[0].split("<")[0], "Resize"]
    assert len(changes) == 1


def test_a_number_for_each_channel_that_is_computed() -> None:
    """As the styles of a generator, or the gates of a squeeze-and-excitation block."""
    found, _ = moved(f"{up('u', 'x')} m = GlobalAveragePool(z) y = Mul(u, m)")
    assert sorted(found) == ["GlobalAveragePool", "Mul", "Resize"]


def test_a_row_of_operators() -> None:
    """One after the other."""
    found, changes = moved(f"{up('u', 'x')} a = Relu(u) c = Conv(a, w) y = Tanh(c)")
    assert found == ["Relu", "Conv", "Tanh", "Resize"]
    assert len(changes) == 3


def test_a_row_that_only_pays_as_a_whole() -> None:
    """By multiply-adds alone the Relu has no reason to move, but the convolution behind it has."""
    proto = model_of(f"{up('u', 'x')} [first] a = Relu(u) [skip] c = Conv(a, w) [last] y = Tanh(c)")
    step = PointwiseBeforeUpsample()
    after, changes = rewritten(step, proto, x=X, z=Z)
    assert operators(after) == ["Relu", "Conv", "Resize", "Tanh"]
    assert changes == ["skip: Relu and Conv before the upsampling"]
    (note,) = step.notes  # none on the Relu: it did not stay
    assert note.startswith("last stays: Tanh before the upsampling would cost")


def test_a_gate_that_reads_the_same_twice() -> None:
    found, _ = moved(f"{up('u', 'x')} g = Sigmoid(u) y = Mul(u, g)")
    assert found == ["Sigmoid", "Mul", "Resize"]


def test_an_upsampling_read_twice_is_counted_once() -> None:
    model = loaded(model_of(f"{up('u', 'x')} y = Add(u, u)"))
    [proposal] = PointwiseBeforeUpsample().options(model.graph.node(-1))
    assert [node.op_type for node in proposal.old] == ["Add", "Resize"]


def test_what_follows_two_upsamplings() -> None:
    found, changes = moved(f"{up('u', 'x')} {up('t', 'u', 'wide')} y = Conv(t, w)")
    assert found == ["Conv", "Resize", "Resize"]
    assert len(changes) == 2


def test_an_upsampling_that_others_read_stays() -> None:
    """The usual residual block: a 3x3 convolution and a 1x1 skip read the same."""
    nodes = f"{up('u', 'x')} {SKIP} q = Conv<pads = [1,1,1,1]>(u, k)"
    before = model_of(nodes, "float[N,C,H,W] y, float[N,C,H,W] q")
    after, _ = rewritten(PointwiseBeforeUpsample(), before, x=X, z=Z)
    assert sorted(operators(after)) == ["Conv", "Conv", "Resize", "Resize"]
    assert count_macs(loaded(before)) - count_macs(loaded(after)) == 3 * (3 * 5 * 6 * 4)


def test_an_upsampling_that_is_a_graph_output_stays() -> None:
    outputs = "float[N,C,H,W] y, float[N,C,H,W] u"
    after, _ = rewritten(
        PointwiseBeforeUpsample(), model_of(f"{up('u', 'x')} {SKIP}", outputs), x=X, z=Z
    )
    assert sorted(operators(after)) == ["Conv", "Resize", "Resize"]


def test_an_upsampling_that_a_branch_reads_stays() -> None:
    branches = "q = If(yes) <then_branch = t () => (float[1,4,6,10] i) { i = Relu(u) },"
    branches += "else_branch = e () => (float[1,4,6,10] j) { j = Neg(u) }>"
    nodes = f"{up('u', 'x')} {SKIP} {branches}"
    body = f"g (float[1,4,3,5] x) => (float[N,C,H,W] y, float[N,C,H,W] q) {{ {nodes} }}"
    proto = parsed(body, **NUMBERS, yes=np.array(True))
    after, _ = rewritten(PointwiseBeforeUpsample(), proto, x=X)
    assert sorted(operators(after)) == ["Conv", "If", "Resize", "Resize"]


def test_a_second_upsampling_may_cost_too_much() -> None:
    nodes = f"{up('u', 'x')} [it] y = Relu(u) q = Neg(u)"
    proto = model_of(nodes, "float[N,C,H,W] y, float[N,C,H,W] q, float[N,C,H,W] u")
    step = PointwiseBeforeUpsample(replace(NUMBERS_WRITTEN, name="some phone"))
    _, changes = applied(step, proto)
    assert changes == []
    assert "it stays: Relu before the upsampling would cost" in step.notes[0]


def test_what_lies_between_and_is_read_elsewhere() -> None:
    """By multiply-adds the Relu does not move alone, and others need what it makes."""
    nodes = f"{up('u', 'x')} a = Relu(u) y = Conv(a, w)"
    proto = model_of(nodes, "float[N,C,H,W] y, float[N,C,H,W] a")
    _, changes = applied(PointwiseBeforeUpsample(), proto)
    assert changes == []


def test_a_sum_with_what_is_not_repeated() -> None:
    assert_left_alone(f"{up('u', 'x')} c = Conv<pads = [1,1,1,1]>(u, k) y = Add(c, c)")
    nodes = f"{up('u', 'x')} {up('t', 'z')} c = MaxPool<kernel_shape = [1,1]>(t) [it] y = Add(u, c)"
    assert_left_alone(nodes)


OTHER_PIXELS = "a 1x1 convolution with padding or strides has other pixels"
VARIES = "it reads a constant that varies over the image"


@pytest.mark.parametrize(
    ("operator", "reason"),
    [
        ("Conv<pads = [1,1,1,1]>(u, w)", OTHER_PIXELS),
        ("Conv<strides = [2,2]>(u, w)", OTHER_PIXELS),
        ("Mul(image, u)", VARIES),
        ("PRelu(u, image)", VARIES),
    ],
)
def test_refused(operator: str, reason: str) -> None:
    assert_left_alone(f"{up('u', 'x')} [it] y = {operator}", reason)


def test_different_factors() -> None:
    body = f"g (float[1,4,3,5] x, float[1,4,6,5] z) => (float[N,C,H,W] y) {{ {up('u', 'x')}"
    body += f"{up('t', 'z', 'wide')} [it] y = Add(u, t) }}"
    step = PointwiseBeforeUpsample(NUMBERS_WRITTEN)
    _, changes = applied(step, parsed(body, **NUMBERS))
    assert changes == []
    assert step.notes == ["it stays: what it reads is repeated by different factors"]


def test_one_image_for_a_batch() -> None:
    body = f"g (float[1,4,3,5] x, float[2,4,1,1] z) => (float[N,C,H,W] y) {{ {up('u', 'x')}"
    step = PointwiseBeforeUpsample(NUMBERS_WRITTEN)
    _, changes = applied(step, parsed(f"{body} [it] y = Mul(u, z) }}", **NUMBERS))
    assert changes == []
    assert step.notes == ["it stays: it stretches the batch"]


@pytest.mark.parametrize("mode", ['mode = "linear"', FLOOR.replace("floor", "ceil")])
def test_an_upsampling_that_does_not_repeat(mode: str) -> None:
    assert_left_alone(f'u = Resize<{mode}>(x, "", twice) [it] y = Relu(u)')


def test_no_upsampling() -> None:
    assert_left_alone("y = Relu(x)")


def test_a_target_that_refuses() -> None:
    goal = replace(FEWEST_MACS, name="some phone", refusal=lambda old, new: "no such Conv")
    step = PointwiseBeforeUpsample(goal)
    _, changes = applied(step, model_of(f"{up('u', 'x')} {SKIP}"))
    assert changes == []
    assert step.notes == ["skip stays: some phone refuses it: no such Conv"]


@pytest.mark.parametrize(
    ("opset", "upsample"),
    [
        (7, 'Upsample<mode = "nearest", scales = [1., 1., 2., 2.]>(x)'),
        (9, 'Upsample<mode = "nearest">(x, twice)'),
    ],
)
def test_upsample(opset: int, upsample: str) -> None:
    after, _ = rewritten(
        PointwiseBeforeUpsample(), model_of(f"u = {upsample} {SKIP}", opset=opset), x=X, z=Z
    )
    assert operators(after) == ["Conv", "Upsample"]


@pytest.mark.parametrize("opset", [11, 16, 21])
def test_later_operator_sets(opset: int) -> None:
    roi = "roi" if opset == 11 else '""'
    nodes = (
        f"u = Resize<{FLOOR}>(x, {roi}, twice) t = BatchNormalization(u, s, s, s, s) y = Conv(t, w)"
    )
    body = f"g (float[1,4,3,5] x) => (float[N,C,H,W] y) {{ {nodes} }}"
    numbers = NUMBERS | {"roi": np.zeros(8, np.float32)}
    step = PointwiseBeforeUpsample(NUMBERS_WRITTEN)
    after, _ = rewritten(step, parsed(body, opset, **numbers), x=X)
    assert operators(after) == ["BatchNormalization", "Conv", "Resize"]


def test_in_a_pipeline() -> None:
    proto = model_of(f"{up('u', 'x')} {SKIP}")
    steps = [Step(PointwiseBeforeUpsample(), "fewer pixels")]
    _, [record] = run_pipeline(proto, steps, {"x": X, "z": Z})
    assert (record.macs_before, record.macs_after) == (1440, 360)
    assert record.worst == 0.0


@given(
    size=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    factors=st.tuples(st.integers(1, 4), st.integers(1, 4)).filter(lambda f: f != (1, 1)),
    batch=st.integers(1, 2),
    group=st.sampled_from([1, 2]),
    bias=st.booleans(),
)
@settings(max_examples=25, deadline=None)
def test_any_shape(
    size: tuple[int, int], factors: tuple[int, int], batch: int, group: int, bias: bool
) -> None:
    (height, columns), (fh, fw) = size, factors
    body = f"g (float[{batch},4,{height},{columns}] x) => (float[N,C,H,W] y) {{ {up('u', 'x')}"
    body += f"c = Conv<group = {group}>(u, w{', b' if bias else ''}) y = LeakyRelu(c) }}"
    numbers = {"w": rng(6, 4 // group, 1, 1), "twice": np.float32([1, 1, fh, fw])}
    numbers |= {"b": rng(6)} if bias else {}
    step = PointwiseBeforeUpsample(NUMBERS_WRITTEN)
    x = rng(batch, 4, height, columns)
    after, _ = rewritten(step, parsed(body, **numbers), x=x)
    assert operators(after) == ["Conv", "LeakyRelu", "Resize"]
