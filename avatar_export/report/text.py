"""The short result on a terminal."""

from __future__ import annotations

from pathlib import Path

from avatar_export.conversion.record import Conversion, GraphRecord


def render(conversion: Conversion, out: Path, explain: bool = False) -> str:
    """A few lines: the verdict, one line a file, parity; every pass with ``explain``."""
    lines = [_verdict(conversion), ""]
    for record in conversion.graphs:
        lines.append(_graph(record))
        if explain and not record.fp16:
            lines += _passes(record)
    lines += ["", _parity(conversion)]
    lines += [f"note: {note}" for note in conversion.notes]
    lines.append(f"report: {out / 'report.md'}")
    return "\n".join(lines) + "\n"


def _verdict(conversion: Conversion) -> str:
    target = conversion.target
    fits = "fits" if conversion.fits else "does NOT fit"
    return (
        f"{conversion.frame.file} {fits} {target.gpu} ({target.chip}), SNPE {target.sdk}, "
        f"{target.runtime}"
    )


def _graph(record: GraphRecord) -> str:
    findings = "half precision"
    if record.judgement is not None:
        errors, warnings = len(record.judgement.errors), len(record.judgement.warnings)
        where = record.judgement.target.runtime
        findings = "clean" if record.judgement.clean else f"{errors} errors, {warnings} warnings"
        findings = f"{findings} on {where}"
    cost = f"{record.nodes:4} nodes  {record.macs_after / 1e9:7.3f} GMAC"
    dlc = f"  + {record.dlc_file}" if record.dlc_file else ""
    return f"  {record.file:22} {cost}  {findings}{dlc}"


def _passes(record: GraphRecord) -> list[str]:
    lines = []
    for p in record.passes:
        nodes = f"{p.nodes_before} -> {p.nodes_after} nodes"
        lines.append(f"    {p.name}: {nodes}, {len(p.changes)} changes; {p.why}")
        lines += [f"      {change}" for change in p.changes]
        lines += [f"      note: {note}" for note in p.notes]
    return lines


def _parity(conversion: Conversion) -> str:
    exact = [p for p in conversion.parity if p.tolerance.max_abs is not None]
    half = [
        p.psnr_db for p in conversion.parity if p.step == "fp16 picture" and p.psnr_db is not None
    ]
    worst = max(p.max_abs for p in exact)
    line = f"parity: {len(conversion.parity)} comparisons passed, worst difference {worst:.1e}"
    return f"{line}; float16 {min(half):.1f} dB" if half else line
