"""Findings that a project has accepted, in a file; an entry that matches nothing is a finding."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path

from avatar_export.checking.record import CheckedModel
from avatar_export.checking.selection import Selection
from avatar_export.errors import UserError
from avatar_export.files import write_atomically
from avatar_export.whitelist.finding import Finding, Severity, Verdict
from avatar_export.whitelist.target import Target

_FORMAT = 1
UNUSED = "AX301"


@dataclass(frozen=True, order=True)
class Entry:
    """One accepted finding. No numbers: it survives a change of sizes or limits.

    Attributes:
        model: path relative to the baseline file, with forward slashes.
        target: name, SDK and runtime.
        rule: row that was broken; empty for the plain tables.
    """

    model: str
    target: str
    node: str
    code: str
    rule: str


_KEYS = tuple(f.name for f in fields(Entry))


@dataclass(frozen=True)
class Baseline:
    """A baseline file.

    Attributes:
        path: where it lies, or will.
        entries: each with the reason that somebody wrote next to it, or an empty text.
    """

    path: Path
    entries: dict[Entry, str]

    def entry(self, checked: CheckedModel, finding: Finding) -> Entry:
        """The entry that excuses a finding."""
        return Entry(
            self.relative(Path(checked.path)),
            label(checked.judgement.target),
            finding.node,
            finding.code,
            finding.rule,
        )

    def relative(self, model: Path) -> str:
        """Path of a model as entries write it."""
        return Path(os.path.relpath(model, self.path.parent)).as_posix()

    def applied(self, checked: CheckedModel, selection: Selection) -> CheckedModel:
        """The model without the findings that are excused, and with one for each idle entry."""
        matched = [(finding, self.entry(checked, finding)) for finding in checked.findings]
        left = tuple(finding for finding, entry in matched if entry not in self.entries)
        model, target = self.relative(Path(checked.path)), label(checked.judgement.target)
        idle = [
            entry
            for entry in sorted(set(self.entries) - {entry for _, entry in matched})
            if (entry.model, entry.target) == (model, target) and entry.code in selection
        ]
        said = [self._unused(entry) for entry in idle if UNUSED in selection]
        hidden = checked.hidden + len(checked.findings) - len(left)
        return replace(checked, findings=(*left, *said), hidden=hidden)

    def orphans(self, selection: Selection) -> tuple[Finding, ...]:
        """A finding for each entry of a model that is no longer there."""
        gone = {e.model for e in self.entries if not (self.path.parent / e.model).exists()}
        orphaned = [e for e in sorted(self.entries) if e.model in gone and e.code in selection]
        return tuple(self._unused(entry) for entry in orphaned if UNUSED in selection)

    def _unused(self, entry: Entry) -> Finding:
        rule = f" (rule {entry.rule})" if entry.rule else ""
        return Finding(
            UNUSED,
            Severity.ERROR,
            Verdict.SUPPORTED,
            entry.node,
            "baseline entry",
            f"{entry.model} for {entry.target} has no finding {entry.code}{rule} at this node",
            str(self.path),
            "write the baseline again with --write-baseline",
        )


def label(target: Target) -> str:
    """A target as entries write it, such as ``adreno640 2.5 gpu_float16``."""
    return f"{target.name} {target.sdk} {target.runtime}"


def read_baseline(path: Path) -> Baseline:
    """A baseline file.

    Raises:
        UserError: it is missing, damaged, or something else than a baseline.
    """
    if os.path.exists(path) and not os.path.isfile(path):  # noqa: PTH110, PTH113
        raise UserError(f"{path} is no regular file")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is no baseline: not JSON") from error
    if not isinstance(content, dict) or set(content) != {"format", "entries"}:
        raise UserError(f"{path} is no baseline: the keys must be format, entries")
    if content["format"] != _FORMAT or not isinstance(content["entries"], list):
        raise UserError(f"{path}: unknown format of baseline", f"this version writes {_FORMAT}")
    return Baseline(path, dict(_read_entry(path, i, e) for i, e in enumerate(content["entries"])))


def _read_entry(path: Path, index: int, raw: object) -> tuple[Entry, str]:
    if not isinstance(raw, dict) or set(raw) - {"reason"} != set(_KEYS):
        raise UserError(f"{path}: entry {index}: the keys must be {', '.join(_KEYS)}")
    if not all(isinstance(text, str) for text in raw.values()):
        raise UserError(f"{path}: entry {index}: every value must be a text")
    return Entry(*(raw[key] for key in _KEYS)), raw.get("reason", "")


def write_baseline(path: Path, models: Iterable[CheckedModel]) -> Baseline:
    """Record every finding; reasons that the file already gives stay with their entries.

    Raises:
        UserError: the file exists and is no baseline, or cannot be written.
    """
    before = read_baseline(path).entries if os.path.lexists(path) else {}
    empty = Baseline(path, {})
    found = {empty.entry(checked, f) for checked in models for f in checked.findings}
    entries = {entry: before.get(entry, "") for entry in sorted(found)}
    rows = [vars(entry) | ({"reason": why} if why else {}) for entry, why in entries.items()]
    text = json.dumps({"format": _FORMAT, "entries": rows}, indent=2) + "\n"
    write_atomically(path, text.encode())
    return replace(empty, entries=entries)
