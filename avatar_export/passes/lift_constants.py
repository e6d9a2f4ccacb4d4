"""Constant nodes become initializers."""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes.common import LiftConstantsToInitializersPass

from avatar_export.passes.base import Pass


class LiftConstants(Pass):
    """A node that only holds numbers becomes an initializer.

        Constant -> c;  x, c -> Mul -> y        becomes        x -> Mul(c) -> y

    There is no operator to list then, and none to run.
    """

    name = "lift-constants"

    def apply(self, model: ir.Model) -> list[str]:
        before = model.graph.num_nodes()
        LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
        lifted = before - model.graph.num_nodes()
        return [f"{lifted} constants lifted"] if lifted else []
