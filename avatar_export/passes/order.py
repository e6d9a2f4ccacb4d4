"""The order of passes for each kind of graph, as data, with the reason for every place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from avatar_export.passes.bind_inputs import BindInputs
from avatar_export.passes.fold_adaptive import FoldAdaptive
from avatar_export.passes.fold_batch_norm import FoldBatchNorm
from avatar_export.passes.lift_constants import LiftConstants
from avatar_export.passes.lower_opset import LowerOpset
from avatar_export.passes.pipeline import Step
from avatar_export.passes.scale_streams import ScaleStreams
from avatar_export.passes.simplify import Simplify

Runs = Sequence[Mapping[str, np.ndarray]]


def export_order(opset: int, runs: Runs = ()) -> list[Step]:
    """For a graph as the exporter wrote it.

    Args:
        opset: operator set that the target's converter lists without warnings.
        runs: inputs on which tensors are measured, for graphs that run in half precision.
    """
    scale = Step(ScaleStreams(runs), "after folding: only layers with constant numbers can scale")
    return [
        Step(Simplify(), "what is constant becomes a constant, so that later passes see it"),
        Step(LiftConstants(), "onnxsim leaves Constant nodes: an operator more to list"),
        Step(FoldAdaptive(), "before batch norms: their scale and shift grow by what follows"),
        Step(FoldBatchNorm(), "after the adaptive part is in, so that one fold takes both"),
        *([scale] if runs else []),
        # The place for passes that save multiply-adds: norms are folded here, but operators are
        # still those of the network.
        Step(LowerOpset(opset), "last: everything before writes the exporter's operator set"),
    ]


def bake_order(opset: int, values: Mapping[str, np.ndarray], runs: Runs) -> list[Step]:
    """For the frame graph of one person: ``values`` by input name become constants first."""
    bind = Step(BindInputs(values), "first: what is constant decides what can be folded")
    return [bind, *export_order(opset, runs)]
