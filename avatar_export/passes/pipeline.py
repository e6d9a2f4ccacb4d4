"""Passes in order, each checked before and after, and proved on random inputs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnx_ir as ir
from onnx_ir.passes.common import ShapeInferencePass

from avatar_export.errors import ParityError
from avatar_export.passes.base import Pass
from avatar_export.passes.macs import count_macs
from avatar_export.precision.runner import run_onnx

# Largest change a pass may make, relative to the largest number of an output.
TOLERANCE = 1e-5

_THREADS = os.cpu_count() or 1


@dataclass(frozen=True)
class Step:
    """A place in a pipeline: which pass, and why it stands there."""

    step: Pass
    why: str


@dataclass(frozen=True)
class PassRecord:
    """What one pass did to one graph. ``worst`` is relative to the output's largest number."""

    name: str
    why: str
    changes: tuple[str, ...]
    nodes_before: int
    nodes_after: int
    macs_before: int
    macs_after: int
    worst: float

    def to_dict(self) -> dict[str, object]:
        """For the manifest and the report."""
        return {**vars(self), "changes": list(self.changes)}


def run_pipeline(
    proto: onnx.ModelProto,
    steps: Sequence[Step],
    inputs: Mapping[str, np.ndarray],
    verify: bool = True,
) -> tuple[onnx.ModelProto, list[PassRecord]]:
    """Run passes over a model; after each that changed something, compare with the model before.

    Args:
        proto: the model; not modified.
        steps: in order.
        inputs: by name, for the comparison; names that a pass bound are left out.
        verify: run the model after every change; off for a draft that is only judged.

    Raises:
        ModelError: a pass's ``requires`` or ``ensures`` failed.
        ParityError: a pass changed the result by more than :data:`TOLERANCE`.
    """
    model = ir.from_proto(proto)
    infer_shapes(model)
    expected = run_onnx(proto, inputs, _THREADS) if verify else None
    records = []
    for step in steps:
        record = _run_step(model, step, inputs, expected)
        records.append(record)
    return ir.to_proto(model), records


def _run_step(
    model: ir.Model,
    step: Step,
    inputs: Mapping[str, np.ndarray],
    expected: Mapping[str, np.ndarray] | None,
) -> PassRecord:
    nodes, macs = model.graph.num_nodes(), count_macs(model)
    step.step.requires(model)
    changes = step.step.apply(model)
    step.step.ensures(model)
    worst = 0.0
    if changes:
        infer_shapes(model)
    if changes and expected is not None:
        left = {v.name for v in model.graph.inputs}
        fed = {name: x for name, x in inputs.items() if name in left}
        worst = _worst(run_onnx(ir.to_proto(model), fed, _THREADS), expected)
    if not worst <= TOLERANCE:
        raise ParityError(
            f"pass {step.step.name} changed the result by {worst:.2g} of its range",
            "this is a bug of the pass; please report it with the model",
        )
    return PassRecord(
        name=step.step.name,
        why=step.why,
        changes=tuple(changes),
        nodes_before=nodes,
        nodes_after=model.graph.num_nodes(),
        macs_before=macs,
        macs_after=count_macs(model),
        worst=worst,
    )


def infer_shapes(model: ir.Model) -> None:
    """Fill in the shapes of intermediate values."""
    ShapeInferencePass(data_prop=True)(model)


def _worst(found: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> float:
    """Largest difference over all outputs, relative to the largest number of that output.

    Infinite when an output is missing, or has another shape or a number that is not finite.
    """
    worst = 0.0
    for name, reference in expected.items():
        if name not in found or found[name].shape != reference.shape:
            return float("inf")
        numbers, wanted = (x.astype(np.float64) for x in (found[name], reference))
        scale = max(float(np.abs(wanted).max(initial=0.0)), 1e-30)
        difference = float(np.abs(numbers - wanted).max(initial=0.0))
        if not np.isfinite(difference):
            return float("inf")
        worst = max(worst, difference / scale)
    return worst
