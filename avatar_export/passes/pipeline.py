"""Passes in order, each checked before and after, and proved by running the model."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import onnx
import onnx_ir as ir
from onnx_ir.passes.common import ShapeInferencePass

from avatar_export.errors import ParityError
from avatar_export.passes.base import Pass
from avatar_export.passes.goal import FEWEST_MACS, Goal
from avatar_export.passes.macs import count_macs
from avatar_export.precision.runner import run_onnx

# Largest change a pass may make, relative to the largest number of an output.
TOLERANCE = 1e-5

# A pass may change as much as this many times the rounding of the inputs: it rounds in many places.
_ROUNDINGS = 16
# ... but never as much as this, however badly conditioned the model is.
_MOST = 1e-2

_THREADS = os.cpu_count() or 1


@dataclass(frozen=True)
class Step:
    """A place in a pipeline: which pass, and why it stands there.

    A ``guarded`` step is taken back if the goal finds the model dearer after it.
    """

    rewrite: Pass
    why: str
    guarded: bool = False


@dataclass(frozen=True)
class PassRecord:
    """What one pass did to one graph.

    ``worst`` is the largest difference of the graph so far from the graph before the first pass,
    relative to the output's largest number. ``notes`` are what the pass left alone, and why.
    Seconds are the goal's estimate for one run of the graph; None without a goal.
    """

    name: str
    why: str
    changes: tuple[str, ...]
    nodes_before: int
    nodes_after: int
    macs_before: int
    macs_after: int
    worst: float
    notes: tuple[str, ...] = ()
    seconds_before: float | None = None
    seconds_after: float | None = None

    def to_dict(self) -> dict[str, object]:
        """For the manifest and the report."""
        return {**vars(self), "changes": list(self.changes), "notes": list(self.notes)}


def run_pipeline(
    proto: onnx.ModelProto,
    steps: Sequence[Step],
    inputs: Mapping[str, np.ndarray],
    verify: bool = True,
    goal: Goal | None = None,
) -> tuple[onnx.ModelProto, list[PassRecord]]:
    """Run passes over a model; after each that changed something, compare with the original.

    Differences add up from pass to pass, so the comparison is with the model before the first one.

    Args:
        proto: the model; not modified.
        steps: in order.
        inputs: by name, for the comparison; names that a pass bound are left out.
        verify: run the model after every change; off for a draft that is only judged.
        goal: estimates what the model costs before and after each pass.

    Raises:
        ModelError: a pass's ``requires`` or ``ensures`` failed.
        ParityError: a pass changed the result by more than :data:`TOLERANCE`, and by more than
            rounding explains.
    """
    model = ir.from_proto(proto)
    infer_shapes(model)
    reference = _Reference(proto, inputs) if verify else None
    records = [_run_step(model, step, reference, goal) for step in steps]
    return ir.to_proto(model), records


def _run_step(
    model: ir.Model, step: Step, reference: _Reference | None, goal: Goal | None
) -> PassRecord:
    before = _Measure.of(model, goal)
    kept = model.clone() if step.guarded else None
    step.rewrite.requires(model)
    changes = step.rewrite.apply(model)
    step.rewrite.ensures(model)
    notes = list(step.rewrite.notes)
    if changes:
        infer_shapes(model)
    if kept is not None and (reason := _dearer(kept, model, goal or FEWEST_MACS)):
        model.graph, changes = kept.graph, []
        notes.append(f"taken back: {reason}")
    worst = reference.change(model) if changes and reference is not None else 0.0
    if reference is not None and not reference.admits(worst):
        raise ParityError(
            f"after pass {step.rewrite.name} the result differs by {worst:.2g} of its range",
            "this is a bug of the pass; please report it with the model",
        )
    after = _Measure.of(model, goal)
    return PassRecord(
        name=step.rewrite.name,
        why=step.why,
        changes=tuple(changes),
        notes=tuple(notes),
        nodes_before=before.nodes,
        nodes_after=after.nodes,
        macs_before=before.macs,
        macs_after=after.macs,
        seconds_before=before.seconds,
        seconds_after=after.seconds,
        worst=worst,
    )


@dataclass(frozen=True)
class _Measure:
    """Nodes, multiply-adds and estimated seconds of a model."""

    nodes: int
    macs: int
    seconds: float | None

    @classmethod
    def of(cls, model: ir.Model, goal: Goal | None) -> _Measure:
        seconds = None if goal is None else goal.price(list(model.graph))
        return cls(model.graph.num_nodes(), count_macs(model), seconds)


def _dearer(before: ir.Model, after: ir.Model, goal: Goal) -> str:
    """In what way a model is dearer than before; empty if it is not."""
    was, now = (goal.price(list(model.graph)) for model in (before, after))
    if now <= was * (1 + 1e-9):
        return ""
    return f"{1e3 * now:.4g} ms instead of {1e3 * was:.4g} ms ({goal.name})"


class _Reference:
    """The model as it was before the first pass, run once."""

    def __init__(self, proto: onnx.ModelProto, inputs: Mapping[str, np.ndarray]) -> None:
        self.proto, self.inputs = proto, inputs
        self.outputs = run_onnx(proto, inputs, _THREADS)

    def change(self, model: ir.Model) -> float:
        """How far the outputs of ``model`` are from the reference, relative to their range."""
        left = {value.name for value in model.graph.inputs}
        inputs = {name: x for name, x in self.inputs.items() if name in left}
        return _worst(run_onnx(ir.to_proto(model), inputs, _THREADS), self.outputs)

    def admits(self, worst: float) -> bool:
        """Whether a change is within the tolerance, or no more than rounding.

        An infinite change (a number that is not finite, another shape) never is, nor one that
        would be seen.
        """
        if worst <= TOLERANCE:
            return True
        return worst <= min(_ROUNDINGS * self._rounding, _MOST)

    @cached_property
    def _rounding(self) -> float:
        """What rounding alone does: the change when every input moves by its last bit.

        An untrained or badly conditioned network turns the last bit into visible noise, and no
        exact rewrite can keep it closer than that. Only measured when a pass needs it. It is at
        least the rounding of one result, which may hardly depend on the inputs.
        """
        half = _holds_half(self.proto)
        nudged = {name: _nudged(x, half) for name, x in self.inputs.items()}
        one_result = float(np.finfo(np.float16 if half else np.float32).eps) / 2
        return max(one_result, _worst(run_onnx(self.proto, nudged, _THREADS), self.outputs))


def _nudged(x: np.ndarray, half: bool) -> np.ndarray:
    """An input with its last bit changed; that of half precision, if the model computes in it."""
    if x.dtype not in (np.float16, np.float32):
        return x
    rounded = x.astype(np.float16) if half else x
    moved: np.ndarray = np.nextafter(rounded, rounded.dtype.type(np.inf)).astype(x.dtype)
    return moved


def _holds_half(proto: onnx.ModelProto) -> bool:
    """Whether any weight or input is of half precision."""
    kinds = {tensor.data_type for tensor in proto.graph.initializer}
    kinds |= {value.type.tensor_type.elem_type for value in proto.graph.input}
    return bool(kinds & {onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16})


def infer_shapes(model: ir.Model) -> None:
    """Fill in the shapes of intermediate values."""
    ShapeInferencePass(data_prop=True)(model)


def _worst(found: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> float:
    """Largest difference over all outputs, relative to the largest number of that output.

    Infinite when an output is missing, or has another shape or a number that is not finite where
    the reference has not the same infinity.
    """
    worst = 0.0
    for name, reference in expected.items():
        if name not in found or found[name].shape != reference.shape:
            return float("inf")
        numbers, wanted = (x.astype(np.float64) for x in (found[name], reference))
        finite = np.isfinite(wanted)
        if not np.array_equal(numbers[~finite], wanted[~finite]):
            return float("inf")
        scale = max(float(np.abs(wanted[finite]).max(initial=0.0)), 1e-30)
        difference = float(np.abs(numbers[finite] - wanted[finite]).max(initial=0.0))
        if not np.isfinite(difference):
            return float("inf")
        worst = max(worst, difference / scale)
    return worst
