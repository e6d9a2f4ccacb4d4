from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from avatar_export.errors import ModelError
from avatar_export.passes.lower_opset import (
    _INPUT_TO_ATTRIBUTE,
    LowerOpset,
)
from avatar_export.precision.runner import run_onnx
from tests.passes.lowered import IN, OUT, X, body, held, ints, version
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

# Inputs that were attributes: operator, set of the model, nodes, constants, attributes at set 9.
RESPELLED: list[tuple[str, int, str, dict[str, object], dict[str, object]]] = [
    ("Squeeze", 13, "t = Unsqueeze(x, u) z = Squeeze(t, a)", {"u": 0, "a": 0}, {"axes": [0]}),
    ("Unsqueeze", 13, "z = Unsqueeze(x, a)", {"a": [0, 3]}, {"axes": [0, 3]}),
    ("ReduceSum", 13, "z = ReduceSum<keepdims = 0>(x, a)", {"a": 1}, {"axes": [1]}),
    ("ReduceMean", 18, "z = ReduceMean(x, a)", {"a": [2, 3]}, {"axes": [2, 3]}),
    ("ReduceMax", 18, "z = ReduceMax(x, a)", {"a": 1}, {"axes": [1]}),
    ("ReduceMin", 18, "z = ReduceMin(x, a)", {"a": 1}, {"axes": [1]}),
    ("Split", 13, "z, q = Split<axis = 1>(x, a)", {"a": [1, 3]}, {"split": [1, 3]}),
    (
        "Pad",
        16,
        "z = Pad(x, a, b)",
        {"a": [0, 0, 1, 2, 0, 0, 0, 3], "b": np.float32(0.5)},
        {"pads": [0, 0, 1, 2, 0, 0, 0, 3], "value": 0.5},
    ),
    (
        "Clip",
        16,
        "z = Clip(x, a, b)",
        {"a": np.float32(-0.5), "b": np.float32(0.75)},
        {"min": -0.5, "max": 0.75},
    ),
    (
        "Slice",
        16,
        "z = Slice(x, a, b, c)",
        {"a": [1, 2], "b": [3, 5], "c": [1, 3]},
        {"starts": [1, 2], "ends": [3, 5], "axes": [1, 3]},
    ),
]


def integers(constants: dict[str, object]) -> dict[str, np.ndarray]:
    """Python numbers as int64 vectors, arrays as they are."""
    return {
        name: numbers if isinstance(numbers, np.ndarray | np.generic) else np.atleast_1d(numbers)
        for name, numbers in constants.items()
    }


def with_result(
    nodes: str, opset: int, constants: dict[str, np.ndarray], inputs: str = IN
) -> onnx.ModelProto:
    """A model whose output z has the rank that it has in ONNX Runtime."""
    names = {value.name for value in parsed(body("", inputs, "float z")).graph.input}
    feeds = {"x": X} | {name: array for name, array in constants.items() if name in names}
    weights = {name: array for name, array in constants.items() if name not in names}
    model = parsed(body(nodes, inputs, "float z"), opset, **weights)
    model.graph.output[0].type.tensor_type.ClearField("shape")
    rank = run_onnx(model, feeds)["z"].ndim
    free = ",".join("ABCDEF"[:rank])
    return parsed(body(nodes, inputs, f"float[{free}] z"), opset, **weights)


def of(model: onnx.ModelProto, operator: str) -> onnx.NodeProto:
    return next(node for node in model.graph.node if node.op_type == operator)


def test_the_rows_below_are_those_of_the_table() -> None:
    assert [row[0] for row in RESPELLED] == list(_INPUT_TO_ATTRIBUTE)


@pytest.mark.parametrize("row", RESPELLED, ids=lambda row: row[0])
def test_an_input_becomes_the_attribute_it_was(row) -> None:
    operator, opset, nodes, constants, expected = row
    model = with_result(nodes, opset, integers(constants))
    after, changes = rewritten(LowerOpset(9), model, x=X)
    assert version(after) == 9
    node = of(after, operator)
    assert len(node.input) == 1
    assert {k: v for k, v in attributes(node).items() if k not in ("axis", "keepdims")} == expected
    assert changes[0] == f"operator set {opset} became 9"
    assert not initializers(after)


@pytest.mark.parametrize("row", RESPELLED, ids=lambda row: row[0])
def test_the_input_stays_where_the_target_has_it(row) -> None:
    operator, opset, nodes, constants, _ = row
    first = _INPUT_TO_ATTRIBUTE[operator][0]
    model = with_result(nodes, max(opset, first + 1), integers(constants))
    after, _ = rewritten(LowerOpset(first), model, x=X)
    assert version(after) == first
    assert list(of(after, operator).input) == list(of(model, operator).input)


