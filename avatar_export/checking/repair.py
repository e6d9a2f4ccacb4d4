"""``--fix``: apply the cures that findings name, and write the mended model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import onnx

from avatar_export.checking.counting import Counting
from avatar_export.checking.judging import Question, judge_model
from avatar_export.checking.paths import guard_inputs, is_dlc
from avatar_export.checking.record import CheckedModel
from avatar_export.errors import ModelError, UserError
from avatar_export.files import staged_folder, write_atomically
from avatar_export.onnx_file import read_model
from avatar_export.whitelist.tables import load_sdk
from avatar_export.whitelist.target import Target

_WEIGHTS_AT_MOST = 2**31 - 2**26  # of a message of 2 GB; the rest is for the graph


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


def weight_files(model: onnx.ModelProto, folder: Path) -> set[Path]:
    """Files that hold tensors of the model."""
    entries = (entry for tensor in model.graph.initializer for entry in tensor.external_data)
    return {folder / entry.value for entry in entries if entry.key == "location"}


def data_file(path: Path) -> Path:
    """Where the weights of a large model go that is written to ``path``."""
    return path.with_name(f"{path.name}.data")


def load_weights(model: onnx.ModelProto, folder: Path) -> None:
    """Move the tensors that lie in other files into the model, which is to live elsewhere.

    Raises:
        ModelError: such a file is missing, too short, or outside the folder.
    """
    try:
        onnx.load_external_data_for_model(model, str(folder))
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        raise ModelError(f"cannot read the weights of the model: {error}") from error


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


def write_model(path: Path, model: onnx.ModelProto) -> None:
    """Write an ONNX file, whole or not at all; beyond 2 GB its weights go into ``<name>.data``.

    Raises:
        UserError: the folder cannot be written.
    """
    # Not ByteSize(), which serialises, and fails beyond the limit.
    weights = sum(len(tensor.raw_data) for tensor in model.graph.initializer)
    if weights <= _WEIGHTS_AT_MOST:
        write_atomically(path, model.SerializeToString())
        return
    with staged_folder(path.parent) as folder:
        onnx.save_model(
            model, folder / path.name, save_as_external_data=True, location=data_file(path).name
        )
