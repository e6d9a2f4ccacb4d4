"""Which form, float32 or float16, every tensor of a graph has and is asked for.

Nothing is changed here: :mod:`avatar_export.precision.fp16_rewrite` carries the plan out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir as ir

from avatar_export.errors import ModelError
from avatar_export.precision.slots import Slot, is_float, label, slots_of, type_attribute

if TYPE_CHECKING:
    from collections.abc import Iterator

    from avatar_export.precision.slots import Slots

FLOAT, HALF = ir.DataType.FLOAT, ir.DataType.FLOAT16


class Plan:
    """The decision for one model.

    Attributes:
        slots: the slots of every node, subgraphs included, in graph order.
        forms: the form in which a tensor is made; constants are not in it.
        barred: the nodes whose operator has no half at this opset.
        demands: for every tensor, the forms asked for and the (node, input) pairs that ask.

    Args:
        graph: the main graph, every tensor typed, nodes in topological order.
        opsets: opset version by domain.
        boundary: the form of the network's float inputs and outputs.

    Raises:
        ModelError: a node with subgraphs has a tensor that cannot be half.
    """

    def __init__(self, graph: ir.Graph, opsets: dict[str, int], boundary: ir.DataType) -> None:
        self._graph = graph
        self._boundary = boundary
        self.slots: dict[ir.Node, Slots] = {}
        self.forms: dict[ir.Value, ir.DataType] = {}
        self.demands: dict[ir.Value, dict[ir.DataType, list[tuple[ir.Node, int]]]] = {}
        self.barred: set[ir.Node] = set()
        self._makers: set[ir.Node] = set()  # nodes that choose the type they make
        self._kept: set[ir.Node] = set()
        for node in graph.all_nodes():
            opset = opsets.get(node.domain, 0)
            slots = slots_of(node, opset)
            self.slots[node] = slots
            if slots.has_float and not slots.is_half:
                self.barred.add(node)
            if node.op_type == "ConstantOfShape" or type_attribute(node, opset):
                self._makers.add(node)
            self._refuse_mixed_bodies(node)
        self._keep_parameters()
        self._follow_graph()

    def outputs(self) -> Iterator[tuple[ir.Graph, int, ir.DataType]]:
        """Every float output of every graph: the graph, the position, the form asked for."""
        for graph in [self._graph, *self._graph.subgraphs()]:
            form = self._boundary if graph is self._graph else HALF
            for index, value in enumerate(graph.outputs):
                if is_float(value):
                    yield graph, index, form

    def _refuse_mixed_bodies(self, node: ir.Node) -> None:
        slots = self.slots[node]
        if has_body(node) and Slot.FLOAT in slots.inputs + slots.outputs:
            raise ModelError(
                f"node {label(node)!r} ({node.op_type}) has subgraphs and a tensor that cannot be "
                "half at this opset",
                "convert the model to a later opset",
            )

    def _keep_parameters(self) -> None:
        """Keep in float32 what only computes a float32-only parameter, such as Resize scales.

        Sizes and scales are computed in float32 from Shape to Resize: half would round a size
        above 2048, and every step would need a pair of casts.
        """
        for node in ir.traversal.RecursiveGraphIterator(self._graph, reverse=True):
            if self._makes_for_float(node) if node in self._makers else self._only_scales(node):
                self.slots[node] = self.slots[node].kept_in_float()
                self._kept.add(node)

    def _only_scales(self, node: ir.Node) -> bool:
        made = [value for value in node.outputs if is_float(value)]
        uses = [use for value in made for use in value.uses()]
        if not uses or has_body(node) or any(value.is_graph_output() for value in made):
            return False
        return all(
            self.slots[use.node].inputs[use.idx] is Slot.FLOAT
            and (self.slots[use.node].is_half or use.node in self._kept)
            for use in uses
        )

    def _makes_for_float(self, node: ir.Node) -> bool:
        """A Cast from integers and the like makes float32 where any reader wants that.

        Making half and casting it back would round for nothing.
        """
        if any(is_float(value) for value in node.inputs):
            return self._only_scales(node)
        made = [value for value in node.outputs if is_float(value)]
        read = any(self.slots[u.node].inputs[u.idx] is Slot.FLOAT for v in made for u in v.uses())
        given = any(value.is_graph_output() and value.graph is self._graph for value in made)
        return read or (given and self._boundary is FLOAT)

    def _follow_graph(self) -> None:
        for graph in [self._graph, *self._graph.subgraphs()]:
            form = self._boundary if graph is self._graph else HALF
            self.forms.update({value: form for value in graph.inputs if is_float(value)})
        for node, slots in self.slots.items():
            self._follow_node(node, slots)

    def _follow_node(self, node: ir.Node, slots: Slots) -> None:
        free = self._free_forms(node, slots)
        for index, (value, slot) in enumerate(zip(node.inputs, slots.inputs, strict=True)):
            if value is None or slot is Slot.NONE:
                continue
            form = free[slots.variables[index]] if slot is Slot.FREE else _FORM[slot]
            self.demands.setdefault(value, {}).setdefault(form, []).append((node, index))
        if node.op_type != "Constant":
            made = zip(node.outputs, slots.outputs, strict=True)
            self.forms.update({v: _FORM[slot] for v, slot in made if slot is not Slot.NONE})

    def _free_forms(self, node: ir.Node, slots: Slots) -> dict[str, ir.DataType]:
        """A free type variable is half when a computed tensor bound to it is."""
        forms: dict[str, ir.DataType] = {}
        for value, slot, variable in zip(node.inputs, slots.inputs, slots.variables, strict=True):
            if slot is Slot.FREE and value is not None:
                made = self.forms.get(value, FLOAT)
                forms[variable] = HALF if made is HALF else forms.get(variable, FLOAT)
        return forms


_FORM = {Slot.HALF: HALF, Slot.FLOAT: FLOAT}


def has_body(node: ir.Node) -> bool:
    """Whether the node carries subgraphs: If, Loop, Scan, SequenceMap."""
    bodies = (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)
    return any(attribute.type in bodies for attribute in node.attributes.values())
