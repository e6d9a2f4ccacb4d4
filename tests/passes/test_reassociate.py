from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar_export.passes.goal import Goal
from avatar_export.passes.macs import count_macs
from avatar_export.passes.pipeline import Step, run_pipeline
from avatar_export.passes.reassociate import Reassociate
from tests.passes.models import (
    MACS,
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

# x [1, 6, 5, 4] through filters [8, 6, k, k] that are a product of e [8, 2].
NUMBERS = {"m": rng(2, 6), "a": rng(6), "p": rng(1, 6, 5, 4), "s": np.int64([8, 6, 1, 1])}


def adaptive(
    weight: str = "w = Gemm(e, m, a)",
    conv: str = "[c] y = Conv(x, k, b)",
    **numbers: object,
) -> onnx.ModelProto:
    body = f"""g (float[1,6,5,4] x, float[8,2] e, float[8] b) => (float[1,8,A,B] y) {{
        {weight} k = Reshape(w, s) {conv}
    }}"""
    return parsed(body, **NUMBERS | numbers)


FEEDS = {"x": rng(1, 6, 5, 4), "e": rng(8, 2), "b": rng(8)}


def macs(proto: onnx.ModelProto) -> int:
    return count_macs(loaded(proto))


def test_a_computed_weight_is_applied_in_two_parts() -> None:
    before = adaptive()
    after, changes = rewritten(Reassociate(MACS), before, **FEEDS)
    assert operators(after) == ["Conv", "Concat", "Reshape", "Conv"]
    assert changes == ["c: its weight, a product of 3 rows, is applied in two parts"]
    assert set(stamps(after).values()) == {"reassociate"}
    assert macs(before) == 8 * 2 * 6 + 20 * 6 * 8
    assert macs(after) == 20 * 3 * (6 + 8)


def test_over_constant_maps_the_first_part_is_done_at_export() -> None:
    before = adaptive(conv="[c] y = Conv(p, k, b)")
    after, _ = rewritten(Reassociate(MACS), before, **FEEDS)
    assert operators(after) == ["Concat", "Reshape", "Conv"]
    assert macs(before) == 8 * 2 * 6 + 20 * 6 * 8
    assert macs(after) == 20 * 3 * 8
    n = {name: array.astype(np.float64) for name, array in NUMBERS.items()}
    maps = np.einsum("ri,bihw->brhw", np.vstack([n["m"], n["a"]]), n["p"])
    np.testing.assert_array_equal(initializers(after)["c.maps"], np.float32(maps))


@pytest.mark.parametrize(
    ("weight", "numbers"),
    [
        ("w = Gemm(e, m)", {}),
        ("w = MatMul(e, m)", {}),
        ("w = Gemm(e, m, a)", {"a": np.zeros(6, np.float32)}),
        ("w = Gemm<beta = 0.0>(e, m, a)", {}),
    ],
    ids=["Gemm", "MatMul", "a bias of zeros", "a bias times zero"],
)
def test_without_a_bias_there_is_no_column_of_ones(weight: str, numbers: dict[str, object]) -> None:
    after, _ = rewritten(Reassociate(MACS), adaptive(weight, **numbers), **FEEDS)
    assert operators(after) == ["Conv", "Reshape", "Conv"]
    assert macs(after) == 20 * 2 * (6 + 8)


@pytest.mark.parametrize(
    "weight",
    [
        "w = Gemm<alpha = 0.5, beta = 2.0, transB = 1>(e, t, r)",
        "q = MatMul(e, m) w = Add(a, q)",
        "v = Gemm(e, m, a) u = Reshape(v, s5) w = Squeeze(u)",
        "v = Reshape(e, s3) q = MatMul(v, m) w = Add(q, a)",
    ],
    ids=["factors of a Gemm", "MatMul and Add", "several views", "a product of three axes"],
)
def test_however_the_product_is_spelled(weight: str) -> None:
    numbers = {"t": rng(6, 2), "r": rng(1, 6), "s5": np.int64([1, 8, 6, 1, 1])}
    proto = adaptive(weight, **numbers, s3=np.int64([1, 8, 2]))
    after, changes = rewritten(Reassociate(MACS), proto, **FEEDS)
    assert len(changes) == 1
    assert macs(after) == 20 * 3 * (6 + 8)


@pytest.mark.parametrize(
    "geometry", ["pads = [1,1,1,1]", "pads = [0,2,1,0], strides = [2,1], dilations = [1,2]"]
)
def test_kernels_keep_their_geometry_in_the_first_part(geometry: str) -> None:
    conv = f"[c] y = Conv<{geometry}>(x, k, b)"
    numbers = {"m": rng(2, 54), "a": rng(54), "s": np.int64([8, 6, 3, 3])}
    before = adaptive(conv=conv, **numbers)
    after, _ = rewritten(Reassociate(MACS), before, **FEEDS)
    first, last = (n for n in after.graph.node if n.op_type == "Conv")
    expected = attributes(before.graph.node[-1])
    assert {name: attributes(first)[name] for name in expected} == expected
    assert attributes(last) == {"kernel_shape": [1, 1]}


def test_constant_maps_under_a_kernel_stay_a_convolution() -> None:
    numbers = {"m": rng(2, 54), "a": rng(54), "s": np.int64([8, 6, 3, 3])}
    before = adaptive(conv="[c] y = Conv<pads = [1,1,1,1]>(p, k, b)", **numbers)
    after, _ = rewritten(Reassociate(MACS), before, **FEEDS)
    assert operators(after).count("Conv") == 2


def test_a_convolution_without_bias() -> None:
    after, _ = rewritten(Reassociate(MACS), adaptive(conv="y = Conv(x, k)"), **FEEDS)
    assert operators(after) == ["Conv", "Concat", "Reshape", "Conv"]


def test_a_weight_that_others_read_is_still_computed() -> None:
    """So its multiply-adds are no gain, but the convolution is cheaper all the same."""
    body = """g (float[1,6,5,4] x, float[8,2] e, float[8] b) => (float[1,8,5,4] y, float[8,6] w) {
        w = Gemm(e, m, a) k = Reshape(w, s) [c] y = Conv(x, k, b)
    }"""
    after, changes = rewritten(Reassociate(MACS), parsed(body, **NUMBERS), **FEEDS)
    assert len(changes) == 1
    assert macs(after) == 8 * 2 * 6 + 20 * 3 * (6 + 8)


REFUSED: dict[str, tuple[str, str, dict[str, object], str]] = {
    "groups": (
        "w = Gemm(e, m, a)", "[c] y = Conv<group = 2>(x, k, b)",
        {"m": rng(2, 3), "a": rng(3), "s": np.int64([8, 3, 1, 1])}, "a convolution in groups"),
    "a bias for each row": (
        "w = Gemm(e, m, a)", "[c] y = Conv(x, k, b)", {"a": rng(8, 6)},
        "the product that makes its weight has a bias for each row"),
    "rows that are read transposed": (
        "f = Transpose(e) w = Gemm<transA = 1>(f, m, a)", "[c] y = Conv(x, k, b)", {},
        "the product that makes its weight reads its rows transposed"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_a_reason(case: str) -> None:
    weight, conv, numbers, reason = REFUSED[case]
    step = Reassociate(MACS)
    _, changes = rewritten(step, adaptive(weight, conv, **numbers), **FEEDS)
    assert changes == []
    assert step.notes == [f"c stays: {reason}"]


@pytest.mark.parametrize(
    ("weight", "numbers"),
    [
        ("h = Gemm(e, m, a) w = Relu(h)", {}),
        ("h = Gemm(e, m, a) w = Transpose(h)", {}),
        ("n = Relu(m) w = Gemm(e, n, a)", {}),
        ("w = Gemm(d, m, a)", {"d": rng(8, 2)}),
        ("w = Gemm(e, m)", {"m": rng(2, 12), "s": np.int64([16, 6, 1, 1])}),
    ],
    ids=["activation", "turned", "computed factor", "nothing computed", "rows cut apart"],
)
def test_no_site(weight: str, numbers: dict[str, object]) -> None:
    conv = "c = Conv(x, k) y = Slice(c, zero, eight, one)"
    slices = {"zero": np.int64([0]), "eight": np.int64([8]), "one": np.int64([1])}
    step = Reassociate(MACS)
    _, changes = rewritten(step, adaptive(weight, conv, **numbers, **slices), **FEEDS)
    assert (changes, step.notes) == ([], [])


def test_a_wide_product_is_not_worth_it() -> None:
    body = """g (float[1,6,5,4] x, float[8,7] e) => (float[1,8,5,4] y) {
        w = Gemm(e, m, a) k = Reshape(w, s) [c] y = Conv(x, k)
    }"""
    step = Reassociate(MACS)
    proto = parsed(body, **NUMBERS | {"m": rng(7, 6)})
    _, changes = rewritten(step, proto, x=FEEDS["x"], e=rng(8, 7))
    assert changes == []
    assert "a product of 8 rows, is applied in two parts would cost" in step.notes[0]


@settings(deadline=None, max_examples=25)
@given(
    channels=st.tuples(st.integers(1, 5), st.integers(1, 6)),
    rank=st.integers(1, 4),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    fixed=st.booleans(),
)
def test_any_shape(
    channels: tuple[int, int], rank: int, kernel: tuple[int, int], fixed: bool
) -> None:
    cin, cout = channels
    taps = cin * kernel[0] * kernel[1]
    body = f"""g (float[1,{cin},5,4] x, float[{cout},{rank}] e) => (float[1,{cout},A,B] y) {{
        w = Gemm(e, m, a) k = Reshape(w, s) y = Conv<pads = [1,0,0,1]>({"p" if fixed else "x"}, k)
    }}"""
    numbers = {"m": rng(rank, taps), "a": rng(taps), "s": np.int64([cout, cin, *kernel])}
    proto = parsed(body, **numbers, p=rng(1, cin, 5, 4))
    free = Goal("takes all", lambda nodes: float(any(node.op_type == "Gemm" for node in nodes)))
    after, changes = rewritten(
        Reassociate(free), proto, x=rng(1, cin, 5, 4), e=rng(cout, rank, seed=1)
    )
    assert len(changes) == 1
    assert "Gemm" not in operators(after)


def test_half_precision_stays_half_precision() -> None:
    body = """g (float16[1,6,5,4] x, float16[8,2] e) => (float16[1,8,5,4] y) {
        w = Gemm(e, m, a) k = Reshape(w, s) y = Conv(x, k)
    }"""
    half = {name: NUMBERS[name].astype(np.float16) for name in ("m", "a")}
    after, changes = applied(Reassociate(MACS), parsed(body, **half, s=NUMBERS["s"]))
    assert len(changes) == 1
    kinds = {a.dtype for a in initializers(after).values()}
    assert kinds == {np.dtype(np.float16), np.dtype(np.int64)}


def test_in_a_pipeline() -> None:
    _, (record,) = run_pipeline(adaptive(), [Step(Reassociate(MACS), "low rank")], FEEDS)
    assert (record.macs_before, record.macs_after) == (1056, 840)
