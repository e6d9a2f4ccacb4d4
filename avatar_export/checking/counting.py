"""Which findings count: strictness, selection, baseline."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from avatar_export.checking.baseline import Baseline
from avatar_export.checking.judging import Judged
from avatar_export.checking.record import CheckedModel
from avatar_export.checking.selection import Selection
from avatar_export.checking.strict import strict_findings


@dataclass(frozen=True)
class Counting:
    """What turns judgements into a result, in this order.

    Attributes:
        strict: an unknown verdict is an error.
        selection: codes that count.
        baseline: findings that are excused.
    """

    strict: bool
    selection: Selection
    baseline: Baseline | None

    def selected(self, path: Path, judged: Iterable[Judged]) -> list[CheckedModel]:
        """One model on every target, with the findings whose codes count."""
        return [self._selected(path, one) for one in judged]

    def _selected(self, path: Path, judged: Judged) -> CheckedModel:
        judgement = judged.judgement
        own = strict_findings(judgement) if self.strict else judgement.findings
        found = (*own, *judged.extra)
        left = tuple(finding for finding in found if finding.code in self.selection)
        return CheckedModel(str(path), judgement, left, hidden=len(found) - len(left))

    def excused(self, checked: Sequence[CheckedModel]) -> tuple[CheckedModel, ...]:
        """The models without what the baseline excuses, and with what it has in vain."""
        if self.baseline is None:
            return tuple(checked)
        excused = [self.baseline.applied(model, self.selection) for model in checked]
        orphans = self.baseline.orphans(self.selection)
        if excused and orphans:  # they belong to no model of this run; the first one carries them
            excused[0] = replace(excused[0], findings=(*excused[0].findings, *orphans))
        return tuple(excused)