@pytest.mark.parametrize("row", RESPELLED, ids=lambda row: row[0])
def test_a_computed_input_holds_the_model(row) -> None:
    operator, opset, nodes, constants, _ = row
    first, slots = _INPUT_TO_ATTRIBUTE[operator]
    arrays = integers(constants)
    fed = of(with_result(nodes, opset, arrays), operator).input[min(slots)]
    array = np.asarray(arrays[fed])
    kind = "float" if array.dtype == np.float32 else "int64"
    shape = "" if array.ndim == 0 else f"[{array.size}]"
    inputs = f"{IN}, {kind}{shape} {fed}"
    model = with_result(nodes, max(opset, first + 1), arrays, inputs)
    line = held(model, 9, first, x=X, **{fed: array})
    assert f"its input {slots[min(slots)]} is computed, not constant" in line


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ("y = Clip(x)", {}),
        ('y = Clip(x, "", k)', {"max": 0.5}),
        ("y = Clip(x, k)", {"min": 0.5}),
    ],
)
def test_bounds_may_be_left_out(nodes: str, expected: dict[str, object]) -> None:
    after, _ = rewritten(LowerOpset(9), parsed(body(nodes), 13, k=np.float32(0.5)), x=X)
    assert attributes(after.graph.node[0]) == expected


def test_an_even_split_needs_no_sizes() -> None:
    text = body("y, z = Split<axis = 1>(x)", outputs=f"{OUT}, float[A,B,C,D] z")
    after, _ = rewritten(LowerOpset(9), parsed(text, 13), x=X)
    assert attributes(after.graph.node[0]) == {"axis": 1}


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge"])
def test_pads_keep_their_mode(mode: str) -> None:
    text = body(f'y = Pad<mode = "{mode}">(x, p)')
    after, _ = rewritten(LowerOpset(10), parsed(text, 11, p=ints(0, 0, 1, 2, 0, 0, 3, 1)), x=X)
    assert attributes(after.graph.node[0])["mode"] == mode.encode()


# Slices

LARGEST = 2**63 - 1


@pytest.mark.parametrize(
    ("starts", "ends", "axes"),
    [
        ((0,), (LARGEST,), (3,)),
        ((-3,), (LARGEST,), (2,)),
        ((-5,), (-1,), (3,)),
        ((1, -4), (-1, LARGEST), (1, 3)),
        ((2,), (100,), (-1,)),
        ((-100,), (3,), (-2,)),
    ],
)
def test_negative_and_open_ends(
    starts: tuple[int, ...], ends: tuple[int, ...], axes: tuple[int, ...]
) -> None:
    constants = {"s": ints(*starts), "e": ints(*ends), "a": ints(*axes)}
    after, _ = rewritten(LowerOpset(9), parsed(body("y = Slice(x, s, e, a)"), **constants), x=X)
    found = attributes(after.graph.node[0])
    assert found["starts"] == list(starts)
    assert found["ends"] == [min(end, 2**31 - 1) for end in ends]
    assert found["axes"] == [axis % 4 for axis in axes]


def test_a_slice_without_axes() -> None:
    model = parsed(body("y = Slice(x, s, e)"), s=ints(0, 1), e=ints(1, 3))
    after, _ = rewritten(LowerOpset(9), model, x=X)
    assert "axes" not in attributes(after.graph.node[0])


STEPPED = body("[cut] y = Slice(x, s, e, a, k)")


def test_steps_of_one_are_dropped() -> None:
    constants = {"s": ints(1), "e": ints(5), "a": ints(2), "k": ints(1)}
    after, _ = rewritten(LowerOpset(9), parsed(STEPPED, **constants), x=X)
    assert len(after.graph.node[0].input) == 1


@pytest.mark.parametrize(("step", "start", "end"), [(2, 0, 6), (-1, 5, 0), (-2, -1, -LARGEST)])
def test_other_steps_hold_the_model_at_10(step: int, start: int, end: int) -> None:
    constants = {"s": ints(start), "e": ints(end), "a": ints(2), "k": ints(step)}
    line = held(parsed(STEPPED, **constants), 9, 10)
    assert line == (
        "operator set 13 became 10 (lower-opset: Slice cut cannot go to operator set 9: "
        "set 9 has no steps other than 1)"
    )


def test_computed_steps_hold_the_model_at_10() -> None:
    constants = {"s": ints(0), "e": ints(6), "a": ints(2)}
    model = parsed(STEPPED.replace(IN, f"{IN}, int64[1] k"), **constants)
    assert "steps" in held(model, 9, 10, x=X, k=ints(2))


