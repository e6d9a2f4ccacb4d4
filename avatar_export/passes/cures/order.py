"""The order of cures, as data, with the reason for every place."""

from __future__ import annotations

from collections.abc import Collection
from inspect import getdoc

import onnx

from avatar_export.errors import UserError
from avatar_export.onnx_file.normal_form import normalised
from avatar_export.passes.base import Pass
from avatar_export.passes.cures.cast_pair import CastPair
from avatar_export.passes.cures.clip_bounds import ClipBounds
from avatar_export.passes.cures.deconvolution_dilation import DeconvolutionDilation
from avatar_export.passes.cures.drop_identity import DropIdentity
from avatar_export.passes.cures.expand_einsum import ExpandEinsum
from avatar_export.passes.cures.gelu_division import GeluDivision
from avatar_export.passes.cures.gemm_scale import GemmScale
from avatar_export.passes.cures.inputs import random_inputs
from avatar_export.passes.cures.pad_value import PadValue
from avatar_export.passes.cures.plain_norm import PlainNorm
from avatar_export.passes.cures.prelu_slope import PreluSlope
from avatar_export.passes.cures.reshape_zero import ReshapeZero
from avatar_export.passes.cures.resize_rounding import ResizeRounding
from avatar_export.passes.cures.resize_set import ResizeSet
from avatar_export.passes.cures.scalar_operand import ScalarOperand
from avatar_export.passes.cures.single_input import SingleInput
from avatar_export.passes.cures.softmax_last import SoftmaxLast
from avatar_export.passes.cures.spell_out_norm import SpellOutNorm
from avatar_export.passes.cures.split_pad import SplitPad
from avatar_export.passes.cures.split_transpose import SplitTranspose
from avatar_export.passes.cures.topk_smallest import TopkSmallest
from avatar_export.passes.cures.unique_names import UniqueNames
from avatar_export.passes.cures.vector_rank import VectorRank
from avatar_export.passes.lower_opset import LowerOpset
from avatar_export.passes.pipeline import PassRecord, Step, run_pipeline
from avatar_export.passes.simplify import Simplify

_ORDER: tuple[tuple[type[Pass], str], ...] = (
    (UniqueNames, "first: what follows names its nodes after those it replaces"),
    (DropIdentity, "before all patterns: an idle node in between hides them"),
    (SingleInput, "the same"),
    (ResizeSet, "before pads and clips are judged: it changes how both are written"),
    (ExpandEinsum, "before transposes: it writes some"),
    (SplitTranspose, "after Einsum, whose operands may have six axes"),
    (ClipBounds, "before single operands are touched: it takes Min and Max together"),
    (GeluDivision, "before vectors and scalars: it takes a product with a constant"),
    (SpellOutNorm, "before plain norms: it writes roots of sums"),
    (PlainNorm, "after the norms that are sums"),
    (SplitPad, "before values: the Pad that is left may have one that is not whole"),
    (PadValue, "after the split"),
    (ReshapeZero, "a node by itself, anywhere"),
    (PreluSlope, "a node by itself, anywhere"),
    (DeconvolutionDilation, "a node by itself, anywhere"),
    (TopkSmallest, "a node by itself, anywhere"),
    (CastPair, "a node by itself, anywhere"),
    (SoftmaxLast, "a node by itself, anywhere"),
    (ResizeRounding, "after Resize says in its attributes what it means"),
    (GemmScale, "a node by itself, anywhere"),
    (VectorRank, "after everything that writes sums and products"),
    (ScalarOperand, "the same"),
)

# A cure that may bring a fault to light, and the cure of that fault: a padding value is an
# attribute in set 10, and an input, which the converter cuts, in set 11.
_FOLLOWED_BY = {ResizeSet.name: PadValue.name}


def known_cures() -> tuple[str, ...]:
    """Names of all cures, in the order in which they run."""
    return (*(cure.name for cure, _ in _ORDER), LowerOpset.name)


def cure_titles() -> dict[str, str]:
    """What each cure does, by name: the first line of its documentation."""
    cures: list[type[Pass]] = [*(cure for cure, _ in _ORDER), LowerOpset]
    return {cure.name: (getdoc(cure) or "").partition("\n")[0] for cure in cures}


def apply_cures(
    model: onnx.ModelProto, names: Collection[str], *, opset: int, verify: bool = True
) -> tuple[onnx.ModelProto, list[PassRecord]]:
    """Rewrite a model with the named cures, each proved by running the model.

    Args:
        model: with fixed shapes; not modified.
        names: of :func:`known_cures`, in any order.
        opset: operator set that lower-opset goes to, if it is named.
        verify: compare after every change, on random inputs of a fixed seed. Off, a model with
            open shapes or operators that ONNX Runtime lacks is rewritten as well, unproved.

    A model that computes shapes or constants, as PyTorch writes it, goes through onnxsim first.

    Returns:
        the model, and what each cure did, with notes on what it left.

    Raises:
        UserError: a name is unknown.
        ModelError: the model cannot be run for verification, or a cure failed its own check.
        ParityError: a cure changed the result.
    """
    unknown = sorted(set(names) - set(known_cures()))
    if unknown:
        raise UserError(f"unknown cure {unknown[0]}", f"known: {', '.join(known_cures())}")
    wanted = {*names, *(_FOLLOWED_BY[name] for name in names if name in _FOLLOWED_BY)}
    proto, renamed = _rename(normalised(model), wanted)
    steps = [Step(cure(), why) for cure, why in _ORDER[1:] if cure.name in wanted]
    if LowerOpset.name in wanted:
        steps.append(Step(LowerOpset(opset), "last: everything before writes the model's own set"))
    if steps and _computes_constants(proto.graph):
        steps.insert(0, Step(Simplify(), "before patterns: shapes that are computed hide them"))
    cured, records = run_pipeline(proto, steps, random_inputs(proto) if verify else {}, verify)
    return cured, [*renamed, *records]


def _computes_constants(graph: onnx.GraphProto) -> bool:
    """Whether a node hangs on constants alone, or reads a shape, as in what PyTorch writes."""
    constants = {tensor.name for tensor in graph.initializer}
    constants |= {node.output[0] for node in graph.node if node.op_type == "Constant"}
    return any(
        node.op_type == "Shape" or (node.input and constants.issuperset(filter(None, node.input)))
        for node in graph.node
    )


def _rename(
    model: onnx.ModelProto, names: Collection[str]
) -> tuple[onnx.ModelProto, list[PassRecord]]:
    """The first cure, if it is named: ONNX Runtime loads no model with two nodes of one name."""
    cure, why = _ORDER[0]
    if cure.name not in names:
        return model, []
    return run_pipeline(model, [Step(cure(), why)], {}, verify=False)
