from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar_export.passes.macs import count_macs
from avatar_export.passes.merge_linear import MergeLinear
from avatar_export.passes.pipeline import Step, run_pipeline
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

NUMBERS = {
    "w1": rng(4, 8), "t1": rng(8, 4), "b1": rng(8), "w2": rng(8, 5, seed=1),
    "t2": rng(5, 8, seed=1), "b2": rng(5, seed=1), "s2": rng(1, 5), "m1": rng(3, 8),
    "k2": rng(8, 3), "n2": rng(3, seed=2),
}  # fmt: skip


def proto_of(body: str, x: str = "3,4", y: str = "A,B", opset: int = 13) -> onnx.ModelProto:
    used = {name: array for name, array in NUMBERS.items() if name in body}
    return parsed(f"g (float[{x}] x) => (float[{y}] y) {{ {body} }}", opset, **used)


def macs(proto: onnx.ModelProto) -> int:
    return count_macs(loaded(proto))


DENSE: dict[str, tuple[str, list[str]]] = {
    "Gemm": ("[f] h = Gemm(x, w1, b1) [s] y = Gemm(h, w2, b2)", ["Gemm"]),
    "Gemm of stored [N, K]": (
        "[f] h = Gemm<transB = 1>(x, t1, b1) [s] y = Gemm<transB = 1>(h, t2, b2)", ["Gemm"]),
    "Gemm without bias": ("[f] h = Gemm(x, w1) [s] y = Gemm(h, w2)", ["Gemm"]),
    "the first without bias": ("[f] h = Gemm(x, w1) [s] y = Gemm(h, w2, s2)", ["Gemm"]),
    "the second without bias": ("[f] h = Gemm(x, w1, b1) [s] y = Gemm(h, w2)", ["Gemm"]),
    "factors": (
        "[f] h = Gemm<alpha = 0.5, beta = 2.0>(x, w1, b1) "
        "[s] y = Gemm<alpha = 3.0, beta = 0.5>(h, w2, b2)",
        ["Gemm"]),
    "a bias for each row": ("[f] h = Gemm(x, w1, m1) [s] y = Gemm(h, w2, b2)", ["Gemm"]),
    "MatMul": ("[f] h = MatMul(x, w1) [s] y = MatMul(h, w2)", ["MatMul"]),
    "MatMul and Add": (
        "[f] p = MatMul(x, w1) h = Add(p, b1) [s] q = MatMul(h, w2) y = Add(b2, q)",
        ["MatMul", "Add"]),
    "MatMul and Add before Gemm": (
        "[f] p = MatMul(x, w1) h = Add(b1, p) [s] y = Gemm(h, w2, b2)", ["Gemm"]),
}  # fmt: skip


@pytest.mark.parametrize("form", DENSE)
def test_two_products_become_one(form: str) -> None:
    body, left = DENSE[form]
    before = proto_of(body)
    after, changes = rewritten(MergeLinear(MACS), before, x=rng(3, 4))
    assert operators(after) == left
    assert changes == ["s: merged with f"]
    assert set(stamps(after).values()) == {"merge-linear"}
    assert macs(before) == 3 * (4 * 8 + 8 * 5)
    assert macs(after) == 3 * 4 * 5


def test_weights_are_multiplied_in_double_precision() -> None:
    after, _ = applied(MergeLinear(MACS), proto_of(DENSE["Gemm"][0]))
    w1, b1, w2, b2 = (NUMBERS[name].astype(np.float64) for name in ("w1", "b1", "w2", "b2"))
    numbers = initializers(after)
    np.testing.assert_array_equal(numbers["s.weight"], np.float32((w1 @ w2).T))
    np.testing.assert_array_equal(numbers["s.bias"], np.float32(b1 @ w2 + b2))


def test_a_first_operand_that_is_read_transposed() -> None:
    body = "h = Gemm<transA = 1>(x, w1, b1) y = Gemm(h, w2, b2)"
    after, _ = rewritten(MergeLinear(MACS), proto_of(body, "4,3"), x=rng(4, 3))
    assert operators(after) == ["Gemm"]
    assert macs(after) == 3 * 4 * 5


