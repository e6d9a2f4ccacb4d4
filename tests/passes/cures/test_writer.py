from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from avatar_export.passes.base import STAMP
from avatar_export.passes.cures.unique_names import UniqueNames
from avatar_export.passes.cures.writer import Writer
from tests.passes.models import loaded, operators, parsed


def writer_of(nodes: str = "[old] y = Relu(x)", opset: int = 13) -> tuple[ir.Model, Writer]:
    """A writer for the last of some nodes."""
    model = loaded(parsed(f"g (float[2,3] x) => (float[2,3] y) {{ {nodes} }}", opset))
    old = model.graph[-1]
    old.metadata_props["pkg.torch"] = "layer1"
    return model, Writer.family(UniqueNames(), model)(old)


def test_a_node_is_named_stamped_and_placed_before_the_old_one() -> None:
    model, writer = writer_of()
    value = writer.put("Abs", model.graph.inputs[0])
    made, old = model.graph
    assert (made.op_type, made.name, value.name) == ("Abs", "old.abs", "old.abs")
    assert old.name == "old"
    assert made.metadata_props == {"pkg.torch": "layer1", STAMP: "unique-names"}


def test_names_are_free() -> None:
    model, _ = writer_of("a = Abs(x) [old] y = Relu(a)")
    x, (first, old) = model.graph.inputs[0], model.graph
    first.name = "old.abs"
    writer = Writer.family(UniqueNames(), model)(old)
    names = [writer.put("Abs", x).name, writer.put("Abs", x).name]
    assert names == ["old.abs_1", "old.abs_2"]
    assert writer.constant("abs", np.zeros(1)).name == "old.abs_3"


def test_a_node_without_a_name_lends_that_of_its_result() -> None:
    model, writer = writer_of("y = Relu(x)")
    assert writer.put("Abs", model.graph.inputs[0]).name == "y.abs"


def test_all_results_of_a_node_have_names() -> None:
    model, writer = writer_of()
    value = writer.put("Split", model.graph.inputs[0], outputs=2)
    assert [v.name for v in value.producer().outputs] == ["old.split", "old.split_1"]  # type: ignore[union-attr]


def test_a_result_takes_over_name_type_and_shape() -> None:
    model, writer = writer_of()
    value = writer.put("Abs", model.graph.inputs[0])
    writer.replace(value)
    assert model.graph.outputs[0] is value
    assert (value.name, value.dtype, value.shape) == ("y", ir.DataType.FLOAT, [2, 3])
    assert operators(ir.to_proto(model)) == ["Abs"]


def test_handing_on_keeps_the_names_of_inputs_and_outputs() -> None:
    model, writer = writer_of()
    writer.hand_on(model.graph.inputs[0])
    assert operators(ir.to_proto(model)) == ["Identity"]
    model, writer = writer_of("a = Abs(x) [old] y = Identity(a)")
    writer.hand_on(model.graph[0].outputs[0])
    assert operators(ir.to_proto(model)) == ["Abs"]
    assert model.graph.outputs[0].name == "y"


def test_constants_are_arranged_here() -> None:
    model, writer = writer_of()
    value = writer.constant("c", np.arange(6))
    reshaped = writer.reshape(value, (2, 3))
    moved = writer.transpose(reshaped, (1, 0))
    assert moved.const_value is not None
    assert moved.const_value.numpy().tolist() == [[0, 3], [1, 4], [2, 5]]
    assert len(model.graph) == 1


def test_an_idle_transpose_is_not_written() -> None:
    model, writer = writer_of()
    x = model.graph.inputs[0]
    assert writer.transpose(x, (0, 1)) is x


def test_a_scalar_has_the_type_of_its_tensor() -> None:
    model, writer = writer_of()
    x = model.graph.inputs[0]
    x.type = ir.TensorType(ir.DataType.FLOAT16)
    scalar = writer.scalar("half", 0.5, x)
    assert (scalar.dtype, scalar.shape) == (ir.DataType.FLOAT16, [])


@pytest.mark.parametrize(
    ("operator", "opset", "as_input"),
    [
        ("ReduceSum", 12, False),
        ("ReduceSum", 13, True),
        ("ReduceMean", 17, False),
        ("ReduceMean", 18, True),
    ],
)
def test_axes_of_a_reduction(operator: str, opset: int, as_input: bool) -> None:
    model, writer = writer_of(opset=opset)
    node = writer.reduce(operator, model.graph.inputs[0], [1]).producer()
    assert node is not None
    assert (len(node.inputs) == 2, "axes" in node.attributes) == (as_input, not as_input)
