"""One node: its attributes, operands and origin."""

from __future__ import annotations

import onnx
import pytest

from avatar_export.whitelist.view import ModelView, UndeterminedError
from tests.whitelist.models import model, node

X = "(float[1,4,8,8] x) => (y)"


def test_attributes_and_their_defaults():
    view = node(X, "y = Softmax <axis = 2> (x)", 11)
    assert view.attribute("axis") == 2 and view.given == {"axis": 2}
    assert node(X, "y = Softmax (x)", 11).attribute("axis") == 1
    assert node(X, "y = Softmax (x)", 13).attribute("axis") == -1
    assert node(X, "y = Softmax (x)").attribute("nothing") is None
    assert node(X, "y = MaxPool <kernel_shape = [2, 2]> (x)").ints("kernel_shape") == [2, 2]


def test_an_attribute_of_the_wrong_type_is_as_good_as_none():
    assert node(X, "y = Softmax <axis = 1.5> (x)", 13).attribute("axis") == -1
    assert node(X, "y = other.Softmax <axis = 1.5> (x)").attribute("axis") == 1.5


def test_operands_that_are_absent():
    view = node(X, "y = Resize (x, , x)", 13)
    assert view.operands() == [0, 2] and view.has(2) and not view.has(1) and not view.has(9)
    assert view.producer(1) == "" and not view.is_constant(1)
    for ask in (view.shape, view.rank, view.dtype):
        with pytest.raises(UndeterminedError, match="input 1 of Resize_0 is absent"):
            ask(1)
    for ask in (view.output_shape, view.output_dtype):
        with pytest.raises(UndeterminedError, match="output 1 of Resize_0 is absent"):
            ask(1)


def test_operands_that_are_there():
    view = node(X, "r = Relu (x) y = Cast <to = 6> (r)")
    assert view.shape() == view.output_shape() == (1, 4, 8, 8) and view.rank() == 4
    assert (view.dtype(), view.output_dtype()) == ("f32", "i32")
    assert view.producer(0) == "Relu" and view.model.nodes[0].feeds() == ["Cast"]


def test_outputs_that_nobody_named():
    built = model(X, "y = Relu (x)")
    built.graph.node[0].output[0] = ""
    view = ModelView(built).nodes[0]
    assert view.outputs == [] and view.feeds() == []


@pytest.mark.parametrize(
    ("opset", "since"), [(7, 6), (13, 13), (999, 14)], ids=["old", "exact", "newer than known"]
)
def test_definition_in_force(opset, since):
    schema = node(X, "y = Relu (x)", opset).schema
    assert schema is not None and schema.since_version == since


def test_no_definition():
    assert node(X, "y = NoSuchOperator (x)").schema is None
    assert node(X, "y = ai.onnx.ml.Scaler (x)").schema is None


def test_origin():
    view = node(X, '["/net/up/conv/Conv"] y = Relu (x)')
    assert view.origin == "net.up.conv"
    entry = onnx.StringStringEntryProto(
        key="pkg.torch.onnx.name_scopes", value="['', 'net', 'net.up', 'conv']"
    )
    view.proto.metadata_props.append(entry)
    assert view.origin == "net.up"
    assert node(X, "y = Relu (x)").origin == ""
