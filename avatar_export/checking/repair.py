"""``--fix``: apply the cures that findings name, and write the mended model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import onnx

from avatar_export.checking.counting import Counting
from avatar_export.checking.judging import Question, judge_model
from avatar_export.checking.paths import is_dlc
from avatar_export.checking.record import CheckedModel
from avatar_export.errors import ModelError, UserError
from avatar_export.onnx_file import read_model
from avatar_export.onnx_file.guard import guard_inputs
from avatar_export.onnx_file.write import data_file, load_weights, weight_files, write_model
from avatar_export.whitelist.tables import load_sdk
from avatar_export.whitelist.target import Target


def repair(
    path: Path, out: Path | None, question: Question, counting: Counting, verify: bool = True
) -> tuple[CheckedModel, ...]:
    """Apply the cures that findings of an ONNX model name, for as long as there are new ones.

    A cure may bring another finding to light, so the model is judged again after each round.

    Args:
        out: where to write the mended model; None only says what would be applied.
        verify: prove each cure by running the model before and after it.

    Returns:
        what is left of the findings, for every target, and what was done.

    Raises:
        UserError: the file is a DLC, or cannot be read, or ``out`` cannot be written.
        ModelError: the model is damaged, or cannot be run, so that nothing can be proved.
        ParityError: a cure changed what the model computes; the message names it.
    """
    refuse_dlc(path)
    model = read_model(path, question.inputs)
    checked = counting.excused(counting.selected(path, judge_model(model, question)))
    if out is None:
        return tuple(replace(one, changes=plan(named_cures(checked))) for one in checked)
    guard_inputs(weight_files(model, path.parent), (out, data_file(out)))
    load_weights(model, path.parent)
    applied: dict[str, tuple[str, ...]] = {}
    while cures := [name for name in named_cures(checked) if name not in applied]:
        model, done = mend(model, cures, question.targets, verify)
        applied |= done | {name: () for name in cures if name not in done}
        checked = counting.excused(counting.selected(path, judge_model(model, question)))
    write_model(out, model)
    changes = told(applied, verify)
    return tuple(replace(one, fixed=str(out), changes=changes) for one in checked)


def named_cures(models: Iterable[CheckedModel]) -> dict[str, tuple[str, ...]]:
    """Passes that the findings name, each with the findings as ``AX205 at PRelu_3``."""
    named: dict[str, dict[str, None]] = {}
    for finding in (f for checked in models for f in checked.findings if f.cure):
        named.setdefault(finding.cure, {})[f"{finding.code} at {finding.node}"] = None
    return {cure: tuple(reasons) for cure, reasons in named.items()}


def plan(cures: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    """What a repair would do, one line a pass."""
    return tuple(f"would apply {cure}: {', '.join(where)}" for cure, where in cures.items())


def mend(
    model: onnx.ModelProto, cures: Sequence[str], targets: Iterable[Target], verify: bool = True
) -> tuple[onnx.ModelProto, dict[str, tuple[str, ...]]]:
    """The model with the cures applied, and by cure what it did or left, one line each.

    Raises:
        ModelError: the model cannot be run, so that nothing can be proved.
        ParityError: a cure changed what the model computes; the message names it.
    """
    # Here, not above: passes import onnx_ir and onnxruntime, and a plain check needs neither.
    from avatar_export.passes.cures.order import apply_cures

    # The oldest set that any of the targets wants: all the converters take older operators.
    opset = min(load_sdk(target.sdk).facts.export_opset for target in targets)
    try:
        mended, records = apply_cures(model, cures, opset=opset, verify=verify)
    except ModelError as error:
        hint = "--no-verify applies the cures unproved" if verify else error.hint
        raise ModelError(error.message, hint) from error
    return mended, {record.name: (*record.changes, *record.notes) for record in records}


def told(applied: Mapping[str, tuple[str, ...]], verified: bool) -> tuple[str, ...]:
    """What cures did, one line a change."""
    lines = [f"{name}: {line}" for name, done in applied.items() for line in done]
    unproved = "not verified: the model was not run before and after the cures"
    return (*lines, *((unproved,) if applied and not verified else ()))


def refuse_dlc(path: Path) -> None:
    """Raise a UserError for a DLC: its operations are Qualcomm's, and no pass rewrites them."""
    if is_dlc(path):
        raise UserError(f"{path} is a DLC; cures are for ONNX models", "mend the ONNX model")
