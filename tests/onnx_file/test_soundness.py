"""Each message of a model by itself: versions, text, tensors, shapes, attributes."""

from __future__ import annotations

from collections.abc import Callable

import onnx
import pytest
from onnx import ModelProto, TensorProto, helper

from avatar_export.errors import ModelError
from avatar_export.onnx_file.soundness import LARGEST_RANK, LONGEST_NAME, require_sound
from tests.onnx_file.models import parsed, relu

Damage = Callable[[ModelProto], object]


def refusal(model: ModelProto) -> str:
    with pytest.raises(ModelError) as caught:
        require_sound(model)
    return caught.value.message


def attribute(model: ModelProto, **fields: object) -> None:
    model.graph.node[0].attribute.add(name="a", **fields)


DAMAGES: list[tuple[Damage, str]] = [
    (lambda m: m.ClearField("ir_version"), "its IR version is 0"),
    (lambda m: setattr(m, "ir_version", 10_000), "its IR version is 10000"),
    (lambda m: m.ClearField("opset_import"), "which opset of ONNX"),
    (lambda m: setattr(m.opset_import[0], "version", 10_000), "the model is of opset 10000"),
    (lambda m: setattr(m.opset_import[0], "version", 0), "opset 0 of 'ai.onnx'"),
    (lambda m: m.opset_import.add(domain="d", version=2**40), "of 'd'"),
    (lambda m: setattr(m.graph.node[0], "op_type", ""), "has no operator"),
    (lambda m: setattr(m.graph.node[0], "name", "a\nb"), r"name 'a\\nb' holds control characters"),
    (lambda m: setattr(m.graph.node[0], "name", "a\x1b[31m"), "holds control characters"),
    (lambda m: setattr(m.graph, "name", "n" * (LONGEST_NAME + 1)), "is longer than"),
    (lambda m: attribute(m), "attribute 'a' has no type"),
    (lambda m: m.graph.node[0].attribute.add(type=2), "attribute '' has no name"),
    (lambda m: attribute(m, type=4), "attribute 'a' holds no t"),
    (lambda m: attribute(m, type=5), "attribute 'a' holds no g"),
    (lambda m: [attribute(m, type=2) for _ in "ab"], "has the attribute 'a' twice"),
    (lambda m: m.graph.input[0].type.tensor_type.shape.dim.add(dim_value=2**60), "impossible"),
    (
        lambda m: [m.graph.input[0].type.tensor_type.shape.dim.add() for _ in range(LARGEST_RANK)],
        "a shape has 66 axes",
    ),
]


@pytest.mark.parametrize(("damage", "message"), DAMAGES)
def test_what_cannot_be_relied_on(damage: Damage, message: str) -> None:
    model = relu()
    damage(model)
    with pytest.raises(ModelError, match=message):
        require_sound(model)


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (TensorProto(name="w", dims=[2], data_type=0), "unknown data type 0"),
        (TensorProto(name="w", dims=[2], data_type=99), "unknown data type 99"),
        (TensorProto(name="w", dims=[-1], data_type=1), "negative dimension"),
        (TensorProto(name="w", dims=[2**40], data_type=1), "and holds 0"),
        (TensorProto(name="w", dims=[2**62, 2**62, 0], data_type=1), "impossible shape"),
        (TensorProto(name="w", dims=[1] * 65, data_type=1), "65 axes"),
        (TensorProto(name="w", dims=[2], data_type=1, raw_data=b"1234567"), "8 bytes and holds 7"),
        (TensorProto(name="w", dims=[3], data_type=22, raw_data=b"123"), "2 bytes and holds 3"),
        (TensorProto(name="w", dims=[2], data_type=7, float_data=[1, 2]), "2 of int64_data"),
        (TensorProto(name="w", data_type=1, segment=TensorProto.Segment(begin=1)), "in segments"),
    ],
)
def test_tensors_whose_data_does_not_fit(tensor: TensorProto, message: str) -> None:
    for place in ("initializer", "attribute", "sparse"):
        model = relu()
        if place == "initializer":
            model.graph.initializer.append(tensor)
        elif place == "attribute":
            model.graph.node[0].attribute.append(helper.make_attribute("value", tensor))
        else:
            model.graph.sparse_initializer.add(values=tensor)
        with pytest.raises(ModelError, match=message):
            require_sound(model)


def test_a_sparse_tensor_has_no_negative_dimension() -> None:
    model = relu()
    values = helper.make_tensor("w", TensorProto.FLOAT, [1], [1.0])
    model.graph.sparse_initializer.add(values=values, dims=[-4])
    assert "negative dimension" in refusal(model)


def test_subgraphs_and_functions_are_looked_into() -> None:
    broken = TensorProto(name="w", dims=[2], data_type=1)
    model = parsed("""g (bool b, float[2] x) => (float[2] y) {
        y = If(b) <then_branch = t () => (float[2] p) { p = Relu(x) },
                   else_branch = e () => (float[2] q) { q = Neg(x) }> }""")
    model.graph.node[0].attribute[1].g.initializer.append(broken)
    assert "tensor 'w'" in refusal(model)
    model = parsed("""g (float[2] x) => (float[2] y) { y = f.once(x) }
        <domain: "f", opset_import: ["" : 13]> once (x) => (y) { y = Relu(x) }""")
    model.functions[0].node[0].attribute.append(helper.make_attribute("value", broken))
    assert "tensor 'w'" in refusal(model)


@pytest.mark.parametrize("field", [b"Relu", b"x", b"y"])
def test_names_that_are_no_text(field: bytes) -> None:
    """Protobuf hands such a name out as bytes, without a word."""
    data = relu().SerializeToString().replace(field, b"\xff" * len(field))
    assert "is not UTF-8 text" in refusal(ModelProto.FromString(data))


def test_documentation_may_hold_line_breaks_and_be_long() -> None:
    model = relu()
    model.graph.node[0].doc_string = "line\n" * LONGEST_NAME
    model.graph.node[0].metadata_props.add(key="stack", value="a\nb")
    assert require_sound(model) == []


def test_negative_dimensions_are_unknown_ones() -> None:
    model = relu()
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = -1
    require_sound(model)
    dims = model.graph.input[0].type.tensor_type.shape.dim
    assert [dim.HasField("dim_value") for dim in dims] == [False, True]


def test_a_reference_to_a_function_attribute_needs_no_content() -> None:
    model = relu()
    model.graph.node[0].attribute.add(name="a", type=4, ref_attr_name="b")
    assert require_sound(model) == []


def test_a_model_of_foreign_operators_alone_needs_no_opset_of_onnx() -> None:
    model = relu()
    model.graph.node[0].domain = model.opset_import[0].domain = "com.example"
    assert require_sound(model) == []


def test_external_tensors_are_handed_back() -> None:
    model = relu()
    model.graph.initializer.add(name="w", dims=[2], data_type=1, data_location=1)
    assert [tensor.name for tensor in require_sound(model)] == ["w"]


def test_newest_versions_are_accepted() -> None:
    model = relu()
    model.ir_version = onnx.IR_VERSION
    model.opset_import[0].version = onnx.defs.onnx_opset_version()
    assert require_sound(model) == []
