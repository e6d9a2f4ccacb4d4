from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from avatar_export.errors import ModelError
from avatar_export.passes.base import fixed_shape
from avatar_export.passes.goal import FEWEST_MACS, Nodes
from avatar_export.passes.pipeline import Step, run_pipeline
from avatar_export.passes.site import Proposal, RefusedError, SitePass, Sketch, title
from tests.passes.models import applied, loaded, operators, parsed, rewritten, rng, stamps

X = rng(1, 2, 4, 4)
ROW = """g (float[1,2,4,4] x) => (float[1,2,4,4] y) {
    [first] a = Relu(x)
    [second] b = Relu(a)
    [third] y = Relu(b)
}"""
TWO = parsed("g (float[1,2,4,4] x) => (float[1,2,4,4] y) { [p] a = Relu(x) [q] y = Relu(a) }")


class Twice(SitePass):
    """Relu(Relu(x)) -> Relu(x), in as many spellings as are asked for."""

    name = "twice"

    def __init__(self, spellings: int = 1, wanted: bool = False, **goal: object) -> None:
        super().__init__(replace(FEWEST_MACS, **goal))
        self.spellings, self.wanted = spellings, wanted

    def options(self, node: ir.Node) -> list[Proposal]:
        before = node.inputs[0].producer()
        if node.op_type != "Relu" or before is None or before.op_type != "Relu":
            return []
        if node.name == "refused":
            raise RefusedError("its name forbids it")
        return [self._spelled(node, before, k) for k in range(self.spellings)]

    def _spelled(self, node: ir.Node, before: ir.Node, extra: int) -> Proposal:
        sketch, shape = Sketch(node), fixed_shape(node.outputs[0])
        value = sketch.put("Relu", [before.inputs[0]], shape)
        for k in range(extra):
            one = sketch.weight("one", np.ones((2, 1, 1), np.float32))
            value = sketch.put("Mul", [value, one], shape, f".{k}")
        alone = len(before.outputs[0].uses()) == 1 and not before.outputs[0].is_graph_output()
        old = (before, node) if alone else (node,)
        stands_for = ((node.outputs[0], value),)
        return Proposal(old, tuple(sketch.nodes), stands_for, f"{extra} Mul", self.wanted)


def test_a_site_is_written_and_may_be_a_site_again() -> None:
    after, changes = rewritten(Twice(), parsed(ROW), x=X)
    assert operators(after) == ["Relu"]
    assert changes == ["second: 0 Mul", "third: 0 Mul"]  # the last one reads what was written


def test_a_site_may_end_in_what_was_written() -> None:
    """Asked from the end, each answer is a new site for the next node."""
    body = ROW.replace("[second]", "[refused]")
    after, changes = rewritten(Twice(), parsed(body), x=X)
    assert operators(after) == ["Relu"]
    assert changes == ["third: 0 Mul", "third: 0 Mul"]


def test_what_others_read_stays() -> None:
    body = ROW.replace("=> (", "=> (float[1,2,4,4] a, ")
    after, changes = rewritten(Twice(), parsed(body), x=X)
    assert [n.name for n in after.graph.node] == ["first", "third"]
    assert changes == ["third: 0 Mul"]


def test_results_keep_their_names_and_nodes_take_over_those_of_the_old() -> None:
    body = "g (float[1,2,4,4] x) => (float[1,2,4,4] y) { [p] a = Relu(x) [q] y = Relu(a) }"
    after, _ = rewritten(Twice(), parsed(body), x=X)
    assert [o.name for o in after.graph.output] == ["y"]
    assert [n.name for n in after.graph.node] == ["q"]
    assert stamps(after) == {"q": "twice"}


@pytest.mark.parametrize(("spellings", "wanted", "left"), [(3, False, 1), (3, True, 1)])
def test_the_cheapest_is_taken(spellings: int, wanted: bool, left: int) -> None:
    body = "g (float[1,2,4,4] x) => (float[1,2,4,4] y) { [p] a = Relu(x) [q] y = Relu(a) }"
    after, _ = rewritten(Twice(spellings, wanted), parsed(body), x=X)
    assert len(after.graph.node) == left


def test_a_dearer_one_is_not_and_says_so() -> None:
    step = Twice(
        price=lambda nodes: 0.001 * sum(n.op_type == "Relu" and not n.graph for n in nodes)
    )
    after, (record,) = run_pipeline(parsed(ROW), [Step(step, "why")], {"x": X})
    assert operators(after) == ["Relu", "Relu", "Relu"]
    assert record.changes == ()
    assert "0 Mul would cost 1 ms instead of 0 ms" in record.notes[0]


def test_an_equal_price_changes_nothing() -> None:
    after, changes = rewritten(Twice(price=lambda nodes: 1.0), parsed(ROW), x=X)
    assert changes == []
    assert len(after.graph.node) == 3


def test_what_the_target_refuses_is_passed_over() -> None:
    """Of two spellings the target takes only the one with a Mul."""

    def refusal(old: list[ir.Node], new: list[ir.Node]) -> str:
        return "" if len(new) > 1 else "no lone Relu"

    body = "g (float[1,2,4,4] x) => (float[1,2,4,4] y) { a = Relu(x) b = Relu(a) y = Neg(b) }"
    step = Twice(2, refusal=refusal, price=lambda nodes: sum(n.op_type == "Relu" for n in nodes))
    after, _ = rewritten(step, parsed(body), x=X)
    assert operators(after) == ["Relu", "Mul", "Neg"]


