"""One graph: exported, rewritten by the passes, judged for the target, written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx

from avatar_export import __version__
from avatar_export.conversion.record import GraphRecord
from avatar_export.graphs.export import export_onnx
from avatar_export.graphs.spec import Graph
from avatar_export.optimizing.goal import goal_for
from avatar_export.passes.goal import UpsampleForm
from avatar_export.passes.order import Runs, bake_order, draft_order, optimize_order
from avatar_export.passes.pipeline import PassRecord, run_pipeline
from avatar_export.whitelist.check import check
from avatar_export.whitelist.judgement import Judgement
from avatar_export.whitelist.tables import load_sdk
from avatar_export.whitelist.target import Target
from avatar_export.whitelist.targets import resolve_target

_EMPTY: dict[str, np.ndarray] = {}


@dataclass(frozen=True)
class Built:
    """A model after its passes, with the verdict for the target."""

    graph: Graph
    model: onnx.ModelProto
    passes: list[PassRecord]
    judgement: Judgement

    def record(self, file: str, title: str) -> GraphRecord:
        """The record of this graph under a file name; constants are no inputs any more."""
        left = {value.name for value in self.model.graph.input}
        return GraphRecord(
            file=file,
            title=title,
            inputs=tuple(spec for spec in self.graph.inputs if spec.name in left),
            outputs=self.graph.outputs,
            opset=self.model.opset_import[0].version,
            ir_version=self.model.ir_version,
            nodes=len(self.model.graph.node),
            passes=tuple(self.passes),
            judgement=self.judgement,
        )


def build(
    graph: Graph,
    target: Target,
    inputs: Mapping[str, np.ndarray],
    constants: Mapping[str, np.ndarray] = _EMPTY,
    runs: Runs = (),
    exported: onnx.ModelProto | None = None,
    upsample: UpsampleForm | None = None,
) -> Built:
    """Export a graph and run the passes over it.

    Args:
        graph: what to export.
        target: decides the operator set and between equal forms, and gives the verdict.
        inputs: values of all inputs, for the check after each pass.
        constants: inputs that become constants (baking).
        runs: what the baked graph is fed, to measure how large its tensors get.
        exported: the graph's ONNX, if it was exported before.
        upsample: form of upsampling whatever it costs; None takes the cheapest for the target.

    Raises:
        ModelError, ParityError: as the exporter and the passes.
    """
    opset = load_sdk(target.sdk).facts.export_opset
    goal = goal_for(target, upsample)
    order = optimize_order(opset, goal, runs)
    if constants:
        order = bake_order(constants, order)
    model, passes = run_pipeline(exported or export_onnx(graph), order, inputs, goal=goal)
    _name_producer(model)
    return Built(graph, model, passes, check(model, target))


def draft(graph: Graph, target: Target, exported: onnx.ModelProto) -> Built:
    """The graph with all that decides its verdict, not made cheaper and not proved.

    Args:
        exported: the graph's ONNX; the rest is as for :func:`build`.
    """
    order = draft_order(load_sdk(target.sdk).facts.export_opset)
    model, passes = run_pipeline(exported, order, {}, verify=False)
    return Built(graph, model, passes, check(model, target))


def on_cpu(target: Target) -> Target:
    """The same chip and SDK with the CPU runtime."""
    return resolve_target(target.name, target.sdk, "cpu")


def once_judgement(built: Built, target: Target) -> Judgement:
    """Verdict for a graph that runs once a person: for the target, or for its CPU.

    Seconds are allowed there, so what the target's runtime refuses may run on the CPU runtime of
    the same SDK; the judgement names the runtime it is for.
    """
    wanted = built.judgement
    if not wanted.errors:
        return wanted
    fallback = check(built.model, on_cpu(target))
    return fallback if len(fallback.errors) < len(wanted.errors) else wanted


def fewest_findings(
    candidates: list[Graph],
    target: Target,
    inputs: Mapping[str, np.ndarray],
    upsample: UpsampleForm | None = None,
) -> Built:
    """Build the once-a-person candidate that the target takes best, or its CPU.

    Fewest errors, then the target's own runtime before its CPU, then fewest findings; the first
    wins a tie. Only the winner is verified pass by pass.
    """
    exported = [export_onnx(graph) for graph in candidates]
    scores: list[tuple[int, bool, int]] = []
    for graph, model in zip(candidates, exported, strict=True):
        if len(candidates) == 1:
            break
        verdict = once_judgement(draft(graph, target, model), target)
        elsewhere = verdict.target.runtime != target.runtime
        scores.append((len(verdict.errors), elsewhere, len(verdict.findings)))
    best = scores.index(min(scores)) if scores else 0
    built = build(candidates[best], target, inputs, exported=exported[best], upsample=upsample)
    return replace(built, judgement=once_judgement(built, target))


def save(model: onnx.ModelProto, path: Path) -> None:
    """Write a checked model."""
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _name_producer(model: onnx.ModelProto) -> None:
    """Producer fields that do not change from run to run."""
    model.producer_name = "avatar-export"
    model.producer_version = __version__
