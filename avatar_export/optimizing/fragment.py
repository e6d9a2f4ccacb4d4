"""A few nodes as a model of their own, for a judge that takes models."""

from __future__ import annotations

from collections.abc import Sequence

import onnx
import onnx_ir as ir

# Bytes of a constant whose values go along; of a larger one the judge reads only type and shape.
_SMALL = 4096


def fragment(nodes: Sequence[ir.Node], opset: int) -> onnx.ModelProto:
    """A model of nodes that stand in a graph or in none.

    What they read from elsewhere becomes graph inputs, what nobody among them reads graph outputs.
    Large weights are named and not held, as if they lay in another file. Names are numbers, so
    equal nodes give equal models.

    Args:
        nodes: in order; operators of the default domain without bodies.
        opset: operator set that they are written in.
    """
    names = _Names()
    protos = [_node(node, f"n{k}", names) for k, node in enumerate(nodes)]
    made = {id(value): value for node in nodes for value in node.outputs}
    read = {id(value): value for node in nodes for value in node.inputs if value is not None}
    outside = [value for key, value in read.items() if key not in made]
    constants = {id(v): tensor for v in outside if (tensor := _constant(v)) is not None}
    graph = onnx.helper.make_graph(
        protos,
        "fragment",
        [_info(v, names) for v in outside if id(v) not in constants],
        [_info(v, names) for key, v in made.items() if key not in read],
        [_tensor(constants[id(v)], names.of(v)) for v in outside if id(v) in constants],
        value_info=[_info(v, names) for key, v in made.items() if key in read],
    )
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)])


class _Names:
    """A name for each value: those of detached values may be equal, or missing."""

    def __init__(self) -> None:
        self._given: dict[int, str] = {}

    def of(self, value: ir.Value | None) -> str:
        """The same for the same value; empty for an input that is left out."""
        return "" if value is None else self._given.setdefault(id(value), f"v{len(self._given)}")


def _node(node: ir.Node, name: str, names: _Names) -> onnx.NodeProto:
    proto = onnx.NodeProto(op_type=node.op_type, name=name)
    proto.input.extend(map(names.of, node.inputs))
    proto.output.extend(map(names.of, node.outputs))
    attributes = [ir.to_proto(attribute) for attribute in node.attributes.values()]
    proto.attribute.extend(sorted(attributes, key=lambda attribute: attribute.name))
    return proto


def _constant(value: ir.Value) -> ir.TensorProtocol | None:
    return None if value.is_graph_input() else ir.convenience.get_const_tensor(value)


def _info(value: ir.Value, names: _Names) -> onnx.ValueInfoProto:
    if value.dtype is None:
        return onnx.ValueInfoProto(name=names.of(value))
    dims = None
    if value.shape is not None:
        dims = [dim if isinstance(dim, int) else None for dim in value.shape]
    return onnx.helper.make_tensor_value_info(names.of(value), value.dtype.value, dims)


def _tensor(tensor: ir.TensorProtocol, name: str) -> onnx.TensorProto:
    if tensor.nbytes <= _SMALL:
        return onnx.numpy_helper.from_array(tensor.numpy(), name)
    proto = onnx.TensorProto(name=name, data_type=tensor.dtype.value, dims=tensor.shape.numpy())
    proto.data_location = onnx.TensorProto.EXTERNAL
    proto.external_data.add(key="location", value="weights")
    return proto
