"""Graphs whose tensors get more axes from node to node than any memory holds.

Gather(x, x) has 2 r - 1 axes, so thirty of them, 800 bytes, took 3.8 GB in the C++ shape inference
of ONNX 1.23. Such graphs are inferred node by node, and their absurd results dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from onnx import GraphProto, NodeProto, TensorProto, TypeProto

from avatar_export.whitelist.model.light import bodies_of, constant_tensor

HIGHEST_RANK = 64
"""Axes of the largest array that numpy can hold."""
_DEEPEST_TYPE = 8
_SHAPED_BY_VALUE = ("Reshape", "Expand", "ConstantOfShape", "Tile", "Unsqueeze", "Squeeze")
_NESTING = ("Optional", "SequenceConstruct", "SequenceEmpty")
_ONE_AXIS_MORE = ("OneHot", "StringSplit", "ConcatFromSequence")


def is_tame(graph: GraphProto) -> bool:
    """Whether no tensor can have an absurd rank.

    The estimate is an upper bound: a graph that is called wild in error costs time only.
    """
    return _Growth().highest_rank(graph) <= HIGHEST_RANK


def is_wild(node: NodeProto, types: dict[str, TypeProto]) -> bool:
    """Whether a result of the node, or a tensor in its bodies, can have an absurd rank."""
    growth = _Growth()
    for name, type_ in types.items():
        growth.note(name, [d.dim_value for d in type_.tensor_type.shape.dim])
    return growth.after(node) > HIGHEST_RANK


@dataclass
class _Growth:
    """Upper bounds by name: axes of each tensor, and entries of each that may be a shape."""

    ranks: dict[str, int] = field(default_factory=dict)
    lengths: dict[str, int] = field(default_factory=dict)

    def note(self, name: str, dims: Sequence[int]) -> None:
        """What is stated of a tensor."""
        self.ranks[name] = max(self.ranks.get(name, 0), len(dims))
        self.lengths[name] = max(dims, default=1)

    def highest_rank(self, graph: GraphProto) -> int:
        """Bound for all tensors of a graph; beyond the limit the search ends."""
        for value in (*graph.input, *graph.value_info, *graph.output):
            self.note(value.name, [d.dim_value for d in value.type.tensor_type.shape.dim])
        for tensor in graph.initializer:
            self.note(tensor.name, tensor.dims)
        highest = 0
        for node in graph.node:
            highest = max(highest, self.after(node))
            if highest > HIGHEST_RANK:
                break
        return highest

    def after(self, node: NodeProto) -> int:
        """Bound for the results of a node, which are noted, and for what its bodies hold."""
        rank = max(self._rank(node), self._inside(node))
        length = self._length(node)
        for name in node.output:
            self.ranks[name], self.lengths[name] = rank, length
        return rank

    def _inside(self, node: NodeProto) -> int:
        """A loop stacks what its body gives: one axis more."""
        given = max((self.ranks.get(name, 0) for name in node.input), default=0)
        highest = 0
        for body in bodies_of(node):
            self.ranks.update((value.name, given) for value in body.input)
            highest = max(highest, self.highest_rank(body) + 1)
        return highest

    def _rank(self, node: NodeProto) -> int:
        given = [self.ranks.get(name, 0) for name in node.input]
        largest = max(given, default=0)
        operator = node.op_type
        if operator == "Shape":
            return 1
        if operator in ("Gather", "GatherND"):
            return max(sum(given) - 1, 0)
        if operator in _SHAPED_BY_VALUE:
            return self._rank_by_value(node, largest)
        if operator in _NESTING:  # a type that nests costs like axes
            return largest + HIGHEST_RANK // _DEEPEST_TYPE
        return largest + (operator in _ONE_AXIS_MORE)

    def _rank_by_value(self, node: NodeProto, largest: int) -> int:
        operator = node.op_type
        listed = max((len(a.ints) for a in node.attribute), default=0)
        shapes = node.input[0 if operator == "ConstantOfShape" else 1 :]
        wanted = max([listed, *(self.lengths.get(name, 0) for name in shapes)])
        if operator == "Unsqueeze":
            return largest + max(wanted, 1)
        if operator == "Squeeze":
            return max(largest - max(wanted, 1), 0)
        return wanted if operator in ("Reshape", "ConstantOfShape") else max(largest, wanted)

    def _length(self, node: NodeProto) -> int:
        if node.op_type == "Constant":
            return _constant_length(node, constant_tensor(node))
        known = [self.lengths.get(name, 0) for name in node.input]
        if not known:
            return 0
        if node.op_type == "Shape":
            return self.ranks.get(node.input[0], 0)
        if node.op_type == "Concat":
            return sum(known)
        if node.op_type == "Gather" and self.ranks.get(node.input[0], 0) < 2:
            return known[-1]
        return max(known)


def _constant_length(node: NodeProto, tensor: TensorProto | None) -> int:
    if tensor is None:
        return max((len(a.ints) for a in node.attribute), default=1) or 1
    return max(tensor.dims, default=1)
