"""A view of a model: shapes, types, constants and neighbours of its names."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from avatar_export.errors import ModelError
from avatar_export.whitelist.view import ModelView, UndeterminedError
from tests.whitelist.models import model

PICTURE = "(float[1,3,8,8] x) => (y)"
RESHAPED = """
    s = Shape (x) one = Constant <value = int64 {1}> () minus = Constant <value = int64[1] {-1}> ()
    c = Gather (s, one) two = Constant <value = int64 {2}> () d = Mul (c, two)
    u = Unsqueeze <axes = [0]> (d) k = Concat <axis = 0> (u, minus) y = Reshape (x, k)"""


def view(signature: str, body: str, opset: int = 11, **weights: tuple[int, ...]) -> ModelView:
    return ModelView(model(signature, body, opset, **weights))


def test_shapes_that_are_computed_from_shapes():
    found = view(PICTURE, RESHAPED)
    assert found.shape("y") == (6, 32)
    assert found.value("k").tolist() == [6, -1]
    assert [n.operator for n in found.nodes if not n.is_folded] == ["Reshape"]


def test_shapes_behind_an_unfixed_one_stay_unknown():
    found = view("(float[N,3] x) => (y)", "s = Shape (x) y = Expand (x, s)")
    assert found.dims("x") == (None, 3) and found.dim_names("x") == ("N", 3)
    assert not found.is_static("x") and found.is_static("s", "")
    with pytest.raises(UndeterminedError, match="shape of x"):
        found.shape("x")
    with pytest.raises(UndeterminedError, match="value of s"):
        found.value("s")


def test_the_model_is_not_changed():
    built = model(PICTURE, RESHAPED)
    before = built.SerializeToString()
    ModelView(built)
    assert built.SerializeToString() == before


def test_types_by_their_qnn_name():
    found = view("(float[1] x, int64[1] i) => (y)", "y = CastLike (x, i)", 15)
    assert [found.dtype(name) for name in "xiy"] == ["f32", "i32", "i32"]
    with pytest.raises(UndeterminedError, match="type of z"):
        found.dtype("z")


@pytest.mark.parametrize("declared", ["seq(float[2])", "optional(float[2])", "map(int64, float)"])
def test_values_that_are_no_tensors(declared):
    found = view(f"({declared} x) => (y)", "y = Identity (x)", 16)
    assert found.dims("x") is None and found.inputs == ["x"]
    with pytest.raises(UndeterminedError):
        found.dtype("x")


def test_strings_are_constants_too():
    body = 'c = Constant <value_strings = ["a", "b"]> () y = Identity (c)'
    found = view("() => (y)", body, 13)
    assert found.value("y").tolist() == ["a", "b"] and found.dtype("c") == "string"


@pytest.mark.parametrize("listed", [True, False])
def test_old_models_repeat_initializers_as_inputs(listed):
    built = model(PICTURE, "y = Conv (x, w)", 8, w=(4, 3, 3, 3))
    built.ir_version = 3
    if listed:
        built.graph.input.append(
            helper.make_tensor_value_info("w", TensorProto.FLOAT, [4, 3, 3, 3])
        )
    found = ModelView(built)
    assert found.inputs == ["x"] and found.shape("y") == (1, 4, 6, 6)


def test_sparse_initializers():
    built = model("(float[2,3] x) => (y)", "y = Add (x, w)")
    values = helper.make_tensor("w", TensorProto.FLOAT, [2], [1, 2])
    places = helper.make_tensor("places", TensorProto.INT64, [2], [0, 5])
    built.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [2, 3]))
    found = ModelView(built)
    assert found.value("w").tolist() == [[1, 0, 0], [0, 0, 2]]
    assert found.dtype("w") == "f32" and found.nodes[0].is_constant(1)


def test_negative_dimensions_are_unfixed():
    built = model("(float[7,3] x) => (y)", "y = Relu (x)")
    built.graph.input[0].type.tensor_type.shape.dim[0].dim_value = -1
    assert ModelView(built).dims("y") == (None, 3)


def test_graphs_without_nodes():
    found = view("(float[2] x) => (float[2] x)", "")
    assert found.nodes == [] and found.inputs == ["x"] and found.outputs == {"x"}
    assert ModelView(onnx.ModelProto()).nodes == []


def test_tensors_without_their_data():
    built = model("(float[2] x) => (y)", "y = Add (x, w)", w=(2,))
    built.graph.initializer[0].raw_data = b"short"
    assert ModelView(built).shape("y") == (2,)
    with pytest.raises(UndeterminedError, match="does not fit"):
        ModelView(built).value("w")
    built.graph.initializer[0].data_location = TensorProto.EXTERNAL
    with pytest.raises(UndeterminedError, match="not in the model"):
        ModelView(built).value("w")


def test_weights_are_read_from_the_model_itself():
    built = model(PICTURE, "y = Conv (x, w)", w=(4, 3, 3, 3))
    found = ModelView(built)
    assert found.graph.initializer[0].raw_data == b""
    assert found.value("w").shape == (4, 3, 3, 3)


def test_neighbours():
    found = view(PICTURE, '["a"] r = Relu (x) ["a"] y = Add (r, r) z = Abs (r)')
    assert [n.operator for n in found.consumers["r"]] == ["Add", "Add", "Abs"]
    assert found.producers["r"].name == "a" and found.names["a"] == 2
    assert found.nodes[2].name == "Abs_2"


IF = """a = Relu (x) k = Constant <value = int64[2] {3, -1}> () y = If (c) <
    then_branch = t () => (p) { r = Reshape (a, k) p = Identity (r) },
    else_branch = e () => (q) { m = If (c) <
        then_branch = tt () => (u) { u = Reshape (a, k) },
        else_branch = ee () => (v) { v = Relu (a) }> (c) q = Identity (m) }>"""


def test_bodies_know_the_names_around_them():
    node = view("(float[1,3,8,8] x, bool c) => (y)", IF.replace("> (c) q", "> q")).nodes[-1]
    assert sorted(node.captures) == ["a", "c", "k"]
    (first, then), (second, other) = node.bodies()
    assert (first, second) == ("then_branch", "else_branch")
    assert then.shape("p") == (3, 64) and then.value("k").tolist() == [3, -1]
    assert then.shape("a") == (1, 3, 8, 8) and then.dtype("a") == "f32"
    assert then.nodes[0].is_constant(1) and not then.nodes[0].is_folded
    (_, inner), _ = other.nodes[0].bodies()
    assert inner.shape("u") == (3, 64) and inner.invalid == []
    assert node in node.model.consumers["a"]


def test_a_node_with_bodies_is_not_folded():
    """What it computes may depend on what the bodies read."""
    node = view("(float[1] x) => (y)", IF.replace("If (c)", "If (k)").replace("> (c) q", "> q"))
    assert not node.nodes[-1].is_folded


def test_domains():
    built = model(PICTURE, "a = ai.onnx.Relu (x) b = other.Foo (a) y = my.Bar (b)")
    built.opset_import.append(helper.make_opsetid("my", 3))
    found = ModelView(built)
    assert found.opsets == {"": 11, "my": 3, "other": 1}
    assert [n.domain for n in found.nodes] == ["", "other", "my"]
    assert [n.is_foreign for n in found.nodes] == [False, True, True]
    assert found.shape("a") == (1, 3, 8, 8) and found.dims("b") is None


def test_the_long_name_of_the_default_domain():
    built = model(PICTURE, "y = Relu (x)")
    built.opset_import[0].domain = "ai.onnx"
    assert ModelView(built).opset == 11 and ModelView(built).shape("y") == (1, 3, 8, 8)


def test_random_numbers_are_no_constants():
    found = view("() => (y)", "r = RandomNormal <shape = [2]> () y = Relu (r)")
    assert found.constants == set()


@pytest.mark.parametrize("field", ["op_type", "input", "domain", "name"])
def test_names_that_are_no_text(field):
    built = model("(float[2] x) => (y)", '["nnnn"] y = other.Relu (x)')
    old, new = {
        "op_type": (b"\x04Relu", b"\x04Re\xff\xfe"),
        "input": (b"\x01x", b"\x01\xff"),
        "domain": (b"other", b"oth\xff\xfe"),
        "name": (b"nnnn", b"nn\xff\xfe"),
    }[field]
    damaged = onnx.ModelProto.FromString(built.SerializeToString().replace(old, new))
    with pytest.raises(ModelError, match="UTF-8"):
        ModelView(damaged)


def test_half_a_million_bytes_of_weights_are_not_copied():
    built = model("(float[1,4096] x) => (y)", "y = MatMul (x, w)", w=(4096, 32))
    assert ModelView(built).graph.ByteSize() < 1000
    assert ModelView(built).value("w").dtype == np.float32
