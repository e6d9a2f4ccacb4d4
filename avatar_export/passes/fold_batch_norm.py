"""Batch norms go into the layer before them; those that cannot are reduced to scale and shift."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from avatar_export.errors import ModelError
from avatar_export.passes.affine import Affine, absorb, affine_of, out_channels
from avatar_export.passes.base import Pass, add_initializer, bypass, constant, drop_unused
from avatar_export.passes.layers import is_reduced


class FoldBatchNorm(Pass):
    """Fold batch norms, in double precision.

        Conv(W, b) -> BatchNormalization(g, h, mean, var, eps)
        becomes
        Conv(s * W, s * (b - mean) + h),    s = g / sqrt(var + eps), one number a channel

    A norm that follows no layer (in pre-activation blocks it follows a sum) keeps its place with
    the same function in numbers that a half-precision runtime can hold: scale s, bias
    h - s * mean, mean 0, variance 1, epsilon 0. The usual epsilon of 1e-7 is below the normal
    range of half precision.
    """

    name = "fold-batch-norm"

    def apply(self, model: ir.Model) -> list[str]:
        changes = []
        for node in list(model.graph):
            affine = _affine(node)
            if affine is None or is_reduced(node):
                continue
            layer = node.inputs[0].producer() if node.inputs[0] is not None else None
            if layer is not None and out_channels(layer) is not None:
                absorb(model, layer, affine.scale, affine.shift)
                self.stamp(layer)
                bypass(model, node, layer.outputs[0])
                changes.append(f"{node.name}: folded into {layer.name}")
            else:
                self._reduce(model, node, affine.scale, affine.shift)
                changes.append(f"{node.name}: reduced to scale and shift")
        drop_unused(model)
        return changes

    def ensures(self, model: ir.Model) -> None:
        for node in model.graph:
            if _affine(node) is not None and not is_reduced(node):
                raise ModelError(f"{self.name}: {node.name} was left as it was")

    def _reduce(self, model: ir.Model, norm: ir.Node, scale: np.ndarray, shift: np.ndarray) -> None:
        numbers = (scale, shift, np.zeros_like(scale), np.ones_like(scale))
        for slot, (suffix, array) in enumerate(
            zip(("scale", "shift", "zero", "one"), numbers, strict=True), start=1
        ):
            before = constant(norm.inputs[slot])
            assert before is not None
            value = add_initializer(model, f"{norm.name}.{suffix}", array.astype(before.dtype))
            norm.replace_input_with(slot, value)
        norm.attributes.add(ir.AttrFloat32("epsilon", 0.0))
        self.stamp(norm)


def _affine(node: ir.Node) -> Affine | None:
    """Scale and shift of an inference batch norm with constant parameters."""
    return affine_of(node) if node.op_type == "BatchNormalization" else None