# Axes


@pytest.mark.parametrize("operator", ["Softmax", "LogSoftmax", "Hardmax"])
@pytest.mark.parametrize("axis", ["", "<axis = -1>", "<axis = 3>"])
@pytest.mark.parametrize("target", [9, 11])
def test_the_last_axis_of_a_softmax_is_written_out(operator: str, axis: str, target: int) -> None:
    model = parsed(body(f"[n] y = {operator}{axis}(x)"))
    after, changes = rewritten(LowerOpset(target), model, x=X)
    assert version(after) == target
    assert attributes(after.graph.node[0]) == {"axis": 3}
    assert changes[1:] == [f"n: {operator} respelled"]


@pytest.mark.parametrize("axis", [0, 1, -2])
def test_another_axis_of_a_softmax_holds_the_model_at_13(axis: int) -> None:
    model = parsed(body(f"y = Softmax<axis = {axis}>(x)"), 14)
    assert "its axis is not the last one" in held(model, 9, 13)


def test_a_softmax_of_unknown_rank_holds_the_model_at_13() -> None:
    line = held(unranked("y = Softmax(t)", 14), 9, 13, x=X, s=ints(*X.shape))
    assert "its rank is unknown" in line


def unranked(node: str, opset: int = 13) -> onnx.ModelProto:
    """The node with an input t of a rank that only the feeds decide."""
    return parsed(body(f"t = Reshape(x, s) {node}", f"{IN}, int64[N] s"), opset)


@pytest.mark.parametrize("axis", ["", "<axis = 2>", "<axis = 1>"])
def test_a_softmax_that_is_old_already_keeps_its_axis(axis: str) -> None:
    model = parsed(body(f"y = Softmax{axis}(x)"), 12)
    after, _ = rewritten(LowerOpset(9), model, x=X)
    assert version(after) == 9
    assert attributes(after.graph.node[0]) == attributes(model.graph.node[0])


@pytest.mark.parametrize(
    ("node", "constants", "expected"),
    [
        ("Concat<axis = -3>(x, x)", {}, {"axis": 1}),
        ("Flatten<axis = -2>(x)", {}, {"axis": 2}),
        ("Gather<axis = -1>(x, a)", {"a": ints(0, 2)}, {"axis": 3}),
        ("ReduceMean<axes = [-1, 1], keepdims = 0>(x)", {}, {"axes": [3, 1], "keepdims": 0}),
        ("ReduceSum(x, a)", {"a": ints(-2)}, {"axes": [2]}),
        ("Unsqueeze(x, a)", {"a": ints(-1, 0)}, {"axes": [5, 0]}),
    ],
    ids=lambda value: value.split("<")[0].split("(")[0] if isinstance(value, str) else "",
)
def test_axes_are_counted_from_the_front_below_11(node: str, constants, expected) -> None:
    model = with_result(f"z = {node}", 13, constants)
    after, _ = rewritten(LowerOpset(10), model, x=X)
    assert version(after) == 10
    assert attributes(after.graph.node[0]) == expected


def test_axes_from_the_back_stay_from_11_on() -> None:
    after, _ = rewritten(LowerOpset(11), parsed(body("y = Concat<axis = -3>(x, x)")), x=X)
    assert attributes(after.graph.node[0]) == {"axis": -3}


def test_the_axis_of_onehot_counts_in_its_output() -> None:
    """It may be negative in every set, and -1 is no axis of the indices."""
    text = body("y = OneHot<axis = -1>(i, d, v)", "int64[2,3] i", "float[A,B,C] y")
    model = parsed(text, d=np.array(4), v=[0.0, 1.0])
    indices = np.array([[0, 1, 2], [3, 2, 1]])
    after, _ = rewritten(LowerOpset(9), model, i=indices)
    assert attributes(after.graph.node[0]) == {"axis": -1}


def test_axes_from_the_back_of_an_unknown_rank_hold_the_model_at_11() -> None:
    line = held(unranked("y = Concat<axis = -1>(t, t)"), 9, 11, x=X, s=ints(*X.shape))
    assert "unknown rank" in line


# What else holds a model, and what never happens

GRID = body("[warp] y = GridSample(x, p)", f"{IN}, float[2,6,8,2] p")


def test_an_operator_without_an_older_spelling_holds_the_model() -> None:
    line = held(parsed(GRID, 17), 9, 16, x=X, p=rng(2, 6, 8, 2))
    assert line == (
        "operator set 17 became 16 (lower-opset: GridSample warp cannot go to operator set 15: "
        "the operator is newer than set 15)"
    )


