"""Nodes on which the C++ shape inference of ONNX 1.23 ends the process, or never ends.

They are hidden from it, and judged one by one where that is safe. Value propagation is not used
at all: it makes an object for each element of any one-dimensional tensor, so that Unsqueeze of a
float[8388608] took 1.2 GB.
"""

from __future__ import annotations

from onnx import AttributeProto, GraphProto, NodeProto

from avatar_export.whitelist.model.light import bodies_of
from avatar_export.whitelist.model.schema import definition

_HIDDEN = "hidden from inference"
# They read the type of their first operand without asking whether it has one.
_NEED_TYPE = ("EyeLike", "RegexFullMatch")
_LARGEST_AXIS = 1 << 16  # LayerNormalization ends the process from 2^31 on
_LONGEST_EQUATION = 1000


def hide(graph: GraphProto, opset: int) -> bool:
    """Move nodes out of the sight of inference; whether there were any."""
    found = False
    for node in graph.node:
        if not node.domain and (node.op_type in _NEED_TYPE or hazard(node, opset)):
            node.domain, found = _HIDDEN, True
        for body in bodies_of(node):
            found = hide(body, opset) or found
    return found


def show(graph: GraphProto) -> None:
    """Undo ``hide``."""
    for node in graph.node:
        if node.domain == _HIDDEN:
            node.domain = ""
        for body in bodies_of(node):
            show(body)


def hazard(node: NodeProto, opset: int) -> str:
    """Why inference must not see the node, even with operands of known type; empty if it may."""
    types = definition(node.op_type, opset).types
    if node.op_type in _NEED_TYPE and not any(node.input[:1]):
        return "input 0 is absent"
    for attribute in node.attribute:
        reason = _hazard(attribute, types.get(attribute.name, attribute.type))
        if reason:
            return reason
        if attribute.name == "num_outputs" and attribute.i != len(node.output):
            return f"num_outputs is {attribute.i}, but there are {len(node.output)}"
    return ""


def _hazard(attribute: AttributeProto, type_: int) -> str:
    if attribute.type and attribute.type != type_:
        return f"attribute {attribute.name} has the wrong type"
    if attribute.name == "axis" and abs(attribute.i) > _LARGEST_AXIS:
        return f"axis is {attribute.i}"
    if attribute.name == "equation" and not _is_equation(attribute.s.decode(errors="replace")):
        return f"equation {attribute.s[:40]!r} is malformed"
    return ""


def _is_equation(text: str) -> bool:
    """Terms of letters with at most one ellipsis each, commas between them, and one result.

    From "ij9->ij" inference does not return when the operand has rank 2.
    """
    left, _, right = text.replace(" ", "").partition("->")
    return len(text) <= _LONGEST_EQUATION and all(map(_is_term, (*left.split(","), right)))


def _is_term(term: str) -> bool:
    letters = term.replace("...", "", 1)
    return not letters or (letters.isascii() and letters.isalpha())