def test_a_result_that_is_read_transposed_is_no_site() -> None:
    body = "h = Gemm(x, w1, b1) y = Gemm<transA = 1>(h, k)"
    proto = parsed(f"g (float[3,4] x) => (float[8,5] y) {{ {body} }}", **NUMBERS, k=rng(3, 5))
    _, changes = rewritten(MergeLinear(MACS), proto, x=rng(3, 4))
    assert changes == []


def test_products_of_three_axes() -> None:
    body = DENSE["MatMul and Add"][0]
    after, _ = rewritten(MergeLinear(MACS), proto_of(body, "2,3,4", "A,B,C"), x=rng(2, 3, 4))
    assert operators(after) == ["MatMul", "Add"]
    assert macs(after) == 2 * 3 * 4 * 5


def test_three_in_a_row() -> None:
    body = "h = Gemm(x, w1, b1) i = Gemm(h, w2, b2) y = Gemm(i, w3)"
    proto = parsed(f"g (float[3,4] x) => (float[3,2] y) {{ {body} }}", **NUMBERS, w3=rng(5, 2))
    after, changes = rewritten(MergeLinear(MACS), proto, x=rng(3, 4))
    assert operators(after) == ["Gemm"]
    assert len(changes) == 2
    assert macs(after) == 3 * 4 * 2


def test_an_activation_between_keeps_them_apart() -> None:
    body = "h = Gemm(x, w1, b1) r = Relu(h) y = Gemm(r, w2, b2)"
    step = MergeLinear(MACS)
    _, changes = rewritten(step, proto_of(body), x=rng(3, 4))
    assert (changes, step.notes) == ([], [])


def test_a_narrow_waist_is_cheaper_as_it_is() -> None:
    body = "g (float[8,6] x) => (float[8,6] y) { h = MatMul(x, a) [s] y = MatMul(h, b) }"
    step = MergeLinear(MACS)
    proto = parsed(body, a=rng(6, 2), b=rng(2, 6))
    _, changes = rewritten(step, proto, x=rng(8, 6))
    assert changes == []  # 8 * (12 + 12) multiply-adds against 8 * 36
    (note,) = step.notes
    assert "merged with MatMul -> h would cost 2.88e+05 ms instead of 1.92e+05 ms" in note


def test_two_readers_are_merged_at_once() -> None:
    """Of equal widths K and H neither reader alone would be cheaper; both together are."""
    body = """g (float[3,8] x) => (float[3,5] y, float[3,3] z) {
        [f] h = MatMul(x, k) [s] y = Gemm(h, w2, b2) [t] z = Gemm(h, k2, n2)
    }"""
    before = parsed(body, k=rng(8, 8), **NUMBERS)
    after, changes = rewritten(MergeLinear(MACS), before, x=rng(3, 8))
    assert operators(after) == ["Gemm", "Gemm"]
    assert changes == ["s: merged with f"]
    assert (macs(before), macs(after)) == (3 * 8 * (8 + 5 + 3), 3 * 8 * (5 + 3))


@pytest.mark.parametrize(
    ("outputs", "tail"),
    [("float[3,5] y, float[3,8] h", ""), ("float[3,5] y, float[3,8] z", "z = Relu(h)")],
    ids=["is a graph output", "has another reader"],
)
def test_a_first_layer_that_others_need_stays(outputs: str, tail: str) -> None:
    body = f"g (float[3,4] x) => ({outputs}) {{ {DENSE['Gemm'][0]} {tail} }}"
    before = parsed(body, **NUMBERS)
    after, changes = rewritten(MergeLinear(MACS), before, x=rng(3, 4))
    assert operators(after).count("Gemm") == 2
    assert changes == ["s: merged with f, which stays for other readers"]
    assert macs(after) == 3 * (4 * 8 + 4 * 5)


