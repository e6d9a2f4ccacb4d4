"""Transposed convolutions without dilations."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from avatar_export.passes.base import constant
from avatar_export.passes.cures.cure import Cure, LeftAloneError
from avatar_export.passes.cures.writer import Writer


class DeconvolutionDilation(Cure):
    """The holes of a dilated filter become zeros in the filter.

        ConvTranspose(x, W[I,O,k], dilation d)    becomes    ConvTranspose(x, Z[I,O,(k-1)d+1])

    The converter drops the dilations, which changes numbers and size of the result
    (snpe-onnx-to-dlc 2.25.0.240728 experiment).
    """

    name = "deconvolution-dilation"
    operators = frozenset({"ConvTranspose"})

    def concerns(self, node: ir.Node) -> bool:
        return any(step != 1 for step in node.attributes.get_ints("dilations", ()))

    def rewrite(self, node: ir.Node, writer: Writer) -> str:
        weight = constant(node.inputs[1])
        if weight is None:
            raise LeftAloneError("its filter is computed")
        steps = node.attributes["dilations"].as_ints()
        filled = _with_holes(weight, steps)
        node.replace_input_with(1, writer.constant("weight", filled))
        node.attributes.add(ir.AttrInt64s("dilations", [1] * len(steps)))
        node.attributes.add(ir.AttrInt64s("kernel_shape", filled.shape[2:]))
        self.stamp(node)
        return f"zeros in the filter instead of dilations {list(steps)}"


def _with_holes(weight: np.ndarray, steps: tuple[int, ...]) -> np.ndarray:
    """A filter [I,O,*k] with ``steps`` - 1 zeros between its elements along each image axis."""
    sizes = [(k - 1) * d + 1 for k, d in zip(weight.shape[2:], steps, strict=True)]
    filled = np.zeros((*weight.shape[:2], *sizes), weight.dtype)
    places = [slice(None, None, d) for d in steps]
    filled[:, :, *places] = weight
    return filled
