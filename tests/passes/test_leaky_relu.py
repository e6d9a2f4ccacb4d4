"""What computes a leaky ReLU is written as one."""

from __future__ import annotations

import re

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar_export.passes.goal import FEWEST_MACS, Goal, Nodes
from avatar_export.passes.leaky_relu import LeakyReluSpelling
from tests.passes.models import applied, attributes, operators, parsed, rewritten, rng, stamps

X = rng(1, 3, 4, 5)


def named_in(nodes: str, numbers: dict[str, object]) -> dict[str, object]:
    return {name: n for name, n in numbers.items() if re.search(rf"\b{name}\b", nodes)}


def model_of(nodes: str, opset: int = 16, more: str = "", **weights: object) -> onnx.ModelProto:
    numbers = {"a": 0.2, "m": -0.2, "zero": 0.0, "one": -1.0} | weights
    body = f"g (float[1,3,4,5] x) => (float[1,3,4,5] y{more}) {{ {nodes} }}"
    return parsed(body, opset, **named_in(nodes, numbers))


SPELLINGS = {
    "PRelu": "y = PRelu(x, s)",
    "Max": "t = Mul(x, a) y = Max(x, t)",
    "Max, factor first": "t = Mul(a, x) y = Max(t, x)",
    "Max of a quotient": "t = Div(x, five) y = Max(t, x)",
    "Max of three": "t = Mul(x, a) v = Mul(x, h) y = Max(x, v, t)",
    "Where >": "t = Mul(x, a) c = Greater(x, zero) y = Where(c, x, t)",
    "Where >=": "t = Mul(x, a) c = GreaterOrEqual(x, zero) y = Where(c, x, t)",
    "Where <": "t = Mul(x, a) c = Less(x, zero) y = Where(c, t, x)",
    "Where <=": "t = Mul(x, a) c = LessOrEqual(x, zero) y = Where(c, t, x)",
    "Where 0 <": "t = Mul(x, a) c = Less(zero, x) y = Where(c, x, t)",
    "Where 0 >": "t = Mul(x, a) c = Greater(zero, x) y = Where(c, t, x)",
    "Where not <": "t = Mul(x, a) d = Less(x, zero) c = Not(d) y = Where(c, x, t)",
    "Relu - Relu": "p = Relu(x) n = Neg(x) r = Relu(n) t = Mul(r, a) y = Sub(p, t)",
    "Relu + Relu": "p = Relu(x) n = Mul(x, one) r = Relu(n) t = Mul(m, r) y = Add(t, p)",
    "Abs": "t = Mul(x, plus) r = Abs(x) u = Mul(r, minus) y = Add(t, u)",
}
NUMBERS = {"s": [[[0.2]], [[0.2]], [[0.2]]], "five": 5.0, "h": 0.5, "plus": 0.6, "minus": 0.4}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_spellings(spelling: str) -> None:
    model = model_of(SPELLINGS[spelling].replace("y =", "[end] y ="), **NUMBERS)
    after, changes = rewritten(LeakyReluSpelling(), model, x=X)
    assert operators(after) == ["LeakyRelu"]
    assert attributes(after.graph.node[0])["alpha"] == pytest.approx(0.2)
    assert changes == ["end: LeakyRelu of slope 0.2"]
    assert stamps(after) == {"end": "leaky-relu"}


@pytest.mark.parametrize("opset", [7, 9, 11, 13, 18, 21])
def test_any_operator_set(opset: int) -> None:
    model = model_of(SPELLINGS["Max"], opset)
    assert operators(rewritten(LeakyReluSpelling(), model, x=X)[0]) == ["LeakyRelu"]


@pytest.mark.parametrize(
    "nodes",
    [
        "y = Max(x, zero)",
        "y = PRelu(x, zero)",
        "t = Mul(x, zero) y = Max(x, t)",
        "c = Greater(x, zero) y = Where(c, x, zero)",
    ],
)
def test_slope_0_is_a_relu(nodes: str) -> None:
    after, changes = rewritten(LeakyReluSpelling(), model_of(nodes), x=X)
    assert operators(after) == ["Relu"]
    assert len(changes) == 1


@pytest.mark.parametrize("slope", [-0.5, 1.5])
def test_slopes_beyond_0_and_1(slope: float) -> None:
    for spelling in ("PRelu", "Where >"):
        model = model_of(SPELLINGS[spelling], a=slope, s=slope)
        after, _ = rewritten(LeakyReluSpelling(), model, x=X)
        assert attributes(after.graph.node[0]) == {"alpha": slope}


def test_a_maximum_takes_no_slope_beyond_1() -> None:
    """It would be the larger slope that stands on the positive side."""
    step = LeakyReluSpelling()
    assert applied(step, model_of(SPELLINGS["Max"], a=1.5))[1] == []
    assert applied(step, model_of(SPELLINGS["Max"], a=-0.5))[1] == [
        "Max -> y: LeakyRelu of slope -0.5"
    ]


OTHERS = {
    "slopes by channel": "y = PRelu(x, s)",
    "of x twice": "t = Mul(x, two) y = Max(x, t)",
    "two slopes, neither of them 1": "t = Mul(x, two) r = Mul(x, a) y = Max(t, r)",
    "a quotient by 0": "t = Div(x, zero) y = Max(x, t)",
    "another threshold": "t = Mul(x, a) c = Greater(x, a) y = Where(c, x, t)",
    "the sign of something else": "n = Sin(x) t = Mul(x, a) c = Less(n, zero) y = Where(c, t, x)",
    "two different tensors": "n = Sin(x) t = Mul(n, a) y = Max(x, t)",
    "a sum with a constant": "t = Add(x, a) y = Max(x, t)",
    "a leaky identity": "t = Mul(x, plus) r = Mul(x, minus) y = Add(t, r)",
    "a computed slope": "e = Exp(a) t = Mul(x, e) y = Max(x, t)",
}