def test_when_all_are_refused_the_note_says_why() -> None:
    step = Twice(refusal=lambda old, new: "AX104 Relu", name="a small chip")
    after, (record,) = run_pipeline(parsed(ROW), [Step(step, "why")], {"x": X})
    assert len(after.graph.node) == 3
    assert record.notes[0] == "second stays: a small chip refuses it: AX104 Relu"


def test_a_wish_is_granted_whatever_it_costs() -> None:
    step = Twice(wanted=True, refusal=lambda old, new: "never", price=lambda nodes: -len(nodes))
    after, _ = rewritten(step, parsed(ROW), x=X)
    assert operators(after) == ["Relu"]


def refusing(*lengths: int) -> Callable[[Nodes, Nodes], str]:
    """No spelling of so many nodes."""
    return lambda old, new: f"{len(new)} nodes" if len(new) in lengths else ""


@pytest.mark.parametrize(
    ("refused", "muls"),
    [((), 2), ((3,), 1), ((2, 3), 0), ((1, 2), 2), ((1, 2, 3), 0)],
    ids=["none", "the cheapest", "all but the first", "all but the last", "all"],
)
def test_of_wishes_the_cheapest_is_granted_that_the_target_takes(
    refused: tuple[int, ...], muls: int
) -> None:
    """The longer the cheaper, all dearer than the old nodes; the first, if none is taken."""
    price = partial(_longer_is_cheaper, dearer=10.0)
    after, _ = rewritten(Twice(3, True, refusal=refusing(*refused), price=price), TWO, x=X)
    assert operators(after) == ["Relu", *muls * ["Mul"]]


@pytest.mark.parametrize("wanted", [False, True])
def test_of_equal_prices_the_first_is_taken(wanted: bool) -> None:
    step = Twice(3, wanted, price=lambda nodes: float(nodes[0].graph is not None))
    after, changes = rewritten(step, TWO, x=X)
    assert (operators(after), changes) == (["Relu"], ["q: 0 Mul"])
    step.goal = replace(step.goal, refusal=refusing(1))
    assert applied(step, TWO)[1] == ["q: 1 Mul"]


def _longer_is_cheaper(nodes: Nodes, dearer: float) -> float:
    return -len(nodes) + dearer * (nodes[0].graph is None)


def test_where_the_algebra_does_not_hold() -> None:
    body = ROW.replace("[third]", "[refused]")
    after, (record,) = run_pipeline(parsed(body), [Step(Twice(), "why")], {"x": X})
    assert operators(after) == ["Relu", "Relu"]
    assert record.notes == ("refused stays: its name forbids it",)


def test_names_of_new_weights_are_free() -> None:
    step = Twice(2, refusal=lambda old, new: "" if len(new) > 1 else "no")
    body = """g (float[1,2,4,4] x) => (float[1,2,4,4] y) {
        [q] a = Relu(x)
        [p] b = Relu(a)
        y = Mul(b, k)
    }"""
    model = parsed(body, k=rng(2, 1, 1))
    model.graph.initializer[0].name = model.graph.node[2].input[1] = "p.one"
    step.goal = replace(step.goal, price=lambda nodes: sum(n.op_type == "Relu" for n in nodes))
    after, _ = rewritten(step, model, x=X)
    onnx.checker.check_model(after)
    assert len({t.name for t in after.graph.initializer}) == 2


def test_what_is_left_is_found() -> None:
    class Forgetful(Twice):
        def apply(self, model: ir.Model) -> list[str]:
            return []

    with pytest.raises(ModelError, match="twice: second was left as it was"):
        rewritten(Forgetful(), parsed(ROW), x=X)


def test_a_sketch_types_its_values_as_the_first_input() -> None:
    model = ir.from_proto(parsed(ROW))
    node = model.graph[0]
    left, right = Sketch(node).split("Split", [node.inputs[0]], [(1, 1, 4, 4), (1, 1, 4, 4)])
    assert left.dtype == ir.DataType.FLOAT
    assert fixed_shape(right) == (1, 1, 4, 4)
    assert left.producer().graph is None


def test_a_shape_that_is_open_is_no_shape() -> None:
    assert fixed_shape(None) is None
    assert fixed_shape(ir.val("x")) is None
    assert fixed_shape(ir.val("x", shape=["N", 3])) is None
    assert fixed_shape(ir.val("x", shape=[1, 3])) == (1, 3)


def test_a_node_without_a_name_is_called_by_what_it_writes() -> None:
    model = ir.from_proto(parsed(ROW.replace("[first]", "")))
    assert title(model.graph[0]) == "Relu -> a"


def test_what_is_not_taken_reads_nothing() -> None:
    """Else a value would have readers that are in no graph, and never be unused."""
    model = loaded(parsed(ROW))
    for step in (Twice(3, price=lambda nodes: 1.0), Twice(refusal=lambda old, new: "no")):
        step.apply(model)
        step.ensures(model)
        values = [*model.graph.inputs, *(v for node in model.graph for v in node.outputs)]
        assert all(use.node.graph is model.graph for v in values for use in v.uses())
