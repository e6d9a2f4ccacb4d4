from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar_export.passes.goal import FEWEST_MACS, Nodes
from avatar_export.passes.macs import count_macs, node_macs
from avatar_export.passes.pipeline import Step, run_pipeline
from avatar_export.passes.pool_conv import PoolConv
from tests.passes.models import (
    applied,
    attributes,
    initializers,
    loaded,
    operators,
    parsed,
    rewritten,
    rng,
    stamps,
)

X = rng(1, 4, 8, 6)
WEIGHTS = {"w": rng(8, 4, 3, 3), "b": rng(8), "v": rng(8, 4, 1, 1), "u": rng(8, 8, 1, 1)}
CONV = "[conv] c = Conv<pads = [1,1,1,1]>(x, w, b)"
SKIP = "[skip] s = Conv(x, v, b)"
MERGED, FIRST = "merged with its pooling", "pooled before the 1x1 convolution"


def _macs(nodes: Nodes) -> float:
    return sum(node_macs(node) for node in nodes)


# In models as small as these the price of a node would decide.
MACS = replace(FEWEST_MACS, price=_macs)
NODES = replace(FEWEST_MACS, price=len)


def pool(of: str, kernel: str = "2,2", strides: str = "2,2", more: str = "") -> str:
    sizes = f"kernel_shape = [{kernel}], strides = [{strides}] {more}"
    return f"[pool] y = AveragePool<{sizes}>({of})"


def model_of(
    nodes: str, outputs: str = "float[N,C,H,W] y", opset: int = 13, **weights: np.ndarray
) -> onnx.ModelProto:
    body = f"g (float[1,4,8,6] x) => ({outputs}) {{ {nodes} }}"
    return parsed(body, opset, **{**WEIGHTS, **weights})


def macs(proto: onnx.ModelProto) -> int:
    return count_macs(loaded(proto))


def assert_left_alone(proto: onnx.ModelProto, *reasons: str) -> None:
    step = PoolConv(MACS)
    _, changes = applied(step, proto)
    assert changes == []
    assert list(step.notes) == [f"pool stays: {reason}" for reason in reasons]


def test_a_convolution_takes_over_its_pooling() -> None:
    before = model_of(f"{CONV} {pool('c')}")
    after, changes = rewritten(PoolConv(), before, x=X)
    assert operators(after) == ["Conv"]
    assert changes == [f"pool: {MERGED}"]
    assert stamps(after) == {"conv": "pool-conv"}
    node = after.graph.node[0]
    assert attributes(node) == {
        "kernel_shape": [4, 4],
        "strides": [2, 2],
        "pads": [1, 1, 1, 1],
        "group": 1,
    }
    assert node.output == ["y"]
    assert macs(before) == 8 * 6 * 8 * 4 * 9
    assert macs(after) == 4 * 3 * 8 * 4 * 16


def test_the_numbers_of_the_kernel() -> None:
    """Rows of a 3x3 kernel averaged by 2x2: w0, w0 + w1, w1 + w2, w2, halved, in each axis."""
    after, _ = applied(PoolConv(), model_of(f"{CONV} {pool('c')}"))
    w = WEIGHTS["w"].astype(np.float64)
    for axis in (2, 3):
        w0, w1, w2 = np.split(w, 3, axis)
        w = np.concatenate([w0, w0 + w1, w1 + w2, w2], axis) / 2
    np.testing.assert_allclose(initializers(after)["conv.averaged"], w, rtol=1e-6)


def test_the_border_is_the_same() -> None:
    """Only border pixels are not zero: there the padding decides."""
    edge = 1e3 * X
    edge[..., 1:-1, 1:-1] = 0
    rewritten(PoolConv(), model_of(f"{CONV} {pool('c')}"), x=edge)


@pytest.mark.parametrize("pads", ["0,0,0,0", "1,0,0,0", "0,2,1,0", "2,2,2,2", "0,0,1,1"])
@pytest.mark.parametrize("window", [("2,2", "2,2"), ("3,3", "2,2"), ("2,3", "3,1")])
def test_any_padding_and_window(pads: str, window: tuple[str, str]) -> None:
    """Also where the pooling leaves rows or columns of the convolution unread."""
    conv = CONV.replace("1,1,1,1", pads)
    _, changes = rewritten(PoolConv(MACS), model_of(f"{conv} {pool('c', *window)}"), x=X)
    assert changes == [f"pool: {MERGED}"]


