from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar_export.passes.goal import Goal
from avatar_export.passes.macs import count_macs
from avatar_export.passes.pipeline import Step, run_pipeline
from avatar_export.passes.repeated_columns import RepeatedColumns
from tests.passes.models import (
    MACS,
    applied,
    initializers,
    loaded,
    operators,
    parsed,
    rewritten,
    rng,
    stamps,
)

NEAREST = (
    '<mode = "nearest", coordinate_transformation_mode = "asymmetric", nearest_mode = "floor">'
)


def projector(factor: int, rows: int = 6, batch: int = 1, branches: int = 1) -> onnx.ModelProto:
    """An embedding [batch, 6, 4, 4], enlarged and cut into rows, through one Gemm a branch."""
    length = 6 * 16 * factor**2 // rows
    outputs = ", ".join(f"float[{batch * rows},5] y{k}" for k in range(branches))
    gemms = " ".join(f"[gemm{k}] y{k} = Gemm<transB = 1>(m, w{k}, b)" for k in range(branches))
    body = f"""g (float[{batch},6,4,4] x) => ({outputs}) {{
        r = Resize{NEAREST}(x, , s) m = Reshape(r, i) {gemms}
    }}"""
    weights = {f"w{k}": rng(5, length, seed=k) for k in range(branches)}
    numbers = {"s": [1, 1, factor, factor], "i": np.int64([batch * rows, length]), "b": rng(5)}
    return parsed(body, **numbers, **weights)


def macs(proto: onnx.ModelProto) -> int:
    return count_macs(loaded(proto))


@pytest.mark.parametrize("factor", [2, 4])
def test_a_number_that_is_repeated_is_multiplied_once(factor: int) -> None:
    before = projector(factor)
    after, changes = rewritten(RepeatedColumns(MACS), before, x=rng(1, 6, 4, 4))
    assert operators(after) == ["Reshape", "Gemm"]
    assert changes == [f"gemm0: {16 * factor**2} columns were 16, repeated"]
    assert set(stamps(after).values()) == {"repeated-columns"}
    assert macs(before) == 6 * 16 * factor**2 * 5
    assert macs(after) == 6 * 16 * 5


def test_the_new_weight_is_the_sum_in_double_precision() -> None:
    before = projector(2)
    after, _ = applied(RepeatedColumns(MACS), before)
    weight = initializers(before)["w0"].astype(np.float64).reshape(5, 4, 2, 4, 2)
    np.testing.assert_array_equal(
        initializers(after)["gemm0.weight"], weight.sum((2, 4)).reshape(5, 16).astype(np.float32)
    )


def test_a_row_of_several_channels() -> None:
    after, _ = rewritten(RepeatedColumns(MACS), projector(2, rows=3), x=rng(1, 6, 4, 4))
    assert macs(after) == 3 * 32 * 5


def test_a_batch() -> None:
    after, _ = rewritten(RepeatedColumns(MACS), projector(4, batch=3), x=rng(3, 6, 4, 4))
    assert macs(after) == 3 * 6 * 16 * 5


def test_branches_share_the_rows_and_each_is_a_site() -> None:
    after, changes = rewritten(RepeatedColumns(MACS), projector(4, branches=3), x=rng(1, 6, 4, 4))
    assert len(changes) == 3
    assert operators(after).count("Gemm") == 3
    assert "Resize" not in operators(after)
    assert macs(after) == 3 * 6 * 16 * 5


def test_what_else_reads_the_repeated_numbers_keeps_them() -> None:
    body = f"""g (float[1,2,2,2] x) => (float[2,3] y, float[2,16] z) {{
        r = Resize{NEAREST}(x, , s) m = Reshape(r, i) y = MatMul(m, w) z = Neg(m)
    }}"""
    proto = parsed(body, s=[1, 1, 2, 2], i=np.int64([2, 16]), w=rng(16, 3))
    after, _ = rewritten(RepeatedColumns(MACS), proto, x=rng(1, 2, 2, 2))
    assert sorted(operators(after)) == ["MatMul", "Neg", "Reshape", "Reshape", "Resize"]


