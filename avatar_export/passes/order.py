"""The order of passes for each kind of graph, as data, with the reason for every place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from avatar_export.passes.absorb_affine import AbsorbAffine
from avatar_export.passes.bind_inputs import BindInputs
from avatar_export.passes.fold_adaptive import FoldAdaptive
from avatar_export.passes.fold_batch_norm import FoldBatchNorm
from avatar_export.passes.fold_into_next import FoldIntoNext
from avatar_export.passes.gather_pixels import GatherPixels
from avatar_export.passes.goal import FEWEST_MACS, Goal
from avatar_export.passes.hoist_activation import HoistActivation
from avatar_export.passes.leaky_relu import LeakyReluSpelling
from avatar_export.passes.lift_constants import LiftConstants
from avatar_export.passes.lower_opset import LowerOpset
from avatar_export.passes.merge_linear import MergeLinear
from avatar_export.passes.merge_siblings import MergeSiblings
from avatar_export.passes.pipeline import Step
from avatar_export.passes.pointwise_before_upsample import PointwiseBeforeUpsample
from avatar_export.passes.pool_conv import PoolConv
from avatar_export.passes.reassociate import Reassociate
from avatar_export.passes.repeated_columns import RepeatedColumns
from avatar_export.passes.scale_streams import ScaleStreams
from avatar_export.passes.share_nodes import ShareNodes
from avatar_export.passes.simplify import Simplify
from avatar_export.passes.upsample_conv import UpsampleConv

Runs = Sequence[Mapping[str, np.ndarray]]


def optimize_order(opset: int | None, goal: Goal = FEWEST_MACS, runs: Runs = ()) -> list[Step]:
    """For any graph: what is constant, what is cheaper, and the spelling of an operator set.

    Args:
        opset: operator set that the target's converter lists without warnings; None keeps it.
        goal: what the choice between equal forms is made for.
        runs: inputs on which tensors are measured, for graphs that run in half precision.
    """
    return [
        *_folded(),
        *_cheaper(goal, runs),
        *([_scale(runs)] if runs else []),
        Step(Simplify(), "onnxsim once more, for what the others left behind", guarded=True),
        Step(LiftConstants(), "after onnxsim, as above"),
        *([_lower(opset)] if opset is not None else []),
    ]


def draft_order(opset: int) -> list[Step]:
    """For a graph that is only to be judged: what decides a verdict, and nothing that saves time.

    The passes that do write nothing that a target refuses, and mend nothing that it does.
    """
    return [*_folded(), _lower(opset)]


def bake_order(values: Mapping[str, np.ndarray], order: Sequence[Step]) -> list[Step]:
    """The same for the frame graph of one person: ``values`` by input name become constants."""
    bind = Step(BindInputs(values), "first: what is constant decides what can be folded")
    return [bind, *order]


def _folded() -> list[Step]:
    """Passes that find what is constant."""
    return [
        Step(Simplify(), "what is constant becomes a constant, so that later passes see it"),
        Step(LiftConstants(), "onnxsim leaves Constant nodes: an operator more to list"),
        Step(FoldAdaptive(), "before batch norms: their scale and shift grow by what follows"),
        Step(FoldBatchNorm(), "after the adaptive part is in, so that one fold takes both"),
    ]


def _cheaper(goal: Goal, runs: Runs) -> list[Step]:
    """Passes that save multiply-adds, bytes or kernels; norms are folded before them.

    A site is priced without all of what surrounds it, so each pass is held to its promise as a
    whole as well. A form of upsampling that the user wants is not.
    """
    steps = [
        Step(LeakyReluSpelling(goal), "before the others: one node where a pattern stood"),
        Step(PoolConv(goal), "before layers are merged: a 1x1 convolution is cheaper pooled first"),
        Step(RepeatedColumns(goal), "before products are merged: it makes the first one narrow"),
        Step(MergeLinear(goal), "after the products have their size"),
        Step(Reassociate(goal), "after products are merged: it takes what is left in two"),
        Step(ShareNodes(), "the passes above write the same view of a tensor for each reader"),
        Step(
            PointwiseBeforeUpsample(goal),
            "before upsampling meets its convolution: what stands between moves out of the way",
        ),
        Step(
            AbsorbAffine(runs),
            "before upsampling is spelled: through a Resize a norm passes, through a crop not",
        ),
        Step(UpsampleConv(goal), "after all that works on pixels alone has left the large side"),
        Step(FoldIntoNext(goal), "what no layer before could take"),
        Step(MergeSiblings(goal), "after everything that changes a single convolution"),
        Step(HoistActivation(goal), "after siblings are merged: their Split is what it looks for"),
        Step(GatherPixels(goal), "last: it respells what the others wrote"),
    ]
    wanted = {UpsampleConv.name} if goal.upsample is not None else set()
    return [replace(step, guarded=step.rewrite.name not in wanted) for step in steps]


def _scale(runs: Runs) -> Step:
    return Step(
        ScaleStreams(runs),
        "only for graphs in half precision; after folding, which makes numbers constant",
    )


def _lower(opset: int) -> Step:
    return Step(LowerOpset(opset), "last: everything before writes the operator set that it finds")