def test_pixels_are_averaged_before_a_1x1_convolution() -> None:
    before = model_of(f"{SKIP} {pool('s')}")
    after, changes = rewritten(PoolConv(MACS), before, x=X)
    assert operators(after) == ["AveragePool", "Conv"]
    assert changes == [f"pool: {FIRST}"]
    assert stamps(after) == {"skip.pool": "pool-conv", "skip": "pool-conv"}
    assert macs(before) == 4 * macs(after) == 8 * 6 * 8 * 4


def test_of_two_forms_the_cheaper() -> None:
    """Where only nodes cost, one is better than two."""
    after, changes = rewritten(PoolConv(NODES), model_of(f"{SKIP} {pool('s')}"), x=X)
    assert operators(after) == ["Conv"]
    assert changes == [f"pool: {MERGED}"]


def test_a_1x1_convolution_with_a_computed_weight() -> None:
    nodes = f"k = Neg(v) [skip] s = Conv(x, k, b) {pool('s')}"
    after, _ = rewritten(PoolConv(MACS), model_of(nodes), x=X)
    assert operators(after) == ["Neg", "AveragePool", "Conv"]


def test_a_1x1_convolution_in_groups() -> None:
    nodes = f"[skip] s = Conv<group = 2>(x, half, b) {pool('s')}"
    after, _ = rewritten(PoolConv(MACS), model_of(nodes, half=rng(8, 2, 1, 1)), x=X)
    assert operators(after) == ["AveragePool", "Conv"]


def test_a_1x1_convolution_that_pads_cannot_wait() -> None:
    """Beyond the border it writes its bias, which no average of pixels holds."""
    nodes = f"[skip] s = Conv<pads = [1,1,1,1]>(x, v, b) {pool('s')}"
    _, changes = rewritten(PoolConv(NODES), model_of(nodes), x=X)
    assert changes == [f"pool: {MERGED}"]
    step = PoolConv(MACS)
    assert applied(step, model_of(nodes))[1] == []
    assert [note.split(" would")[0] for note in step.notes] == [f"pool stays: {MERGED}"]


def test_a_pooling_that_moved_up_meets_the_next_convolution() -> None:
    before = model_of(f"{CONV} [mix] m = Conv(c, u) {pool('m')}")
    after, changes = rewritten(PoolConv(MACS), before, x=X)
    assert operators(after) == ["Conv", "Conv"]
    assert changes == [f"pool: {FIRST}", f"mix.pool: {MERGED}"]
    assert macs(before) == 8 * 6 * 8 * (4 * 9 + 8)
    assert macs(after) == 4 * 3 * 8 * (4 * 16 + 8)
    assert set(initializers(after)) == {"conv.averaged", "b", "u"}  # nothing of what was weighed


def test_a_residual_block_pooled_after_its_sum() -> None:
    before = model_of(f"{CONV} {SKIP} [sum] a = Add(c, s) {pool('a')}")
    after, changes = rewritten(PoolConv(MACS), before, x=X)
    assert operators(after) == ["Conv", "AveragePool", "Conv", "Add"]
    assert changes == ["pool: the parts of a sum pooled one by one"]
    assert macs(before) == 8 * 6 * 8 * (4 * 9 + 4)
    assert macs(after) == 4 * 3 * 8 * (4 * 16 + 4)


def test_a_sum_with_a_part_that_is_no_convolution() -> None:
    nodes = f"n = Relu(c) [mix] m = Conv(n, u) a = Add(m, c) {pool('a')}"
    after, _ = rewritten(PoolConv(MACS), model_of(f"{CONV} {nodes}"), x=X)
    assert operators(after) == ["Conv", "Relu", "AveragePool", "Conv", "AveragePool", "Add"]


def test_a_sum_whose_convolutions_must_stay() -> None:
    assert_left_alone(model_of(f"{CONV} a = Add(c, c) {pool('a')}"))


