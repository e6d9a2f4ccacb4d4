"""Writing nodes into a graph, in the spelling of its operator set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from avatar_export.passes.base import Pass, bypass, constant, opset
from avatar_export.passes.cures.reading import joins_fixed_names, title

# First operator set in which the axes of a reduction are an input.
_AXES_ARE_INPUT = {"ReduceSum": 13}
_OTHERS = 18


class Writer:
    """Writes the nodes that replace one old node, right before it.

    They carry the stamp of the pass, the metadata of the old node (its PyTorch module) and names
    made from its name, each free in the graph.
    """

    def __init__(self, rewrite: Pass, model: ir.Model, old: ir.Node, taken: set[str]) -> None:
        self.opset = opset(model)
        self._rewrite, self._model, self._old, self._taken = rewrite, model, old, taken

    @staticmethod
    def family(rewrite: Pass, model: ir.Model) -> Callable[[ir.Node], Writer]:
        """A writer for each node of one model; they share the names that are taken."""
        taken = {node.name for node in model.graph if node.name}
        taken |= {v.name for node in model.graph for v in node.outputs if v.name}
        taken |= {v.name for v in model.graph.inputs if v.name} | set(model.graph.initializers)
        return lambda node: Writer(rewrite, model, node, taken)

    def put(
        self, op_type: str, *inputs: ir.Value | None, outputs: int = 1, **attributes: Any
    ) -> ir.Value:
        """A new node, written before the old one; returns its first output."""
        name = self._free(op_type.lower())
        node = ir.node(op_type, inputs, attributes, num_outputs=outputs, name=name)
        for value in node.outputs:
            value.name = name if value.index() == 0 else self._free(op_type.lower())
        self._model.graph.insert_before(self._old, node)
        self._rewrite.stamp(node, self._old)
        return node.outputs[0]

    def constant(self, suffix: str, array: np.ndarray) -> ir.Value:
        """A new initializer; its name is known to be free, so nothing is searched for it."""
        name = self._free(suffix)
        value = ir.val(name, const_value=ir.tensor(array, name=name))
        self._model.graph.register_initializer(value)
        return value

    def scalar(self, suffix: str, number: float, like: ir.Value) -> ir.Value:
        """A new initializer of rank 0 with the element type of ``like``, float32 if unknown."""
        dtype = (like.dtype or ir.DataType.FLOAT).numpy()
        return self.constant(suffix, np.asarray(number, dtype))

    def reshape(self, value: ir.Value, shape: Sequence[int]) -> ir.Value:
        """``value`` in another shape; a constant is reshaped here and now."""
        numbers = constant(value)
        if numbers is not None:
            return self.constant("reshaped", numbers.reshape(shape))
        return self.put("Reshape", value, self.constant("shape", np.asarray(shape, np.int64)))

    def transpose(self, value: ir.Value, perm: Sequence[int]) -> ir.Value:
        """``value`` with its axes in another order; nothing is written for the same order."""
        if list(perm) == sorted(perm):
            return value
        numbers = constant(value)
        if numbers is not None:
            return self.constant("transposed", np.ascontiguousarray(numbers.transpose(perm)))
        return self.put("Transpose", value, perm=list(perm))

    def reduce(
        self,
        op_type: str,
        value: ir.Value,
        axes: Sequence[int] | ir.Value | None,
        keepdims: int = 1,
    ) -> ir.Value:
        """A reduction over ``axes``, or over all of them for None."""
        if axes is None:
            return self.put(op_type, value, keepdims=keepdims)
        if self.opset < _AXES_ARE_INPUT.get(op_type, _OTHERS):
            assert not isinstance(axes, ir.Value)
            return self.put(op_type, value, axes=list(axes), keepdims=keepdims)
        if not isinstance(axes, ir.Value):
            axes = self.constant("axes", np.asarray(axes, np.int64))
        return self.put(op_type, value, axes, keepdims=keepdims)

    def replace(self, value: ir.Value, old: ir.Value | None = None) -> None:
        """Let ``value``, which this writer made, stand for ``old``, the first output by default.

        It takes over name, type and shape, so that the graph reads as before. The old node is
        removed once nobody reads any of its outputs.
        """
        old = self._old.outputs[0] if old is None else old
        name = old.name
        old.replace_all_uses_with(value, replace_graph_outputs=True)
        value.type, value.shape = old.type, old.shape
        old.name = None
        value.name = name
        read = any(v.uses() or v.is_graph_output() for v in self._old.outputs)
        if self._old.graph is not None and not read:
            self._model.graph.remove(self._old, safe=True)

    def hand_on(self, value: ir.Value) -> None:
        """Let ``value``, the first input of the old node, stand for its first output.

        The node goes; where both have a name to keep, an Identity takes its place.
        """
        if joins_fixed_names(self._old):
            self.replace(self.put("Identity", value))
        else:
            bypass(self._model, self._old, value)

    def _free(self, suffix: str) -> str:
        base = f"{title(self._old)}.{suffix}"
        name, number = base, 1
        while name in self._taken:
            name, number = f"{base}_{number}", number + 1
        self._taken.add(name)
        return name
