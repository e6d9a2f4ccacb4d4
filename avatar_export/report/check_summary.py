"""What the formats of a check share: groups of findings, numbers of a model, places."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from avatar_export.checking.record import CheckedModel
from avatar_export.report.check_escape import printable
from avatar_export.whitelist.codes import Code, find_code
from avatar_export.whitelist.finding import Finding, Severity, Verdict
from avatar_export.whitelist.judgement import Judgement
from avatar_export.whitelist.target import Target

# Worst first. A warning whose verdict is unknown may hide an error.
LEVELS = ("error", "unknown", "warning")
_WORST_FIRST = (Verdict.UNSUPPORTED, Verdict.UNKNOWN, Verdict.CONSTRAINED, Verdict.SUPPORTED)


@dataclass(frozen=True)
class Group:
    """Findings of one code and one level, in the order of the model.

    Attributes:
        level: one of ``LEVELS``.
    """

    level: str
    code: Code
    findings: tuple[Finding, ...]


def level(finding: Finding) -> str:
    """Its severity, or ``unknown`` for a warning where no document decides."""
    if finding.severity is Severity.WARNING and finding.verdict is Verdict.UNKNOWN:
        return "unknown"
    return str(finding.severity)


def groups(findings: Iterable[Finding]) -> list[Group]:
    """Findings by code, errors first, then unknown, then warnings."""
    kinds: dict[tuple[int, str], list[Finding]] = {}
    for finding in findings:
        kinds.setdefault((LEVELS.index(level(finding)), finding.code), []).append(finding)
    return [
        Group(LEVELS[rank], find_code(code), tuple(kinds[rank, code]))
        for rank, code in sorted(kinds)
    ]


def verdict(model: CheckedModel) -> Verdict:
    """The worst of the findings that are left; supported where there are none."""
    left = {finding.verdict for finding in model.findings}
    return next((v for v in _WORST_FIRST if v in left), Verdict.SUPPORTED)


def label(target: Target) -> str:
    """Such as ``SNPE 2.5 gpu_float16 (adreno640)``."""
    return f"SNPE {target.sdk} {target.runtime} ({target.name})"


def place(finding: Finding) -> str:
    """Operator, node, and the PyTorch module in brackets where it is known."""
    module = f" ({finding.origin})" if finding.origin else ""
    return printable(f"{finding.operator} {finding.node or '(no name)'}{module}")


def advice(finding: Finding) -> str:
    """What to do about it; empty where nothing is known."""
    cure = f"check --fix applies {finding.cure}" if finding.cure else ""
    return printable("; ".join(part for part in (finding.fix, cure) if part))


def counted(number: int, noun: str) -> str:
    """``1 node``, ``2 nodes``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def outcome(model: CheckedModel) -> str:
    """Such as ``2 errors, 3 warnings (1 unknown)``; ``fine`` where nothing was found or hidden."""
    if not model.findings:
        return "no findings left" if model.hidden else "fine"
    levels = Counter(level(finding) for finding in model.findings)
    parts = [counted(levels["error"], "error")] if levels["error"] else []
    if warnings := levels["warning"] + levels["unknown"]:
        unknown = f" ({levels['unknown']} unknown)" if levels["unknown"] else ""
        parts.append(counted(warnings, "warning") + unknown)
    return ", ".join(parts)


def share(judgement: Judgement) -> str:
    """What part of the nodes, and of the multiply-adds, is supported without reserve."""
    counts, macs = judgement.counts, judgement.macs
    nodes, work = sum(counts.values()), sum(macs.values())
    if counts[Verdict.SUPPORTED] == nodes:
        return f"all {counted(nodes, 'node')}" + (f", {multiply_adds(work)}" if work else "")
    parts = [f"{percent(counts[Verdict.SUPPORTED], nodes)} of {counted(nodes, 'node')}"]
    if work:
        parts.append(f"{percent(macs[Verdict.SUPPORTED], work)} of {multiply_adds(work)}")
    return f"{' and '.join(parts)} are fine"


def percent(part: int, whole: int) -> str:
    """Rounded down, so that only all of it is 100 %; ``whole`` is not 0."""
    rounded = 100 * part // whole
    return "under 1 %" if part and not rounded else f"{rounded} %"


def multiply_adds(macs: int) -> str:
    """With the unit that leaves the fewest digits, such as ``0.96 GMAC``."""
    for unit, size in (("GMAC", 10**9), ("MMAC", 10**6), ("kMAC", 10**3)):
        if macs * 10 >= size:
            return f"{macs / size:.2f} {unit}"
    return f"{macs} MAC"


def headline(model: CheckedModel) -> str:
    """All of a model in one line."""
    judgement = model.judgement
    hidden = f"; {counted(model.hidden, 'finding')} hidden" if model.hidden else ""
    said = f"{outcome(model)} for {label(judgement.target)}; {share(judgement)}{hidden}"
    return f"{printable(model.path)}: {said}"


def project_path(path: str) -> str:
    """The path below the current folder with forward slashes; absolute for a file elsewhere."""
    here = Path.cwd()
    whole = Path(os.path.normpath(here / path))
    return (whole.relative_to(here) if whole.is_relative_to(here) else whole).as_posix()
