from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from avatar_export.errors import ModelError
from avatar_export.passes.base import (
    STAMP,
    Pass,
    add_initializer,
    bypass,
    constant,
    drop_unused,
    only_consumer,
    opset,
)
from tests.passes.models import loaded, operators, parsed

CHAIN = "g (float[2] x) => (float[2] y) { [a] r = Relu(x) [b] s = Neg(r) [c] y = Add(s, w) }"


class Nothing(Pass):
    name = "nothing"

    def apply(self, model: ir.Model) -> list[str]:
        return []


class Something(Nothing):
    name = "something"


@pytest.fixture
def model() -> ir.Model:
    return loaded(parsed(CHAIN, w=[1.0, 2.0]))


def value(model: ir.Model, name: str) -> ir.Value:
    values = [*model.graph.inputs, *model.graph.initializers.values()]
    values += [v for node in model.graph for v in node.outputs]
    return next(v for v in values if v.name == name)


def checked(model: ir.Model) -> onnx.ModelProto:
    proto = ir.to_proto(model)
    onnx.checker.check_model(proto, full_check=True)
    return proto


def test_a_pass_accepts_any_model_unless_it_says_otherwise(model: ir.Model) -> None:
    Nothing().requires(model)
    Nothing().ensures(model)


def test_stamps_add_up_and_survive_the_proto(model: ir.Model) -> None:
    node = model.graph.node("a")
    assert Nothing().stamp(node) is node
    Something().stamp(node)
    (prop,) = checked(model).graph.node[0].metadata_props
    assert (prop.key, prop.value) == (STAMP, "nothing,something")


def test_a_new_node_takes_over_name_and_origin(model: ir.Model) -> None:
    old, other = model.graph.node("a"), model.graph.node("b")
    old.metadata_props["module"] = "net.0"
    other.metadata_props["module"] = "net.1"
    new = Nothing().stamp(ir.node("Relu", list(old.inputs)), old, other)
    assert new.name == "a"
    assert new.metadata_props == {"module": "net.0", STAMP: "nothing"}
    named = Nothing().stamp(ir.node("Relu", list(old.inputs), name="own"), old)
    assert named.name == "own"


def test_constant_of_initializer_and_of_constant_node() -> None:
    body = "g (float[2] x) => (float[2] y) { c = Constant<value_floats = [3.0, 4.0]>() "
    model = loaded(parsed(body + "r = Mul(x, c) y = Add(r, w) }", w=[1.0, 2.0]))
    np.testing.assert_array_equal(constant(value(model, "w")), np.float32([1, 2]))
    np.testing.assert_array_equal(constant(value(model, "c")), np.float32([3, 4]))
    assert constant(value(model, "x")) is None
    assert constant(value(model, "r")) is None
    assert constant(None) is None


def test_the_default_of_an_input_is_not_constant() -> None:
    """An application may feed another value."""
    model = loaded(parsed(CHAIN.replace("x) =>", "x, float[2] w) =>"), w=[1.0, 2.0]))
    assert constant(value(model, "w")) is None


@pytest.mark.parametrize(
    ("wanted", "given"),
    [("free", "free"), ("w", "w_1"), ("x", "x_1"), ("r", "r_1"), ("y", "y_1")],
    ids=["free", "initializer", "input", "intermediate", "output"],
)
def test_an_initializer_gets_a_free_name(model: ir.Model, wanted: str, given: str) -> None:
    new = add_initializer(model, wanted, np.float32([5, 6]))
    model.graph.node("b").replace_input_with(0, new)
    assert new.name == given
    np.testing.assert_array_equal(constant(new), np.float32([5, 6]))
    checked(model)


def test_names_are_counted_up(model: ir.Model) -> None:
    names = [add_initializer(model, "w", np.float32([k])).name for k in range(3)]
    assert names == ["w_1", "w_2", "w_3"]


def test_only_consumer(model: ir.Model) -> None:
    assert only_consumer(value(model, "r")) is model.graph.node("b")
    assert only_consumer(value(model, "y")) is None


@pytest.mark.parametrize("second", ["z = Neg(r)", "z = Mul(r, r)"])
def test_no_only_consumer_among_several_uses(second: str) -> None:
    body = "g (float[2] x) => (float[2] y, float[2] z) { r = Relu(x) y = Neg(r) " + second + " }"
    assert only_consumer(value(loaded(parsed(body)), "r")) is None


def test_a_graph_output_has_no_only_consumer() -> None:
    body = "g (float[2] x) => (float[2] y, float[2] r) { r = Relu(x) y = Neg(r) }"
    assert only_consumer(value(loaded(parsed(body)), "r")) is None


def test_bypass_in_the_middle(model: ir.Model) -> None:
    bypass(model, model.graph.node("b"), value(model, "r"))
    proto = checked(model)
    assert operators(proto) == ["Relu", "Add"]
    assert proto.graph.node[1].input[0] == "r"


def test_bypass_of_a_graph_output_keeps_its_name(model: ir.Model) -> None:
    bypass(model, model.graph.node("c"), value(model, "s"))
    proto = checked(model)
    assert operators(proto) == ["Relu", "Neg"]
    assert [v.name for v in proto.graph.output] == ["y"] == list(proto.graph.node[1].output)


def test_bypass_of_a_graph_output_keeps_its_type() -> None:
    """Without shape inference only declared values have one, and an output must."""
    model = ir.from_proto(parsed(CHAIN, w=[1.0, 2.0]))
    assert value(model, "s").type is None
    bypass(model, model.graph.node("c"), value(model, "s"))
    checked(model)


def test_opset() -> None:
    assert opset(loaded(parsed(CHAIN, opset=11, w=[1.0, 2.0]))) == 11


def test_a_model_without_the_default_operator_set() -> None:
    proto = parsed(CHAIN, w=[1.0, 2.0])
    del proto.opset_import[0]
    with pytest.raises(ModelError, match="no default operator set"):
        opset(ir.from_proto(proto))


def test_drop_unused() -> None:
    body = "g (float[2] x) => (float[2] y, float[2] o) { d = Relu(x) e = Add(d, v) y = Neg(x) }"
    model = loaded(parsed(body, v=[1.0, 2.0], unused=[0.0], o=[1.0, 2.0]))
    drop_unused(model)
    proto = checked(model)
    assert operators(proto) == ["Neg"]
    assert [tensor.name for tensor in proto.graph.initializer] == ["o"]


def test_drop_unused_keeps_the_default_of_an_input() -> None:
    """An application that does not feed it would be refused."""
    body = "g (float[2] x, float[2] v) => (float[2] y) { y = Neg(x) }"
    model = loaded(parsed(body, v=[1.0, 2.0]))
    drop_unused(model)
    assert list(model.graph.initializers) == ["v"]


def test_drop_unused_keeps_what_a_subgraph_reads() -> None:
    body = """g (float[2] x, bool b) => (float[2] y) {
        r = Relu(x)
        y = If (b) < then_branch = t () => (float[2] p) { p = Add(r, v) },
                     else_branch = e () => (float[2] q) { q = Neg(r) } >
    }"""
    model = loaded(parsed(body, v=[1.0, 2.0]))
    drop_unused(model)
    assert operators(checked(model)) == ["Relu", "If"]
    assert list(model.graph.initializers) == ["v"]
