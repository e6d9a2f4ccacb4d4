"""A check run: judge, count, mend where asked; the result is one record."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from avatar_export.checking.baseline import read_baseline, write_baseline
from avatar_export.checking.counting import Counting
from avatar_export.checking.judging import Question, judge_all
from avatar_export.checking.options import Options
from avatar_export.checking.paths import find_models
from avatar_export.checking.record import CheckedModel, CheckRun
from avatar_export.checking.repair import repair
from avatar_export.errors import AvatarExportError, UserError
from avatar_export.onnx_file.guard import guard_inputs

Show = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """What came of a run.

    Attributes:
        run: every model that could be judged.
        failures: why the others could not.
    """

    run: CheckRun
    failures: tuple[AvatarExportError, ...] = ()

    @property
    def exit_code(self) -> int:
        """That of the gravest failure; without one, 1 for findings and 0 for none."""
        return max((f.exit_code for f in self.failures), default=self.run.exit_code)


def run_checks(options: Options, show: Show = lambda _: None) -> Outcome:
    """Judge every model for every target.

    Args:
        show: called with one line for each model that is done.

    Raises:
        UserError: options that fit neither each other nor the files, or a damaged baseline.
        ModelError: the model to mend is damaged, or cannot be run to prove its cures.
        ParityError: a cure changed what the model computes.
    """
    paths = find_models(options.models)
    baseline = read_baseline(options.baseline) if options.baseline else None
    guard_inputs((*paths, *([baseline.path] if baseline else [])), options.outputs)
    several = len(paths) > 1
    question = Question(options.resolved_targets(), options.inputs, options.second_opinion, several)
    counting = Counting(options.strict, options.selection, baseline)
    if options.fix:
        if len(paths) != 1:
            raise UserError(f"--fix mends one model, and {len(paths)} are given")
        out = None if options.dry_run else options.fix
        return Outcome(CheckRun(repair(paths[0], out, question, counting, options.verify)))
    checked: list[CheckedModel] = []
    failures: list[AvatarExportError] = []
    for path, answer in zip(paths, judge_all(paths, question, options.jobs), strict=True):
        show(str(path))
        if isinstance(answer, AvatarExportError):
            failures.append(answer)
        else:
            checked += counting.selected(path, answer)
    if not failures:
        require_inputs(options.inputs, checked)
    if options.write_baseline and not failures:
        baseline = write_baseline(options.write_baseline, checked)
    counting = replace(counting, baseline=baseline)
    return Outcome(CheckRun(counting.excused(checked)), tuple(failures))


def require_inputs(names: Iterable[str], checked: Iterable[CheckedModel]) -> None:
    """Make sure that each named input is one of some model.

    Raises:
        UserError: none has it; the hint lists those there are. Models that differ need not all
            have the inputs of the others.
    """
    ports = (port for model in checked for port in model.judgement.ports)
    known = {port.name: None for port in ports if port.direction == "input"}
    for name in names:
        if name not in known:
            raise UserError(f"no model has an input {name!r}", f"their inputs: {', '.join(known)}")
