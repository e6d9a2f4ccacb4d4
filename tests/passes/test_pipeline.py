from __future__ import annotations

import json

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from avatar_export.errors import ModelError, ParityError
from avatar_export.passes.base import Pass, add_initializer
from avatar_export.passes.bind_inputs import BindInputs
from avatar_export.passes.fold_adaptive import FoldAdaptive
from avatar_export.passes.fold_batch_norm import FoldBatchNorm
from avatar_export.passes.goal import Goal
from avatar_export.passes.pipeline import TOLERANCE, Step, _worst, run_pipeline
from tests.passes.models import initializers, operators, parsed, rng

BODY = """g (float[1,3,4,4] x, float[2,1,1] k) => (float[1,2,4,4] y, bool[1,2,4,4] b) {
    c = Conv(x, w)
    y = Mul(c, k)
    b = Greater(y, z)
}"""
INPUTS = {"x": rng(1, 3, 4, 4), "k": rng(2, 1, 1, seed=1)}


@pytest.fixture
def proto() -> onnx.ModelProto:
    return parsed(BODY, w=rng(2, 3, 1, 1), z=0.0)


class Weights(Pass):
    """Multiplies the weights: right only for a factor of one."""

    name = "weights"

    def __init__(self, factor: float, admits: bool = True) -> None:
        self.factor, self.admits = np.float32(factor), admits

    def apply(self, model: ir.Model) -> list[str]:
        node = model.graph[0]
        weight = node.inputs[1].const_value.numpy()
        scaled = weight * weight.dtype.type(self.factor)
        node.replace_input_with(1, add_initializer(model, "scaled", scaled))
        return ["changed the weights"] if self.admits else []


class Outputs(Pass):
    """Does something to the first output."""

    name = "outputs"

    def __init__(self, change: str) -> None:
        self.change = change

    def apply(self, model: ir.Model) -> list[str]:
        output = model.graph.outputs[0]
        if self.change == "rename":
            output.name = "other"
        elif self.change == "drop":
            model.graph.outputs.pop(0)
        else:
            self._widen(model)
        return [self.change]

    def _widen(self, model: ir.Model) -> None:
        """Another shape whose numbers are those of the first, broadcast."""
        old = model.graph.outputs[0]
        old.name, axes = "before", add_initializer(model, "axes", np.array([0]))
        node = ir.node("Unsqueeze", [old, axes])
        node.outputs[0].name = "y"
        node.outputs[0].type, node.outputs[0].shape = old.type, ir.Shape([1, 1, 2, 4, 4])
        model.graph.append(node)
        model.graph.outputs[0] = node.outputs[0]


class Picky(Pass):
    name = "picky"

    def __init__(self, refuses: str) -> None:
        self.refuses, self.calls = refuses, list[str]()

    def requires(self, model: ir.Model) -> None:
        self._say("requires")

    def apply(self, model: ir.Model) -> list[str]:
        self.calls.append("apply")
        return []

    def ensures(self, model: ir.Model) -> None:
        self._say("ensures")

    def _say(self, moment: str) -> None:
        self.calls.append(moment)
        if moment == self.refuses:
            raise ModelError(f"picky: {moment}")


def test_passes_run_in_order_and_are_recorded(proto: onnx.ModelProto) -> None:
    steps = [
        Step(BindInputs({"k": INPUTS["k"]}), "first"),
        Step(FoldAdaptive(), "second"),
        Step(FoldAdaptive(), "third"),
    ]
    after, (bound, folded, idle) = run_pipeline(proto, steps, INPUTS)
    onnx.checker.check_model(after, full_check=True)
    assert operators(after) == ["Conv", "Greater"]
    assert [v.name for v in after.graph.input] == ["x"]
    assert (bound.name, bound.why) == ("bind-inputs", "first")
    assert bound.changes == ("1 inputs (2 numbers) became constants",)
    assert (folded.name, folded.why, len(folded.changes)) == ("fold-adaptive", "second", 1)
    assert (bound.nodes_before, bound.nodes_after) == (3, 3)
    assert (folded.nodes_before, folded.nodes_after) == (3, 2)
    assert (idle.nodes_before, idle.nodes_after, idle.changes) == (2, 2, ())
    macs = 2 * 4 * 4 * 3
    counts = [(record.macs_before, record.macs_after) for record in (bound, folded, idle)]
    assert counts == [(macs, macs)] * 3
    assert idle.worst == 0
    assert all(0 <= record.worst <= TOLERANCE for record in (bound, folded))


def test_the_model_given_is_not_modified(proto: onnx.ModelProto) -> None:
    before = proto.SerializeToString(deterministic=True)
    steps = [Step(BindInputs({"k": INPUTS["k"]}), ""), Step(FoldAdaptive(), "")]
    run_pipeline(proto, steps, INPUTS)
    assert proto.SerializeToString(deterministic=True) == before


