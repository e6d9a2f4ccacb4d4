"""Constant scales and shifts after a layer go into the layer."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from avatar_export.errors import ModelError
from avatar_export.passes.affine import absorb, out_channels, per_channel
from avatar_export.passes.base import Pass, bypass, constant, drop_unused


class FoldAdaptive(Pass):
    """Adaptive norms of one person become part of the layer before them.

        Conv(W, b) -> Mul(m) -> Add(a)        becomes        Conv(m * W, m * b + a)

    for constant m and a of one number a channel; the same for a transposed convolution and for
    the scale and bias of a batch norm. Exact but for rounding: (W x + b) * m + a is
    (m * W) x + (m * b + a).
    """

    name = "fold-adaptive"

    def apply(self, model: ir.Model) -> list[str]:
        changes = []
        for node in list(model.graph):
            found = _affine(node)
            if found is None:
                continue
            layer, scale, shift = found
            absorb(model, layer, scale, shift)
            self.stamp(layer)
            bypass(model, node, layer.outputs[0])
            changes.append(f"{node.name}: folded into {layer.name}")
        drop_unused(model)
        return changes

    def ensures(self, model: ir.Model) -> None:
        for node in model.graph:
            if _affine(node) is not None:
                raise ModelError(f"{self.name}: {node.name} was left as it was")


def _affine(node: ir.Node) -> tuple[ir.Node, np.ndarray, np.ndarray] | None:
    """For a Mul or Add of a layer's result with a constant: the layer, scale and shift [C]."""
    if node.op_type not in ("Mul", "Add"):
        return None
    for data, other in (node.inputs, reversed(node.inputs)):
        numbers = constant(other)
        layer = data.producer() if data is not None else None
        channels = out_channels(layer)
        if numbers is None or layer is None or channels is None:
            continue
        values = per_channel(numbers, channels, data)
        if values is None:
            return None
        if node.op_type == "Mul":
            return layer, values, np.zeros(channels)
        return layer, np.ones(channels), values
    return None
