"""What a check was asked to do, held against itself before any model is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from avatar_export.checking.selection import Selection
from avatar_export.errors import UserError
from avatar_export.whitelist.target import Target
from avatar_export.whitelist.targets import resolve_target


@dataclass(frozen=True)
class Options:
    """Arguments of one check run.

    Args:
        models: ONNX or DLC files, and folders of them.
        targets, sdks, runtimes: rows of ``layer_whitelist/``. Every combination is judged; none
            named is the default target, or what is usual for the target.
        inputs: dimensions by the name of a graph input, for those that the file leaves open.
        selection: codes that count.
        strict: count an unknown verdict as an error.
        baseline: findings to leave out, and ``write_baseline`` where to record them instead.
        fix: where to write the model with the cures applied that its findings name.
        out: where the caller writes the report; held against the other files only.
        verify: with ``fix``, prove each cure by running the model before and after it.
        dry_run: with ``fix``, say what would be applied and write nothing.
        second_opinion: also ask the op validator of onnxruntime-qnn's GPU backend.
        jobs: processes to spread the models over; 0 is one a core.
    """

    models: tuple[Path, ...]
    targets: tuple[str, ...] = ()
    sdks: tuple[str, ...] = ()
    runtimes: tuple[str, ...] = ()
    inputs: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    selection: Selection = field(default_factory=Selection)
    strict: bool = False
    baseline: Path | None = None
    write_baseline: Path | None = None
    fix: Path | None = None
    out: Path | None = None
    verify: bool = True
    dry_run: bool = False
    second_opinion: bool = False
    jobs: int = 1

    def __post_init__(self) -> None:
        if not self.models:
            raise UserError("no model given", "name .onnx or .dlc files, or folders of them")
        if self.baseline and self.write_baseline:
            raise UserError("--baseline and --write-baseline exclude each other")
        if self.fix and self.write_baseline:
            raise UserError("--fix and --write-baseline exclude each other")
        if self.dry_run and not self.fix:
            raise UserError("--dry-run needs --fix", "without it a check writes nothing anyway")

    @property
    def outputs(self) -> tuple[Path, ...]:
        """Files that the run is to write."""
        return tuple(path for path in (self.fix, self.out, self.write_baseline) if path)

    def resolved_targets(self) -> tuple[Target, ...]:
        """Every combination of target, SDK and runtime once, in the order given.

        Raises:
            UserError: a name is unknown, or no GPU is among them for a second opinion.
        """
        asked = product(self.targets or (None,), self.sdks or (None,), self.runtimes or (None,))
        targets = tuple(dict.fromkeys(resolve_target(*names) for names in asked))
        if self.second_opinion and not any(target.column == "gpu" for target in targets):
            raise UserError(
                "the second opinion speaks of the GPU only", "judge for --runtime gpu_float16"
            )
        return targets