def test_a_record_goes_into_a_manifest(proto: onnx.ModelProto) -> None:
    _, (record,) = run_pipeline(proto, [Step(Weights(1.0), "why")], INPUTS)
    written = json.loads(json.dumps(record.to_dict()))
    assert written == {
        "name": "weights",
        "why": "why",
        "changes": ["changed the weights"],
        "nodes_before": 3,
        "nodes_after": 3,
        "macs_before": 96,
        "macs_after": 96,
        "worst": 0.0,
        "notes": [],
        "seconds_before": None,
        "seconds_after": None,
    }


def test_no_steps(proto: onnx.ModelProto) -> None:
    after, records = run_pipeline(proto, [], INPUTS)
    assert records == []
    assert operators(after) == operators(proto)


@pytest.mark.parametrize("factor", [1.001, 1 + 3e-5, -1.0, np.nan, np.inf])
def test_a_wrong_pass_is_named(proto: onnx.ModelProto, factor: float) -> None:
    steps = [Step(FoldAdaptive(), ""), Step(Weights(factor), ""), Step(Picky("requires"), "")]
    with pytest.raises(ParityError, match="after pass weights the result differs") as caught:
        run_pipeline(proto, steps, INPUTS)
    assert "bug" in caught.value.hint


@pytest.mark.parametrize("factor", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_no_rounding(factor: float) -> None:
    """Not a number compares as neither larger nor smaller than any tolerance."""
    body = "g (float[1,3,4,4] x) => (float[1,2,4,4] y) { y = Conv(x, w) }"
    with pytest.raises(ParityError, match="by inf of its range"):
        run_pipeline(
            parsed(body, w=rng(2, 3, 1, 1)), [Step(Weights(factor), "")], {"x": INPUTS["x"]}
        )


def test_rounding_is_no_error(proto: onnx.ModelProto) -> None:
    _, (record,) = run_pipeline(proto, [Step(Weights(1 + 3e-6), "")], INPUTS)
    assert 0 < record.worst <= TOLERANCE


@pytest.mark.parametrize(("gain", "admitted"), [(3e3, True), (1e5, False)])
def test_a_network_that_magnifies_rounding(gain: float, admitted: bool) -> None:
    """What the last bit of an input does, a pass may do; but nothing that would be seen."""
    body = "g (float[1,3,4,4] x) => (float[1,2,4,4] y) { c = Conv(x, w) m = Mul(c, k) y = Sin(m) }"
    proto, feeds = parsed(body, w=rng(2, 3, 1, 1), k=gain), {"x": INPUTS["x"]}
    steps = [Step(Weights(1 + 3e-7), "")]
    if admitted:
        _, (record,) = run_pipeline(proto, steps, feeds)
        assert record.worst > TOLERANCE
    else:
        with pytest.raises(ParityError):
            run_pipeline(proto, steps, feeds)


def test_the_difference_is_relative_to_the_range_of_an_output() -> None:
    """Small numbers are held to the same standard as large ones."""
    body = "g (float[1,3,4,4] x) => (float[1,2,4,4] y) { y = Conv(x, w) }"
    proto = parsed(body, w=rng(2, 3, 1, 1) * 1e-6)
    feeds = {"x": INPUTS["x"]}
    with pytest.raises(ParityError):
        run_pipeline(proto, [Step(Weights(1.001), "")], feeds)
    large = parsed(body, w=rng(2, 3, 1, 1) * 1e6)
    run_pipeline(large, [Step(Weights(1 + 3e-6), "")], feeds)


def test_every_output_counts(proto: onnx.ModelProto) -> None:
    """A right first output does not hide a wrong second one, which here is no float."""
    with pytest.raises(ParityError):
        run_pipeline(proto, [Step(Swap(), "")], INPUTS)


class Swap(Pass):
    name = "swap"

    def apply(self, model: ir.Model) -> list[str]:
        node = model.graph[-1]
        y, z = node.inputs
        node.replace_input_with(0, z)
        node.replace_input_with(1, y)
        return ["swapped"]


@pytest.mark.parametrize("change", ["rename", "drop", "another shape"])
def test_outputs_that_are_not_the_same(proto: onnx.ModelProto, change: str) -> None:
    with pytest.raises(ParityError, match="pass outputs"):
        run_pipeline(proto, [Step(Outputs(change), "")], INPUTS)


@pytest.mark.parametrize(
    ("moment", "calls"),
    [("requires", ["requires"]), ("ensures", ["requires", "apply", "ensures"])],
)
def test_a_pass_is_checked_before_and_after(
    proto: onnx.ModelProto, moment: str, calls: list[str]
) -> None:
    picky = Picky(moment)
    with pytest.raises(ModelError, match=f"picky: {moment}"):
        run_pipeline(proto, [Step(picky, "")], INPUTS)
    assert picky.calls == calls


def test_a_draft_is_not_run(proto: onnx.ModelProto) -> None:
    after, (record,) = run_pipeline(proto, [Step(Weights(2.0), "")], {}, verify=False)
    np.testing.assert_array_equal(initializers(after)["scaled"], 2 * rng(2, 3, 1, 1))
    assert record.changes == ("changed the weights",)
    assert record.worst == 0


def test_shapes_are_inferred_after_a_change(proto: onnx.ModelProto) -> None:
    """The next pass, and the count of multiply-adds, read them."""
    after, records = run_pipeline(proto, [Step(Shapeless(), "")], INPUTS)
    assert records[0].macs_after == 96
    assert {v.name for v in after.graph.value_info} >= {"c"}


class Shapeless(Pass):
    name = "shapeless"

    def apply(self, model: ir.Model) -> list[str]:
        model.graph[0].outputs[0].shape = None
        return ["forgot a shape"]


def test_equal_infinities_are_no_difference() -> None:
    found = {"y": np.array([-np.inf, 1.0], np.float32)}
    assert _worst(found, {"y": np.array([-np.inf, 2.0], np.float32)}) == pytest.approx(0.5)
    assert _worst(found, {"y": np.array([np.inf, 1.0], np.float32)}) == np.inf
    assert _worst(found, {"y": np.array([1.0, 1.0], np.float32)}) == np.inf


class Longer(Pass):
    """Adds a node that does nothing."""

    name = "longer"

    def apply(self, model: ir.Model) -> list[str]:
        first = model.graph[0]
        node = ir.node("Identity", [first.inputs[0]])
        node.outputs[0].name = "same"
        model.graph.insert_before(first, node)
        first.replace_input_with(0, node.outputs[0])
        return ["one node more"]


def test_a_guarded_pass_that_makes_it_dearer_is_taken_back(proto: onnx.ModelProto) -> None:
    after, (record,) = run_pipeline(proto, [Step(Longer(), "why", guarded=True)], INPUTS)
    assert operators(after) == operators(proto)
    assert record.changes == ()
    assert (record.nodes_before, record.nodes_after) == (3, 3)
    assert record.notes[0].startswith("taken back: ")
    assert "(fewest multiply-adds)" in record.notes[0]


def test_a_guarded_pass_that_costs_the_same_stays(proto: onnx.ModelProto) -> None:
    free = Goal("all is free", lambda nodes: 0.0)
    step = Step(Longer(), "why", guarded=True)
    after, (record,) = run_pipeline(proto, [step], INPUTS, goal=free)
    assert record.changes == ("one node more",)
    assert len(after.graph.node) == 4


def test_the_goal_prices_the_model_before_and_after(proto: onnx.ModelProto) -> None:
    goal = Goal("a second a node", lambda nodes: float(len(nodes)))
    _, (record,) = run_pipeline(proto, [Step(Longer(), "why")], INPUTS, goal=goal)
    assert (record.seconds_before, record.seconds_after) == (3.0, 4.0)


HALF = """g (float16[1,8,8,8] x) => (float16[1,8,8,8] y) {
    c = Conv<pads = [1,1,1,1]>(x, w)
    y = BatchNormalization(c, g, b, m, v)
}"""


def test_half_precision_rounds_where_its_weights_are_folded() -> None:
    """A fold in half precision changes the last bits, and a wrong one changes more."""
    weights = {name: rng(8, seed=k).astype(np.float16) for k, name in enumerate("gbm")}
    weights |= {"w": rng(8, 8, 3, 3).astype(np.float16), "v": np.ones(8, np.float16)}
    model, inputs = parsed(HALF, **weights), {"x": rng(1, 8, 8, 8).astype(np.float16)}
    after, (record,) = run_pipeline(model, [Step(FoldBatchNorm(), "why")], inputs)
    assert operators(after) == ["Conv"]
    assert TOLERANCE < record.worst < 1e-2
    with pytest.raises(ParityError):
        run_pipeline(model, [Step(Weights(1.1), "why")], inputs)


def test_half_precision_rounds_where_the_inputs_do_not_matter() -> None:
    body = HALF.replace("c = Conv", "z = Sub(x, x) c = Conv").replace("(x, w)", "(z, w, g)")
    weights = {name: rng(8, seed=k).astype(np.float16) for k, name in enumerate("gbm")}
    weights |= {"w": rng(8, 8, 3, 3).astype(np.float16), "v": np.full(8, 0.7, np.float16)}
    inputs = {"x": rng(1, 8, 8, 8).astype(np.float16)}
    _, (record,) = run_pipeline(parsed(body, **weights), [Step(FoldBatchNorm(), "why")], inputs)
    assert TOLERANCE < record.worst < 1e-3
