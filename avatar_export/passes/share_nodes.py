"""What is computed twice is computed once."""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes.common import CommonSubexpressionEliminationPass, DeduplicateInitializersPass

from avatar_export.passes.base import Pass, drop_unused


class ShareNodes(Pass):
    """Nodes with the same operator, inputs and attributes become one.

        x -> Reshape -> Gemm(W1), x -> Reshape -> Gemm(W2)
        becomes
        x -> Reshape -> Gemm(W1), Gemm(W2)

    Passes that look at one site at a time write the same view of a tensor for each. Small equal
    initializers, the shape of a Reshape among them, become one first.
    """

    name = "share-nodes"

    def apply(self, model: ir.Model) -> list[str]:
        before = model.graph.num_nodes()
        DeduplicateInitializersPass()(model)
        CommonSubexpressionEliminationPass()(model)
        drop_unused(model)
        shared = before - model.graph.num_nodes()
        return [f"{shared} nodes that others compute too"] if shared else []