@pytest.mark.parametrize("what", OTHERS)
def test_other_functions_stay(what: str) -> None:
    numbers = NUMBERS | {"s": [[[0.2]], [[0.1]], [[0.2]]], "two": 2.0}
    model = model_of(OTHERS[what], **numbers)
    after, changes = applied(LeakyReluSpelling(), model)
    assert operators(after) == operators(model)
    assert changes == []


def test_a_constant_that_enlarges_the_tensor_is_left_alone() -> None:
    model = model_of("t = Mul(x, w) y = Max(x, t)", w=np.full((2, 1, 1, 1), 0.2, np.float32))
    model.graph.output[0].type.tensor_type.shape.dim[0].dim_value = 2
    assert applied(LeakyReluSpelling(), model)[1] == []


def test_whole_numbers_are_left_alone() -> None:
    body = "g (int32[4] x) => (int32[4] y) { t = Mul(x, z) y = Max(x, t) }"
    model = parsed(body, z=np.array(0, np.int32))
    assert applied(LeakyReluSpelling(), model)[1] == []


def test_unknown_sizes_are_left_alone() -> None:
    model = parsed("g (float[n] x) => (float[n] y) { t = Mul(x, a) y = Max(x, t) }", a=0.2)
    assert applied(LeakyReluSpelling(), model)[1] == []


def test_a_product_that_others_read_stays() -> None:
    model = model_of("t = Mul(x, a) y = Max(x, t) z = Neg(t)", more=", float[1,3,4,5] z")
    after, _ = rewritten(LeakyReluSpelling(), model, x=X)
    assert sorted(operators(after)) == ["LeakyRelu", "Mul", "Neg"]


def test_a_product_that_is_an_output_stays() -> None:
    model = model_of("t = Mul(x, a) y = Max(x, t)", more=", float[1,3,4,5] t")
    after, _ = rewritten(LeakyReluSpelling(), model, x=X)
    assert sorted(operators(after)) == ["LeakyRelu", "Mul"]


def test_what_makes_x_stays() -> None:
    nodes = "e = Sin(x) t = Mul(e, a) y = Max(e, t)"
    after, _ = rewritten(LeakyReluSpelling(), model_of(nodes), x=X)
    assert operators(after) == ["Sin", "LeakyRelu"]


def test_half_precision_keeps_its_type() -> None:
    body = "g (float16[4] x) => (float16[4] y) { t = Mul(x, a) y = Max(x, t) }"
    model = parsed(body, a=np.array(0.2, np.float16))
    after, _ = rewritten(LeakyReluSpelling(), model, x=rng(4).astype(np.float16))
    assert operators(after) == ["LeakyRelu"]
    assert attributes(after.graph.node[0]) == {"alpha": float(np.float16(0.2))}


def test_a_slope_of_double_precision_is_refused() -> None:
    body = "g (double[4] x) => (double[4] y) { t = Mul(x, a) [end] y = Max(x, t) }"
    step = LeakyReluSpelling()
    assert applied(step, parsed(body, a=np.array(0.2)))[1] == []
    assert list(step.notes) == [
        "end stays: LeakyRelu keeps its slope in float32, and this one has more digits"
    ]
    assert applied(step, parsed(body, a=np.array(0.25)))[1] == ["end: LeakyRelu of slope 0.25"]


def test_declined_where_it_costs_more() -> None:
    dear = Goal("test", lambda nodes: float(sum(n.op_type == "LeakyRelu" for n in nodes)))
    step = LeakyReluSpelling(dear)
    assert applied(step, model_of(SPELLINGS["Max"]))[1] == []
    assert "would cost" in step.notes[0]


def test_declined_where_the_target_has_no_such_operator() -> None:
    step = LeakyReluSpelling(Goal("old phone", FEWEST_MACS.price, lambda old, new: "AX101"))
    assert applied(step, model_of(SPELLINGS["Max"]))[1] == []
    assert list(step.notes) == ["Max -> y stays: old phone refuses it: AX101"]


def test_the_target_is_asked_about_nodes_in_order() -> None:
    asked = []

    def refusal(old: Nodes, new: Nodes) -> str:
        asked.append([node.op_type for node in old])
        return ""

    step = LeakyReluSpelling(Goal("test", FEWEST_MACS.price, refusal))
    applied(step, model_of(SPELLINGS["Relu - Relu"]))
    assert asked[0][-1] == "Sub"
    assert asked[0].index("Neg") < asked[0].index("Mul")


@settings(deadline=None, max_examples=25)
@given(
    spelling=st.sampled_from(["Max", "Where >", "Where <", "Relu - Relu", "PRelu"]),
    slope=st.floats(0, 0.875, width=32, allow_subnormal=False),
    shape=st.lists(st.integers(1, 4), max_size=5),
)
def test_any_slope_and_shape(spelling: str, slope: float, shape: list[int]) -> None:
    nodes, dims = SPELLINGS[spelling], shape or ""
    numbers = named_in(nodes, {"a": slope, "s": slope, "zero": 0.0})
    model = parsed(f"g (float{dims} x) => (float{dims} y) {{ {nodes} }}", 16, **numbers)
    after, _ = rewritten(LeakyReluSpelling(), model, x=rng(*shape))
    assert operators(after) == ["LeakyRelu" if slope else "Relu"]
