"""What an optimisation was asked to do, held against itself before any model is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

from avatar_export.errors import UserError
from avatar_export.onnx_file.guard import guard_inputs
from avatar_export.onnx_file.write import data_file
from avatar_export.whitelist.target import Target
from avatar_export.whitelist.targets import load_targets, resolve_target

if TYPE_CHECKING:
    from avatar_export.passes.goal import UpsampleForm

ONNXRUNTIME = "onnxruntime"
"""Name of the one target that is no phone: ONNX Runtime on the CPU of this machine."""

AUTO = "auto"
UPSAMPLES = (AUTO, "resize", "deconv", "subpixel")


@dataclass(frozen=True)
class Options:
    """Arguments of one optimisation.

    Args:
        model: an ONNX file.
        out: the file to write; may be None for a dry run.
        target, sdk, runtime: as for a check; or the target ``onnxruntime``, which has neither.
        upsample: form of nearest upsampling, one of :data:`UPSAMPLES`; ``auto`` lets the price
            decide among those that the target takes.
        inputs: dimensions by the name of a graph input, for those that the file leaves open.
        verify: run the model after every pass that changed something.
        dry_run: do everything but write.

    Raises:
        UserError: the arguments do not fit each other.
    """

    model: Path
    out: Path | None = None
    target: str | None = None
    sdk: str | None = None
    runtime: str | None = None
    upsample: str = AUTO
    inputs: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    verify: bool = True
    dry_run: bool = False

    def __post_init__(self) -> None:
        if self.out is None and not self.dry_run:
            raise UserError("no file to write", "name one with --out, or give --dry-run")
        if self.upsample not in UPSAMPLES:
            raise UserError(
                f"unknown form of upsampling {self.upsample!r}", f"known: {', '.join(UPSAMPLES)}"
            )
        if self.target == ONNXRUNTIME and (self.sdk or self.runtime):
            raise UserError(f"--target {ONNXRUNTIME} has neither --sdk nor --runtime")
        self.resolved_target()
        guard_inputs([self.model], self.outputs)

    @property
    def outputs(self) -> tuple[Path, ...]:
        """Files that may be written: the model, and the weights of a large one."""
        return () if self.out is None else (self.out, data_file(self.out))

    @property
    def wanted_form(self) -> UpsampleForm | None:
        """Form of upsampling that is wanted whatever it costs; None lets the price decide."""
        return None if self.upsample == AUTO else cast("UpsampleForm", self.upsample)

    def resolved_target(self) -> Target | None:
        """The chip with its SDK and runtime; None for ONNX Runtime on this machine.

        Raises:
            UserError: a name is unknown.
        """
        known = (*load_targets(), ONNXRUNTIME)
        if self.target is not None and self.target not in known:
            raise UserError(f"unknown target {self.target!r}", f"known: {', '.join(known)}")
        if self.target == ONNXRUNTIME:
            return None
        return resolve_target(self.target, self.sdk, self.runtime)
