"""What an optimisation did: the only thing that reports are made from."""

from __future__ import annotations

from dataclasses import dataclass

from avatar_export.passes.pipeline import PassRecord
from avatar_export.whitelist.judgement import Judgement
from avatar_export.whitelist.target import Target


@dataclass(frozen=True)
class Cost:
    """What one run of a model takes.

    Attributes:
        nodes: of the main graph.
        macs: multiply-adds; nodes of unknown shapes count zero.
        milliseconds: as estimated for the goal; None where nothing was estimated.
    """

    nodes: int
    macs: int
    milliseconds: float | None


@dataclass(frozen=True)
class PassResult:
    """What one pass did.

    Attributes:
        why: why it stands where it does.
        changes: one line each.
        notes: what it left alone, and why.
        worst: largest difference of an output so far, relative to its range; 0 if not compared.
    """

    name: str
    why: str
    changes: tuple[str, ...]
    notes: tuple[str, ...]
    before: Cost
    after: Cost
    worst: float

    @classmethod
    def of(cls, record: PassRecord) -> PassResult:
        """What the pipeline says of a pass."""
        return cls(
            record.name,
            record.why,
            record.changes,
            record.notes,
            Cost(record.nodes_before, record.macs_before, _milliseconds(record.seconds_before)),
            Cost(record.nodes_after, record.macs_after, _milliseconds(record.seconds_after)),
            record.worst,
        )


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else 1e3 * seconds


@dataclass(frozen=True)
class Optimization:
    """One model, rewritten for one target.

    Attributes:
        model: path as the user gave it.
        out: path of the file that was written; empty after a dry run.
        goal: name of what the passes aimed at: a chip, or ``onnxruntime``.
        basis: where the estimates come from, and how far to trust them.
        target: the chip with its SDK and runtime; None for ONNX Runtime on this machine.
        upsample: the form of upsampling that was asked for, or ``auto``.
        verified: whether the model was run after every pass that changed something.
        passes: in order; at least one.
        dropped: inputs that the model has no more, such as one whose default became a constant.
        judged_before, judged_after: what the target's tables say of both models; None without a
            chip.
    """

    model: str
    out: str
    goal: str
    basis: str
    target: Target | None
    upsample: str
    verified: bool
    passes: tuple[PassResult, ...]
    dropped: tuple[str, ...] = ()
    judged_before: Judgement | None = None
    judged_after: Judgement | None = None

    @property
    def before(self) -> Cost:
        """Cost of the model as it was read."""
        return self.passes[0].before

    @property
    def after(self) -> Cost:
        """Cost of the model after the last pass."""
        return self.passes[-1].after

    @property
    def worst(self) -> float | None:
        """Largest difference of an output, relative to its range; None if nothing was compared."""
        return max(result.worst for result in self.passes) if self.verified else None