def test_a_repeated_operand_that_is_a_graph_output_stays() -> None:
    body = f"""g (float[1,2,2,2] x) => (float[2,3] y, float[2,16] m) {{
        r = Resize{NEAREST}(x, , s) m = Reshape(r, i) y = MatMul(m, w)
    }}"""
    proto = parsed(body, s=[1, 1, 2, 2], i=np.int64([2, 16]), w=rng(16, 3))
    after, changes = rewritten(RepeatedColumns(MACS), proto, x=rng(1, 2, 2, 2))
    assert len(changes) == 1
    assert "Resize" in operators(after)


# Chains from x [2, 3, 4] to the left operand m, the product, and what should be left of both.
FORMS: dict[str, tuple[str, str, dict[str, object], list[str]]] = {
    "MatMul of three axes": (
        "m = Tile(x, i)", "MatMul(m, w)", {"i": np.int64([1, 1, 3]), "w": rng(12, 5)}, ["MatMul"]
    ),
    "MatMul and Add": (
        "m = Tile(x, i) p = MatMul(m, w)", "Add(b, p)",
        {"i": np.int64([1, 1, 3]), "w": rng(12, 5), "b": rng(5)}, ["MatMul", "Add"],
    ),
    "rows read through turned axes": (
        "t = Transpose<perm = [2, 0, 1]>(x) r = Tile(t, i) m = Reshape(r, j)", "MatMul(m, w)",
        {"i": np.int64([1, 1, 2]), "j": np.int64([4, 12]), "w": rng(12, 5)},
        ["Transpose", "Reshape", "MatMul"],
    ),
    "a Gather that reads the axes out of order": (
        "f = Flatten<axis = 2>(x) m = Gather<axis = 1>(f, i)", "MatMul(m, w)",
        {"i": np.int64([3, 3, 0, 0, 3]), "w": rng(5, 5)}, ["Reshape", "Gather", "MatMul"],
    ),
    "an operand that is read transposed": (
        "f = Flatten<axis = 2>(x) m = Tile(f, i)", "Gemm<transA = 1, alpha = 0.5>(m, w)",
        {"i": np.int64([3, 1]), "w": rng(18, 5)}, ["Transpose", "Reshape", "Gemm"],
    ),
    "factors of a Gemm": (
        "f = Flatten<axis = 2>(x) m = Tile(f, i)", "Gemm<alpha = 0.5, beta = 3.0>(m, w, b)",
        {"i": np.int64([1, 2]), "w": rng(8, 5), "b": rng(1, 5)}, ["Reshape", "Gemm"],
    ),
    "repeated twice on the way": (
        "q = Tile(x, i) r = Tile(q, i) m = Flatten<axis = 2>(r)", "MatMul(m, w)",
        {"i": np.int64([1, 1, 2]), "w": rng(16, 5)}, ["Reshape", "MatMul"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_however_operand_and_product_are_spelled(form: str) -> None:
    chain, product, numbers, left = FORMS[form]
    rank = 3 if "MatMul" in form else 2
    body = f"g (float[2,3,4] x) => (float[{','.join('ABC'[:rank])}] y) {{ {chain} y = {product} }}"
    after, changes = rewritten(RepeatedColumns(MACS), parsed(body, **numbers), x=rng(2, 3, 4))
    assert len(changes) == 1
    assert operators(after) == left


@pytest.mark.parametrize(("opset", "product"), [(7, "Gemm"), (9, "Gemm"), (21, "Gemm")])
def test_a_gemm_without_bias_in_every_operator_set(opset: int, product: str) -> None:
    body = f"""g (float[3,2] x) => (float[3,5] y) {{
        m = Tile(x, i) y = {product}(m, w{", b" if opset < 11 else ""})
    }}"""
    proto = parsed(body, opset, i=np.int64([1, 2]), w=rng(4, 5), b=rng(5))
    after, _ = rewritten(RepeatedColumns(MACS), proto, x=rng(3, 2))
    assert operators(after) == ["Gemm"]


@settings(deadline=None, max_examples=25)
@given(
    size=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    factor=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    channels=st.integers(1, 4),
    rows_are_pixels=st.booleans(),
)
def test_any_size_and_factor(
    size: tuple[int, int], factor: tuple[int, int], channels: int, rows_are_pixels: bool
) -> None:
    """Rows of one channel each, or of one pixel each; those repeat rows and not columns."""
    (h, w), (fh, fw) = size, factor
    length = h * w * fh * fw
    turn = "t = Transpose<perm = [0, 2, 3, 1]>(r)" if rows_are_pixels else "t = Identity(r)"
    columns = channels if rows_are_pixels else length
    rows = length if rows_are_pixels else channels
    body = f"""g (float[1,{channels},{h},{w}] x) => (float[{rows},2] y) {{
        r = Resize{NEAREST}(x, , s) {turn} m = Reshape(t, i) y = MatMul(m, k)
    }}"""
    proto = parsed(body, s=[1, 1, fh, fw], i=np.int64([rows, columns]), k=rng(columns, 2))
    after, changes = rewritten(RepeatedColumns(MACS), proto, x=rng(1, channels, h, w))
    assert bool(changes) is (not rows_are_pixels and fh * fw > 1)
    assert macs(after) == 2 * (length * channels if rows_are_pixels else channels * h * w)


def test_columns_that_repeat_differently_in_each_row_are_refused() -> None:
    body = "g (float[4] x) => (float[2,3] y) { m = Gather(x, i) [p] y = MatMul(m, w) }"
    step = RepeatedColumns(MACS)
    proto = parsed(body, i=np.int64([[0, 0, 1], [2, 3, 3]]), w=rng(3, 3))
    _, changes = rewritten(step, proto, x=rng(4))
    assert changes == []
    assert step.notes == ["p stays: no two columns are equal in every row"]


@pytest.mark.parametrize(
    ("body", "numbers"),
    [
        ("m = Tile(x, i) a = Relu(m) y = MatMul(a, w)", {}),
        ("m = Tile(x, i) w2 = Relu(w) y = MatMul(m, w2)", {}),
        ("m = Reshape(x, j) y = MatMul(m, v)", {"j": np.int64([3, 2]), "v": rng(2, 5)}),
    ],
    ids=["computed between", "computed weight", "nothing repeats"],
)
def test_no_site(body: str, numbers: dict[str, object]) -> None:
    step = RepeatedColumns(MACS)
    text = f"g (float[3,2] x) => (float[3,5] y) {{ {body} }}"
    proto = parsed(text, **{"i": np.int64([1, 2]), "w": rng(4, 5)} | numbers)
    _, changes = rewritten(step, proto, x=rng(3, 2))
    assert changes == []
    assert step.notes == []


def test_a_price_at_which_it_is_not_worth_it() -> None:
    """The target charges for nodes and not for multiply-adds: the view of the rows costs one."""
    step = RepeatedColumns(Goal("a target", lambda nodes: float(len(nodes))))
    _, changes = rewritten(step, projector(2), x=rng(1, 6, 4, 4))
    assert changes == []
    (note,) = step.notes
    assert "64 columns were 16, repeated would cost 2e+03 ms instead of 1e+03 ms" in note


def test_half_precision_stays_half_precision() -> None:
    body = "g (float16[3,2] x) => (float16[3,5] y) { m = Tile(x, i) y = MatMul(m, w) }"
    proto = parsed(body, i=np.int64([1, 2]), w=rng(4, 5).astype(np.float16))
    after, changes = applied(RepeatedColumns(MACS), proto)
    assert len(changes) == 1
    assert {a.dtype for a in initializers(after).values()} == {np.dtype(np.float16)}


def test_in_a_pipeline() -> None:
    step = Step(RepeatedColumns(MACS), "repeats")
    _, (record,) = run_pipeline(projector(4), [step], {"x": rng(1, 6, 4, 4)})
    assert (record.macs_before, record.macs_after) == (7680, 480)