def test_a_model_that_cannot_move_is_kept_and_says_why() -> None:
    model = parsed(GRID, 16)
    after, changes = rewritten(LowerOpset(9), model, x=X, p=rng(2, 6, 8, 2))
    assert after == ir.to_proto(loaded(model))
    (line,) = changes
    assert line.startswith("operator set 16 kept: lower-opset: GridSample warp")


def test_what_holds_one_node_leaves_the_others_in_the_held_spelling() -> None:
    """Steps hold at 10: the Resize becomes that of set 10, not an Upsample."""
    nodes = 't = Resize(x, "", r) y = Slice(t, s, e, a, k)'
    constants = {
        "s": ints(0),
        "e": ints(6),
        "a": ints(2),
        "k": ints(2),
        "r": np.float32([1, 1, 2, 2]),
    }
    after, _ = rewritten(LowerOpset(9), parsed(body(nodes), **constants), x=X)
    assert (version(after), operators(after)) == (10, ["Resize", "Slice"])


def test_another_domain_holds_the_model() -> None:
    model = parsed(body("[n] r = Relu(x) [own] y = custom.Foo(r)"))
    step, before = LowerOpset(9), loaded(model)
    changes = step.apply(before)
    assert before.opset_imports[""] == 13
    assert "custom" in changes[0]


def test_a_subgraph_holds_the_model() -> None:
    """Its nodes would need the same care."""
    branch = "then_branch = t () => (float[2,4,6,8] p) { p = Softmax<axis = 1>(x) }"
    other = "else_branch = e () => (float[2,4,6,8] q) { q = Neg(x) }"
    model = parsed(body(f"y = If (b) <{branch}, {other}>", f"{IN}, bool b"))
    assert "it holds a subgraph" in held(model, 9, 13, x=X, b=np.bool_(True))


@pytest.mark.parametrize("wanted", [9, 11, 17])
def test_the_version_is_never_raised(wanted: int) -> None:
    model = parsed(body("y = Relu(x)"), 9)
    after, changes = rewritten(LowerOpset(wanted), model, x=X)
    assert changes == []
    assert version(after) == 9


def test_a_second_run_changes_nothing() -> None:
    nodes = 't = Resize(x, "", r) u = Softmax(t) v = Slice(u, s, e, a) y = Clip(v, l, h)'
    constants = {"s": ints(0), "e": ints(LARGEST), "a": ints(2), "r": np.float32([1, 1, 2, 2])}
    constants |= {"l": np.float32(0.1), "h": np.float32(0.2)}
    once, _ = rewritten(LowerOpset(9), parsed(body(nodes), **constants), x=X)
    twice, changes = rewritten(LowerOpset(9), once, x=X)
    assert changes == []
    assert twice == once


@pytest.mark.parametrize(
    ("before", "target", "after"),
    [(8, 8, 4), (8, 9, 4), (8, 10, 5), (8, 11, 6), (8, 12, 7), (4, 9, 4), (5, 12, 5)],
)
def test_the_ir_version_goes_down_with_the_set(before: int, target: int, after: int) -> None:
    """That of the onnx release which brought the set; never below 4, never up."""
    model, _ = rewritten(LowerOpset(target), parsed(body("y = Relu(x)"), 13, before), x=X)
    assert model.ir_version == after


def test_the_other_domains_keep_their_version() -> None:
    after, _ = rewritten(LowerOpset(9), parsed(body("y = Relu(x)")), x=X)
    assert {x.domain: x.version for x in after.opset_import} == {"": 9, "custom": 1}


def test_a_node_that_needs_no_respelling_is_not_stamped() -> None:
    after, changes = rewritten(LowerOpset(9), parsed(body("[n] y = Relu(x)")), x=X)
    assert changes == ["operator set 13 became 9"]
    assert stamps(after) == {}


def test_one_pass_serves_several_models() -> None:
    step = LowerOpset(9)
    assert version(applied(step, parsed(GRID, 17))[0]) == 16
    assert version(applied(step, parsed(body("y = Relu(x)"), 13))[0]) == 9


def test_an_invalid_result_is_named() -> None:
    model = loaded(parsed(body("[n] y = Relu<alpha = 1.0>(x)")))
    with pytest.raises(ModelError, match=r"lower-opset: .*alpha"):
        LowerOpset(9).ensures(model)


def test_a_type_that_the_older_operator_does_not_take_holds_the_set() -> None:
    nodes = "low = Constant<value = int64 {0}>() y = Clip(x, low)"
    model = parsed(body(nodes, "int64[2,3] x", "int64[2,3] y"), 13)
    reason = held(model, 11, 12, x=np.arange(6, dtype=np.int64).reshape(2, 3) - 3)
    assert "takes no int64" in reason
