"""An activation that all parts of a split have stands before the split."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar_export.passes.goal import Goal
from avatar_export.passes.hoist_activation import HoistActivation
from tests.passes.models import applied, attributes, operators, parsed, rewritten, rng, stamps

X = rng(1, 6, 3, 4)
SIZES = "s = Constant<value_ints = [1,2,3]>()"
OUTPUTS = "float[1,1,3,4] p, float[1,2,3,4] q, float[1,3,3,4] r"


def model_of(nodes: str, outputs: str = OUTPUTS, opset: int = 16) -> onnx.ModelProto:
    split = f"{SIZES} [split] a, b, c = Split<axis = 1>(x, s)"
    if opset < 13:
        split = "[split] a, b, c = Split<axis = 1, split = [1,2,3]>(x)"
    return parsed(f"g (float[1,6,3,4] x) => ({outputs}) {{ {split} {nodes} }}", opset)


@pytest.mark.parametrize("opset", [7, 11, 13, 18, 21])
@pytest.mark.parametrize("activation", ["Tanh", "Relu", "LeakyRelu<alpha = 0.3>"])
def test_equal_activations_stand_before_the_split(activation: str, opset: int) -> None:
    nodes = f"p = {activation}(a) q = {activation}(b) [last] r = {activation}(c)"
    after, changes = rewritten(HoistActivation(), model_of(nodes, opset=opset), x=X)
    left = [node for node in after.graph.node if node.op_type != "Constant"]
    assert [node.op_type for node in left] == [activation.partition("<")[0], "Split"]
    assert list(left[1].output) == ["p", "q", "r"]
    assert changes == [f"last: one {left[0].op_type} before the split instead of 3 after it"]
    assert set(stamps(after).values()) == {"hoist-activation"}


def test_its_attributes_are_kept() -> None:
    nodes = "p = Elu<alpha = 0.3>(a) q = Elu<alpha = 0.3>(b) r = Elu<alpha = 0.3>(c)"
    after, _ = rewritten(HoistActivation(), model_of(nodes), x=X)
    elu = next(node for node in after.graph.node if node.op_type == "Elu")
    assert attributes(elu) == {"alpha": pytest.approx(0.3)}


def test_parts_of_equal_size_need_no_sizes() -> None:
    body = """g (float[1,6,3,4] x) => (float[1,3,3,4] p, float[1,3,3,4] q)
        { a, b = Split<axis = 1>(x) p = Relu(a) q = Relu(b) }"""
    after, _ = rewritten(HoistActivation(), parsed(body), x=X)
    assert operators(after) == ["Relu", "Split"]


def test_a_part_that_nobody_reads_is_no_hindrance() -> None:
    nodes = "p = Relu(a) r = Relu(c)"
    model = model_of(nodes, "float[1,1,3,4] p, float[1,3,3,4] r")
    after, _ = rewritten(HoistActivation(), model, x=X)
    assert [n for n in operators(after) if n != "Constant"] == ["Relu", "Split"]


STAYS = {
    "another activation": "p = Relu(a) q = Relu(b) r = Tanh(c)",
    "another attribute": "p = Elu(a) q = Elu(b) r = Elu<alpha = 0.5>(c)",
    "a part without": "p = Relu(a) q = Relu(b) r = Identity(c)",
    "a part that is read twice": "p = Relu(a) q = Relu(b) r = Relu(c) t = Neg(c)",
}


@pytest.mark.parametrize("why", STAYS)
def test_refused_with_a_reason(why: str) -> None:
    step = HoistActivation()
    outputs = OUTPUTS + (", float[1,3,3,4] t" if "twice" in why else "")
    assert rewritten(step, model_of(STAYS[why], outputs), x=X)[1] == []
    (note,) = step.notes
    assert note.endswith("not all parts of the split have the same activation")


def test_a_part_that_is_an_output_is_kept() -> None:
    step = HoistActivation()
    outputs = "float[1,1,3,4] p, float[1,2,3,4] q, float[1,3,3,4] c"
    assert rewritten(step, model_of("p = Relu(a) q = Relu(b)", outputs), x=X)[1] == []
    assert len(step.notes) == 1


def test_a_part_that_a_subgraph_reads_is_kept() -> None:
    nodes = """p = Relu(a) q = Relu(b) zero = Constant<value_int = 0>() t = Cast<to = 9>(zero)
        r = If(t) <then_branch = i () => (float[1,3,3,4] y) { y = Relu(c) },
                   else_branch = j () => (float[1,3,3,4] z) { z = Concat<axis = 1>(p, q) }>"""
    model = model_of(nodes)
    assert rewritten(HoistActivation(), model, x=X)[1] == []


def test_bounds_of_their_own_are_left_alone() -> None:
    body = """g (float[1,6,3,4] x) => (float[1,3,3,4] p, float[1,3,3,4] q)
        { a, b = Split<axis = 1>(x) p = Clip(a, low) q = Clip(b, high) }"""
    step = HoistActivation()
    model = parsed(body, low=np.float32(0), high=np.float32(1))
    assert rewritten(step, model, x=X)[1] == []
    assert not step.notes


def test_one_activation_alone_is_no_site() -> None:
    step = HoistActivation()
    model = model_of("p = Relu(a)", "float[1,1,3,4] p")
    assert applied(step, model)[1] == []
    assert not step.notes


def test_unknown_sizes_are_left_alone() -> None:
    body = """g (float[1,n,3,4] x) => (float[1,m,3,4] p, float[1,m,3,4] q)
        { a, b = Split<axis = 1>(x) p = Relu(a) q = Relu(b) }"""
    assert applied(HoistActivation(), parsed(body))[1] == []


def test_declined_where_it_costs_more() -> None:
    dear = Goal("test", lambda nodes: float(sum(n.op_type == "Split" for n in nodes)))
    step = HoistActivation(dear)
    model = model_of("p = Relu(a) q = Relu(b) r = Relu(c)")
    assert rewritten(step, model, x=X)[1] == []
    assert "would cost" in step.notes[0]


@settings(deadline=None, max_examples=25)
@given(sizes=st.lists(st.integers(1, 4), min_size=2, max_size=5), axis=st.integers(-3, 2))
def test_any_split(sizes: list[int], axis: int) -> None:
    dims = [2, 3, 4]
    dims[axis] = sum(sizes)
    parts = [[*dims[: axis % 3], n, *dims[axis % 3 + 1 :]] for n in sizes]
    outputs = ", ".join(f"float{part} y{k}" for k, part in enumerate(parts))
    names = ", ".join(f"p{k}" for k in range(len(sizes)))
    nodes = " ".join(f"y{k} = Tanh(p{k})" for k in range(len(sizes)))
    body = f"""g (float{dims} x) => ({outputs})
        {{ s = Constant<value_ints = {sizes}>() {names} = Split<axis = {axis}>(x, s) {nodes} }}"""
    after, changes = rewritten(HoistActivation(), parsed(body), x=rng(*dims))
    assert operators(after).count("Tanh") == len(changes) == 1
