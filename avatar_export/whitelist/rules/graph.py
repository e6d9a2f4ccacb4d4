"""Named rules about a node's place in the graph and its operands; see ``predicates.py``."""

from __future__ import annotations

from functools import lru_cache

from onnx import TensorProto

from avatar_export.whitelist.context import fusion_of, layout_of
from avatar_export.whitelist.layout import Layout
from avatar_export.whitelist.rules.predicates import predicate
from avatar_export.whitelist.target import Target
from avatar_export.whitelist.view import ModelView, NodeView

_WIDE = (TensorProto.INT64, TensorProto.UINT64, TensorProto.DOUBLE)


@predicate
def fused(node: NodeView, target: Target, *operations: str) -> str:
    """The node is merged into an operation, one of these if any are named."""
    fusion = fusion_of(node)
    if fusion is None:
        return f"{node.operator} does not stand inside a pattern that the converter knows"
    found = fusion.row.operations or ()
    return (
        "" if not operations or set(found) & set(operations) else f"merged into {'+'.join(found)}"
    )


@predicate
def unread(node: NodeView, target: Target, first: str) -> str:
    """No node reads the outputs from this one on."""
    for name in node.proto.output[int(first) :]:
        if name and node.model.consumers.get(name):
            return f"output {name} does not exist after conversion"
    return ""


@predicate
def computed(node: NodeView, target: Target) -> str:
    """A graph output is computed: no constant, graph input or second output of an operator."""
    view, name = node.model, node.inputs[0]
    if name in view.constants:
        return f"{name} is a constant"
    writer = view.producers.get(name)
    return f"{name} is a graph input" if writer is None else ""


@predicate
def not_written_by(node: NodeView, target: Target, operator: str, index: str) -> str:
    """A graph output is not this output of the operator."""
    writer = node.model.producers.get(node.inputs[0])
    if writer is None or writer.operator != operator:
        return ""
    place = list(writer.proto.output).index(node.inputs[0])
    return f"{node.inputs[0]} is output {index} of {operator}" if place == int(index) else ""


@predicate
def state_kept(node: NodeView, target: Target, operator: str) -> str:
    """A graph output is no last state of a recurrent layer of which an output has no name.

    With fewer than three names the converter invents the names of the states.
    """
    name = node.inputs[0]
    writer = node.model.producers.get(name)
    if writer is None or writer.operator != operator or len(writer.outputs) > 2:
        return ""
    place = list(writer.proto.output).index(name)
    return f"{name} is output {place} of {operator}, written under another name" if place else ""


@predicate
def removable(node: NodeView, target: Target) -> str:
    """A cast that changes nothing, once a cast before it is gone, has a neighbour to vanish into.

    That is a layer before it or one after it; between a graph input and an output is none.
    """
    first = node.model.producers.get(node.inputs[0])
    cast = first if first is not None and first.operator == "Cast" else node
    if cast.inputs[0] not in node.model.inputs or node.model.consumers.get(node.outputs[0]):
        return ""
    types = node.model.dtype(cast.inputs[0]), node.model.dtype(node.outputs[0])
    return (
        f"nothing stands between the input {cast.inputs[0]} and the output"
        if types[0] == types[1]
        else ""
    )


@predicate
def reaches(node: NodeView, target: Target, *operators: str) -> str:
    """The graph input leads to one of the operators."""
    if node.name in _leading_to(node.model, operators):
        return ""
    return f"{node.name} leads to none of {', '.join(operators)}"


@lru_cache(maxsize=1)
def _declared(view: ModelView) -> dict[str, int]:
    """Element type of every graph input."""
    return {value.name: value.type.tensor_type.elem_type for value in view.graph.input}


@lru_cache(maxsize=1)
def _leading_to(view: ModelView, operators: tuple[str, ...]) -> frozenset[str]:
    """Names of all tensors that one of the operators hangs on: one walk for all inputs."""
    names = [name for n in view.nodes if n.operator in operators for name in n.inputs]
    seen = set(names)
    while names:
        writer = view.producers.get(names.pop())
        fresh = [name for name in (writer.inputs if writer else ()) if name not in seen]
        seen.update(fresh)
        names.extend(fresh)
    return frozenset(seen)


@predicate
def from_runtime(node: NodeView, target: Target, index: str, *except_by: str) -> str:
    """The input is computed or fed, and not by one of these operators."""
    if node.is_constant(int(index)) or node.producer(int(index)) in except_by:
        return f"input {index} is a constant or comes from {' '.join(except_by)}"
    return ""


@predicate
def narrow(node: NodeView, target: Target) -> str:
    """The graph input is not declared with a 64-bit type."""
    code = _declared(node.model).get(node.name, 0)
    return f"{node.name} is {TensorProto.DataType.Name(code).lower()}" if code in _WIDE else ""


@predicate
def input_above_one(node: NodeView, target: Target) -> str:
    """Height and width of the first input are larger than 1."""
    size = node.shape()[2:]
    return f"the input is {list(size)}, H and W must exceed 1" if min(size, default=2) <= 1 else ""


@predicate
def named_outputs(node: NodeView, target: Target, most: str) -> str:
    """At most so many outputs have a name, whether anybody reads them or not."""
    count = sum(map(bool, node.proto.output))
    return f"{count} outputs are named, at most {most} may be" if count > int(most) else ""


@predicate
def well_tagged(node: NodeView, target: Target, size: str) -> str:
    """No operand of this rank stands in ONNX order while it is taken for channel-last."""
    for i in node.operands():
        name = node.inputs[i]
        if node.rank(i) == int(size) and layout_of(node.model, name) is Layout.UNTAGGED:
            return f"input {i} ({name}) is transposed, and still taken for channel-last"
    return ""


@predicate
def dim(node: NodeView, target: Target, index: str, axis: str, least: str, most: str) -> str:
    """One dimension of the input, where it has so many, lies in the range."""
    shape = node.shape(int(index))
    found = shape[int(axis)] if int(axis) < len(shape) else int(least)
    if int(least) <= found <= int(most):
        return ""
    return f"dimension {axis} of input {index} is {found}, not {least} to {most}"


@predicate
def one_shape(node: NodeView, target: Target) -> str:
    """Operands that are not constant have one shape."""
    shapes = {node.shape(i) for i in node.operands() if not node.is_constant(i)}
    return f"operands of shapes {sorted(map(list, shapes))}" if len(shapes) > 1 else ""


@predicate
def symmetric_pads(node: NodeView, target: Target) -> str:
    """Pads at the beginning equal those at the end."""
    pads = node.ints("pads") or []
    half = len(pads) // 2
    return "" if pads[:half] == pads[half:] else f"pads {pads} are asymmetric"


@predicate
def shape_kept(node: NodeView, target: Target) -> str:
    """The result has the shape of the first input."""
    before, after = node.shape(), node.output_shape()
    return "" if before == after else f"{list(before)} becomes {list(after)}"


@predicate
def type_kept(node: NodeView, target: Target) -> str:
    """The result has the stored type of the first input; a double is stored as a float."""
    before, after = node.dtype(), node.output_dtype()
    return "" if before == after else f"{before} becomes {after}"