def test_a_sum_that_others_read() -> None:
    nodes = f"{CONV} {SKIP} a = Add(c, s) {pool('a')}"
    outputs = "float[N,C,H,W] y, float[1,8,8,6] a"
    assert_left_alone(model_of(nodes, outputs), "the sum has other readers")


def test_a_sum_with_one_number_a_channel() -> None:
    """Not the same shape: left to the pass that folds it."""
    shift = rng(8, 1, 1)
    assert_left_alone(model_of(f"{CONV} a = Add(c, t) {pool('a')}", t=shift))


def test_a_pooling_of_something_else() -> None:
    assert_left_alone(model_of(f"{CONV} r = Relu(c) {pool('r')}"))


def test_a_pooling_of_another_domain() -> None:
    assert_left_alone(model_of(f"{CONV} {pool('c')}".replace("Average", "custom.Average")))


@pytest.mark.parametrize(
    ("tail", "outputs"),
    [
        ("", "float[N,C,H,W] y, float[1,8,8,6] c"),
        ("z = Relu(c)", "float[N,C,H,W] y, float[1,8,8,6] z"),
    ],
    ids=["is a graph output", "is read twice"],
)
def test_a_convolution_that_others_need(tail: str, outputs: str) -> None:
    proto = model_of(f"{CONV} {pool('c')} {tail}", outputs)
    assert_left_alone(proto, "the convolution has other readers")


BODY = "z = If(q) <then_branch = t () => (float[1,8,8,6] i) { i = Relu(c) },"
BODY += "else_branch = e () => (float[1,8,8,6] j) { j = Neg(c) }>"


def test_a_convolution_that_a_branch_reads() -> None:
    outputs = "float[N,C,H,W] y, float[1,8,8,6] z"
    proto = model_of(f"{CONV} {pool('c')} {BODY}", outputs, q=np.array(True))
    assert_left_alone(proto, "the convolution has other readers")


@pytest.mark.parametrize(
    ("conv", "pooling", "reason"),
    [
        (
            "Conv<strides = [2,2]>(x, w)",
            pool("c"),
            "the convolution has strides or dilations",
        ),
        (
            "Conv<dilations = [2,1]>(x, w)",
            pool("c"),
            "the convolution has strides or dilations",
        ),
        (
            'Conv<auto_pad = "SAME_UPPER">(x, w)',
            pool("c"),
            "the convolution pads by auto_pad",
        ),
        (
            "Conv(x, n)",
            pool("c"),
            "the weight of the convolution is computed",
        ),
        ("Conv(x, w)", pool("c", more=", pads = [0,0,1,0]"), "the pooling pads"),
        ("Conv(x, w)", pool("c", more=', auto_pad = "SAME_LOWER"'), "the pooling pads"),
        (
            "Conv<pads = [1,0,0,0]>(x, w)",
            pool("c", more=", ceil_mode = 1"),
            "the last window of the pooling is cut off",
        ),
        ("Conv(x, w)", pool("c", more=", dilations = [1,2]"), "the pooling is dilated"),
    ],
)
def test_refused(conv: str, pooling: str, reason: str) -> None:
    computed = "n = Neg(w)" if "(x, n)" in conv else ""
    assert_left_alone(model_of(f"{computed} c = {conv} {pooling}", opset=19), reason)


def test_an_unknown_size() -> None:
    body = f"g (float[1,4,H,W] x) => (float[N,C,I,J] y) {{ {CONV} {pool('c')} }}"
    assert_left_alone(parsed(body, **WEIGHTS), "its size is not known")


def test_rounding_up_where_nothing_is_left_over() -> None:
    nodes = f"{CONV} {pool('c', more=', ceil_mode = 1')}"
    _, changes = rewritten(PoolConv(), model_of(nodes), x=X)
    assert len(changes) == 1


def test_an_auto_pad_that_pads_nothing() -> None:
    conv = CONV.replace("pads = [1,1,1,1]", 'auto_pad = "VALID"')
    _, changes = rewritten(PoolConv(), model_of(f"{conv} {pool('c')}"), x=X)
    assert len(changes) == 1


