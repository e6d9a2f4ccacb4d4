"""What a check run found: the only thing that reports are made from."""

from __future__ import annotations

from dataclasses import dataclass

from avatar_export.whitelist.finding import Finding, Severity
from avatar_export.whitelist.judgement import Judgement

FINDINGS = 1


@dataclass(frozen=True)
class CheckedModel:
    """One model judged for one target.

    Attributes:
        path: as the user gave it.
        judgement: everything that was found.
        findings: what is left of ``judgement.findings`` after selection, baseline and ``--strict``,
            with what the check itself has to say (AX3xx).
        hidden: number of findings that selection or baseline took away.
        fixed: path of the mended model that was written; empty when ``--fix`` was not asked for.
        changes: what the cures did, one line each.
    """

    path: str
    judgement: Judgement
    findings: tuple[Finding, ...]
    hidden: int = 0
    fixed: str = ""
    changes: tuple[str, ...] = ()

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Findings that make the exit code 1."""
        return tuple(f for f in self.findings if f.severity is Severity.ERROR)

    @property
    def passed(self) -> bool:
        """Whether no finding is an error."""
        return not self.errors


@dataclass(frozen=True)
class CheckRun:
    """Every model on every target, in the order they were given."""

    models: tuple[CheckedModel, ...]

    @property
    def exit_code(self) -> int:
        """1 when any model has an error for a target that was asked for, else 0."""
        return 0 if all(model.passed for model in self.models) else FINDINGS
