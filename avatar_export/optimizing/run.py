"""One model in, the exact rewrites over it, one model out."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import onnx

from avatar_export.errors import ModelError
from avatar_export.onnx_file import read_model
from avatar_export.onnx_file.guard import guard_inputs
from avatar_export.onnx_file.write import load_weights, weight_files, write_model
from avatar_export.optimizing.goal import basis, goal_for
from avatar_export.optimizing.options import Options
from avatar_export.optimizing.prepare import prepared, require_comparable, require_valid
from avatar_export.optimizing.record import Optimization, PassResult
from avatar_export.passes.cures.inputs import random_inputs
from avatar_export.passes.cures.unique_names import UniqueNames
from avatar_export.passes.goal import Goal
from avatar_export.passes.order import optimize_order
from avatar_export.passes.pipeline import PassRecord, Step, run_pipeline
from avatar_export.whitelist.check import check
from avatar_export.whitelist.tables import load_sdk
from avatar_export.whitelist.target import Target

Show = Callable[[str], None]


def optimize(options: Options, show: Show = lambda _: None) -> Optimization:
    """Rewrite a model for a target, prove each step, and write the result.

    Args:
        show: called with one line at the start of each stage.

    Raises:
        UserError: a file cannot be read or written, or a shape does not fit its input.
        ModelError: the model is damaged, cannot be rewritten, or cannot be run for verification.
        ParityError: a pass changed what the model computes; nothing is written.
    """
    target = options.resolved_target()
    show("reading the model")
    model = read(options)
    before = check(model, target) if target else None
    goal = goal_for(target, options.wanted_form)
    show("rewriting")
    rewritten, passes = rewrite(model, target, goal, options.verify)
    after = check(rewritten, target) if target else None
    if options.out is not None and not options.dry_run:
        show("writing")
        write_model(options.out, rewritten)
    return Optimization(
        model=str(options.model),
        out="" if options.dry_run else str(options.out),
        goal=goal.name,
        basis=basis(target),
        target=target,
        upsample=options.upsample,
        verified=options.verify,
        passes=tuple(map(PassResult.of, passes)),
        dropped=_dropped_inputs(model, rewritten),
        judged_before=before,
        judged_after=after,
    )


def read(options: Options) -> onnx.ModelProto:
    """The model with its weights, ready for passes.

    Raises:
        UserError: it cannot be read, or a file to write holds its weights.
        ModelError: it is damaged, or of a kind that passes cannot rewrite.
    """
    path = options.model
    model = read_model(path, options.inputs)
    guard_inputs(weight_files(model, path.parent), options.outputs)
    try:
        load_weights(model, path.parent)
        return prepared(model)
    except ModelError as error:
        raise ModelError(f"{path}: {error.message}", error.hint) from error


def rewrite(
    model: onnx.ModelProto, target: Target | None, goal: Goal, verify: bool = True
) -> tuple[onnx.ModelProto, list[PassRecord]]:
    """A model of :func:`read` after the passes, and what each did.

    Args:
        target: its SDK decides the operator set; without one the model's own is kept.
        verify: run the model, on random inputs of a fixed seed, after every pass that changed it.

    Raises:
        ModelError: the model cannot be run, or a pass failed its own check.
        ParityError: a pass changed the result.
    """
    opset = load_sdk(target.sdk).facts.export_opset if target else None
    model, renamed = run_pipeline(model, [_RENAME], {}, verify=False, goal=goal)
    inputs = _inputs(model) if verify else {}
    steps = optimize_order(opset, goal)
    rewritten, passes = run_pipeline(model, steps, inputs, verify, goal)
    require_valid(rewritten, "the rewritten model", "this is a bug; please report it")
    return rewritten, [*(record for record in renamed if record.changes), *passes]


def _dropped_inputs(before: onnx.ModelProto, after: onnx.ModelProto) -> tuple[str, ...]:
    left = {value.name for value in after.graph.input}
    return tuple(value.name for value in before.graph.input if value.name not in left)


_RENAME = Step(UniqueNames(), "first: ONNX Runtime loads no model with two nodes of one name")


def _inputs(model: onnx.ModelProto) -> Mapping[str, np.ndarray]:
    try:
        require_comparable(model)
        return random_inputs(model)
    except ModelError as error:
        hint = "--no-verify rewrites it without running it before and after"
        raise ModelError(error.message, hint) from error