def test_a_price_that_is_too_high() -> None:
    """5x5 pooled by 2x2 with stride 1 reads 6x6 numbers for each instead of 5x5."""
    proto = model_of(f"{CONV} {pool('c', strides='1,1')}")
    step = PoolConv(replace(MACS, name="some phone"))
    _, changes = applied(step, proto)
    assert changes == []
    assert "merged with its pooling would cost" in step.notes[0]
    assert "some phone" in step.notes[0]


def test_a_target_that_refuses() -> None:
    goal = replace(FEWEST_MACS, name="some phone", refusal=lambda old, new: "kernel of 4x4")
    step = PoolConv(goal)
    _, changes = applied(step, model_of(f"{CONV} {pool('c')}"))
    assert changes == []
    assert step.notes == ["pool stays: some phone refuses it: kernel of 4x4"]


@pytest.mark.parametrize("opset", [7, 10, 13, 19, 21])
def test_operator_sets(opset: int) -> None:
    nodes = f"{CONV} {SKIP} a = Add(c, s) {pool('a')}"
    _, changes = rewritten(PoolConv(MACS), model_of(nodes, opset=opset), x=X)
    assert len(changes) == 1


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_precision_is_kept(dtype: type[np.floating]) -> None:
    kind = {np.float16: "float16", np.float64: "double"}[dtype]
    numbers = {name: array.astype(dtype) for name, array in WEIGHTS.items()}
    body = f"g ({kind}[1,4,8,6] x) => ({kind}[N,C,H,W] y) {{ {CONV} {pool('c')} }}"
    after, _ = applied(PoolConv(), parsed(body, **numbers))
    exact, _ = applied(PoolConv(), model_of(f"{CONV} {pool('c')}"))
    found = initializers(after)["conv.averaged"]
    assert found.dtype == dtype
    bound = 1e-3 if dtype is np.float16 else 1e-6
    np.testing.assert_allclose(found, initializers(exact)["conv.averaged"], atol=bound)


def test_other_counts_of_axes() -> None:
    line = "g (float[2,4,9] x) => (float[N,C,L] y) { c = Conv<pads = [1,1]>(x, w)"
    line += "y = AveragePool<kernel_shape = [2], strides = [2]>(c) }"
    after, _ = rewritten(PoolConv(), parsed(line, w=rng(8, 4, 3)), x=rng(2, 4, 9))
    assert operators(after) == ["Conv"]
    cube = "g (float[1,2,4,5,6] x) => (float[N,C,D,H,W] y) { c = Conv(x, w)"
    cube += "y = AveragePool<kernel_shape = [2,1,2], strides = [2,1,2]>(c) }"
    after, _ = rewritten(PoolConv(), parsed(cube, w=rng(3, 2, 2, 3, 1)), x=rng(1, 2, 4, 5, 6))
    assert operators(after) == ["Conv"]


def test_in_a_pipeline() -> None:
    proto = model_of(f"{CONV} {SKIP} p = Add(c, s) {pool('p')}")
    _, [record] = run_pipeline(proto, [Step(PoolConv(MACS), "fewer pixels")], {"x": X}, goal=MACS)
    assert (record.macs_before, record.macs_after) == (15360, 6528)
    assert record.worst < 1e-6


@given(
    size=st.tuples(st.integers(6, 11), st.integers(6, 11)),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    window=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    pads=st.tuples(*[st.integers(0, 2)] * 4),
    group=st.sampled_from([1, 2]),
    bias=st.booleans(),
)
@settings(max_examples=25, deadline=None)
def test_any_shape(
    size: tuple[int, int],
    kernel: tuple[int, int],
    window: tuple[int, int],
    pads: tuple[int, ...],
    group: int,
    bias: bool,
) -> None:
    height, columns = size
    f, g = window
    body = f"g (float[2,4,{height},{columns}] x) => (float[N,C,H,W] y) {{"
    body += f"c = Conv<pads = {list(pads)}, group = {group}>(x, w{', b' if bias else ''})"
    body += f"{pool('c', f'{f},{g}', f'{f},{g}')} }}"
    numbers = {"w": rng(6, 4 // group, *kernel)} | ({"b": rng(6)} if bias else {})
    after, _ = rewritten(PoolConv(NODES), parsed(body, **numbers), x=rng(2, 4, height, columns))
    assert operators(after) == ["Conv"]
