"""Lowering: attributes that an older set does not have."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from avatar_export.passes.lower_opset import _NEWER_ATTRIBUTES, LowerOpset
from tests.passes.lowered import OUT, X, body, held, ints, version
from tests.passes.models import applied, attributes, parsed, rewritten, rng, stamps

# Operator -> a use with the harmless value of each row of the table, and one set below its first.
HARMLESS: dict[str, tuple[int, str, int]] = {
    "BatchNormalization": (15, "BatchNormalization<training_mode = 0>(x, k, k, k, v)", 13),
    "Reshape": (14, "Reshape<allowzero = 0>(x, s)", 13),
    "ReduceSum": (13, "ReduceSum<noop_with_empty_axes = 0>(x, a)", 12),
    "ReduceMean": (18, "ReduceMean<noop_with_empty_axes = 0>(x, a)", 17),
    "ReduceMax": (18, "ReduceMax<noop_with_empty_axes = 0>(x, a)", 17),
    "ReduceMin": (18, "ReduceMin<noop_with_empty_axes = 0>(x, a)", 17),
    "Cast": (19, "Cast<saturate = 1, to = 1>(x)", 18),
    "DepthToSpace": (11, 'DepthToSpace<blocksize = 2, mode = "DCR">(x)', 9),
    "ScatterElements": (16, 'ScatterElements<axis = 1, reduction = "none">(x, i, u)', 13),
    "AveragePool": (
        19,
        "AveragePool<ceil_mode = 0, dilations = [1,1], kernel_shape = [2,2]>(x)",
        9,
    ),
    "MaxPool": (
        12,
        "MaxPool<ceil_mode = 0, dilations = [1,1], storage_order = 0, kernel_shape = [2,2]>(x)",
        7,
    ),
}
OPERANDS = {
    "k": rng(4),
    "v": np.float32([1, 2, 3, 4]),
    "s": ints(2, 4, 8, 6),
    "a": ints(1),
    "i": np.zeros((2, 1, 6, 8), np.int64),
    "u": rng(2, 1, 6, 8),
}
# The same with a value that says something, and the set that holds the model.
TELLING: dict[str, tuple[str, str, int]] = {
    "Reshape": ("allowzero = 0", "allowzero = 1", 14),
    "ReduceSum": ("noop_with_empty_axes = 0", "noop_with_empty_axes = 1", 13),
    "ReduceMean": ("noop_with_empty_axes = 0", "noop_with_empty_axes = 1", 18),
    "ReduceMax": ("noop_with_empty_axes = 0", "noop_with_empty_axes = 1", 18),
    "ReduceMin": ("noop_with_empty_axes = 0", "noop_with_empty_axes = 1", 18),
    "DepthToSpace": ('mode = "DCR"', 'mode = "CRD"', 11),
    "ScatterElements": ('reduction = "none"', 'reduction = "add"', 16),
    "AveragePool": ("dilations = [1,1]", "dilations = [2,2]", 19),
    "MaxPool": ("dilations = [1,1]", "dilations = [2,2]", 10),
}


def with_operands(node: str, opset: int) -> onnx.ModelProto:
    """The node with those operands that it names."""
    names = node[node.rindex("(") + 1 : node.rindex(")")].split(", ")
    operands = {name: OPERANDS[name] for name in names if name in OPERANDS}
    ir_version = 9 if opset == 19 else 8
    return parsed(body(f"[n] y = {node}"), opset, ir_version, **operands)


def test_the_rows_above_are_those_of_the_table() -> None:
    assert HARMLESS.keys() == _NEWER_ATTRIBUTES.keys()
    for operator, (_, node, _) in HARMLESS.items():
        assert all(name in node for name in _NEWER_ATTRIBUTES[operator])


@pytest.mark.parametrize("operator", HARMLESS)
def test_a_newer_attribute_is_dropped_where_it_says_nothing(operator: str) -> None:
    opset, node, target = HARMLESS[operator]
    after, changes = rewritten(LowerOpset(target), with_operands(node, opset), x=X)
    assert version(after) == target
    assert not _NEWER_ATTRIBUTES[operator].keys() & attributes(after.graph.node[0]).keys()
    assert changes[1:] == [f"n: {operator} respelled"]
    assert stamps(after) == {"n": "lower-opset"}


@pytest.mark.parametrize("operator", TELLING)
def test_a_newer_attribute_that_says_something_holds_the_model(operator: str) -> None:
    opset, node, _ = HARMLESS[operator]
    harmless, telling, kept = TELLING[operator]
    model = with_operands(node.replace(harmless, telling), max(opset, kept))
    line = held(model, 7, kept)
    assert f"set {kept - 1} has no attribute {telling.split()[0]}" in line


def test_training_mode_holds_the_model() -> None:
    model = with_operands(HARMLESS["BatchNormalization"][1].replace("= 0", "= 1"), 15)
    model.graph.node[0].output.extend(["p", "q"])
    after, changes = applied(LowerOpset(9), model)
    assert version(after) == 14
    assert "no attribute training_mode" in changes[0]


def test_saturation_switched_off_holds_the_model() -> None:
    after, changes = applied(LowerOpset(9), with_operands("Cast<saturate = 0, to = 1>(x)", 19))
    assert version(after) == 19
    assert "set 18 has no attribute saturate" in changes[0]


def test_an_attribute_in_no_table_holds_the_model() -> None:
    """num_outputs of a Split is of set 18; dropping it unseen would be a guess."""
    outputs = f"{OUT}, float[A,B,C,D] z"
    model = parsed(body("y, z = Split<axis = 1, num_outputs = 2>(x)", outputs=outputs), 18)
    assert "set 17 has no attribute num_outputs" in held(model, 9, 18)


def test_an_input_in_no_table_holds_the_model() -> None:
    """Axes of a Pad are of set 18."""
    model = parsed(body('y = Pad(x, p, "", a)'), 18, p=ints(1, 2), a=ints(2))
    assert "set 17 takes 2 to 3 inputs" in held(model, 9, 18)


def test_an_input_that_was_demanded_holds_the_model() -> None:
    """The addend of a Gemm may be left out from set 11 on."""
    model = parsed("g (float[2,4] x) => (float[2,3] y) { y = Gemm(x, w) }", 13, w=rng(4, 3))
    assert "set 10 takes 3 to 3 inputs" in held(model, 9, 11, x=rng(2, 4))
