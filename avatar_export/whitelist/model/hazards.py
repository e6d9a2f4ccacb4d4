"""Models on which the C++ shape inference of ONNX would hang or fill the memory."""

from __future__ import annotations

import re
from collections.abc import Iterator

from onnx import GraphProto, NodeProto

from avatar_export.errors import ModelError
from avatar_export.whitelist.model.light import constant_tensor

# It carries the values of shape tensors along, however long they get: 22 times Concat(x, x) took
# 657 MB (onnx 1.23). Beyond this length the values are left to ``folding.py``, which has a bound.
_LONGEST_VALUE = 4096
_HIGHEST_RANK = 64
# It never returns from "ij9->ij" when the operand has rank 2 (onnx 1.23).
_TERM = r" *([A-Za-z] *)*(\.\.\.)? *([A-Za-z] *)*"
_EQUATION = re.compile(rf"{_TERM}(,{_TERM})*(->{_TERM})?")
_LONGEST_EQUATION = 1000


def may_carry_values(graph: GraphProto) -> bool:
    """Whether the values of shape tensors stay short enough to be carried along.

    Raises:
        ModelError: an Einsum has an equation that is none.
    """
    return _longest_value(graph, {}) <= _LONGEST_VALUE


def _longest_value(graph: GraphProto, sizes: dict[str, int]) -> int:
    """Most elements of a tensor that is made of constants and shapes by joining.

    Args:
        sizes: lengths known so far, by name; those of the graph are added.
    """
    sizes.update((t.name, t.dims[0] if t.dims else 1) for t in graph.initializer)
    longest = 0
    for node in graph.node:
        if node.op_type == "Einsum":
            _refuse_equation(node)
        for body in _bodies(node):
            longest = max(longest, _longest_value(body, sizes))
        size = _length(node, sizes)
        if size:
            sizes.update(dict.fromkeys(node.output, size))
            longest = max(longest, size)
    return longest


def _bodies(node: NodeProto) -> Iterator[GraphProto]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _length(node: NodeProto, sizes: dict[str, int]) -> int:
    """Upper bound for the elements of a result; 0 when it is no constant."""
    operator = node.op_type
    if operator == "Constant":
        tensor = constant_tensor(node)
        return tensor.dims[0] if tensor is not None and tensor.dims else 1
    if operator == "Shape":
        return _HIGHEST_RANK
    known = [sizes.get(name, 0) for name in node.input]
    if not known or not all(known):
        return 0
    return sum(known) if operator in ("Concat", "Gather") else max(known)


def _refuse_equation(node: NodeProto) -> None:
    for attribute in node.attribute:
        text = attribute.s.decode(errors="replace")
        if attribute.name == "equation" and not _is_equation(text):
            raise ModelError(f"node {node.name or node.op_type}: malformed equation {text[:40]!r}")


def _is_equation(text: str) -> bool:
    return len(text) <= _LONGEST_EQUATION and _EQUATION.fullmatch(text) is not None