def test_a_first_layer_that_stays_is_only_worth_it_if_it_is_wider() -> None:
    body = "g (float[3,8] x) => (float[3,2] y, float[3,4] h) { h = MatMul(x, a) y = MatMul(h, b) }"
    step = MergeLinear(MACS)
    _, changes = rewritten(step, parsed(body, a=rng(8, 4), b=rng(4, 2)), x=rng(3, 8))
    assert changes == []
    assert "which stays for other readers would cost" in step.notes[0]


@pytest.mark.parametrize("opset", [7, 10, 21])
def test_a_gemm_without_bias_in_every_operator_set(opset: int) -> None:
    body = "h = MatMul(x, w1) y = Gemm(h, w2, zero)"
    proto = proto_of(body, opset=opset)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(5, np.float32), "zero"))
    after, _ = rewritten(MergeLinear(MACS), proto, x=rng(3, 4))
    assert operators(after) == ["Gemm"]


def test_computed_weights_are_no_site() -> None:
    body = "g (float[3,4] x, float[4,8] w) => (float[3,5] y) { h = MatMul(x, w) y = MatMul(h, w2) }"
    proto = parsed(body, w2=NUMBERS["w2"])
    _, changes = rewritten(MergeLinear(MACS), proto, x=rng(3, 4), w=rng(4, 8))
    assert changes == []


def test_half_precision_stays_half_precision() -> None:
    body = "g (float16[3,4] x) => (float16[3,5] y) { h = Gemm(x, w1, b1) y = Gemm(h, w2, b2) }"
    half = {name: NUMBERS[name].astype(np.float16) for name in ("w1", "b1", "w2", "b2")}
    after, changes = applied(MergeLinear(MACS), parsed(body, **half))
    assert len(changes) == 1
    assert {a.dtype for a in initializers(after).values()} == {np.dtype(np.float16)}


@settings(deadline=None, max_examples=25)
@given(
    rows=st.integers(1, 4),
    widths=st.tuples(*[st.integers(1, 6)] * 3),
    biases=st.tuples(st.booleans(), st.booleans()),
)
def test_any_widths(rows: int, widths: tuple[int, int, int], biases: tuple[bool, bool]) -> None:
    k, h, n = widths
    first, second = (", b1" if biases[0] else ""), (", b2" if biases[1] else "")
    body = f"""g (float[{rows},{k}] x) => (float[{rows},{n}] y) {{
        h = Gemm(x, w1{first}) y = Gemm(h, w2{second})
    }}"""
    numbers = {"w1": rng(k, h), "b1": rng(h), "w2": rng(h, n, seed=1), "b2": rng(n, seed=2)}
    after, changes = rewritten(MergeLinear(MACS), parsed(body, **numbers), x=rng(rows, k))
    assert bool(changes) is (k * n < k * h + h * n)
    assert macs(after) == rows * min(k * n, k * h + h * n)


def test_in_a_pipeline() -> None:
    step = Step(MergeLinear(MACS), "no activation between")
    _, (record,) = run_pipeline(proto_of(DENSE["Gemm"][0]), [step], {"x": rng(3, 4)})
    assert (record.macs_before, record.macs_after) == (216, 60)


def test_a_pair_that_shows_when_another_is_merged() -> None:
    """While "other" reads the product too, the sum is no part of it, and "first" visits it then."""
    body = """
        [m] m = MatMul(x, w1) [p] p = MatMul(m, w2) h = Add(p, b2) [first] y = MatMul(h, k5)
        [other] z = MatMul(p, k5)
    """
    text = f"g (float[3,4] x) => (float[3,2] y, float[3,2] z) {{ {body} }}"
    names = ("w1", "w2", "b2")
    proto = parsed(text, 13, **{n: NUMBERS[n] for n in names}, k5=rng(5, 2, seed=4))
    after, _ = rewritten(MergeLinear(MACS), proto, x=rng(3, 4))
    assert operators(after) == ["MatMul", "Add", "MatMul"]
