"""report.md: what a person reads after a conversion."""

from __future__ import annotations

from collections import Counter

from avatar_export.conversion.record import Conversion, GraphRecord
from avatar_export.precision.fp16 import Fp16Report
from avatar_export.report.markdown_table import table
from avatar_export.whitelist.finding import Severity
from avatar_export.whitelist.judgement import Judgement


def render(conversion: Conversion) -> str:
    """The report, with parity.png linked where there is one."""
    sections = [_head(conversion)]
    if conversion.pictures:
        sections.append("![source, PyTorch, exported, half precision, difference](parity.png)")
    sections += [
        _section("Verdict", _verdict(conversion)),
        _section("Files", _files(conversion)),
        _section("Parity", _parity(conversion)),
        _section("Passes", "\n\n".join(_passes(g) for g in conversion.graphs if not g.fp16)),
        *(_section("Half precision", _half(g.fp16)) for g in conversion.graphs if g.fp16),
        _section("DLC", _dlc(conversion)),
    ]
    if conversion.notes:
        sections.append(_section("Notes", "\n".join(f"- {note}" for note in conversion.notes)))
    return "\n\n".join(sections) + "\n"


def giga(macs: int) -> str:
    """Multiply-adds in units of 10^9, three decimals."""
    return f"{macs / 1e9:.3f}"


def _section(title: str, body: str) -> str:
    return f"## {title}\n\n{body}"


def _head(conversion: Conversion) -> str:
    target = conversion.target
    fits = "fits" if conversion.fits else "does **not** fit"
    enhancer = f" and {conversion.enhancer}" if conversion.enhancer else ""
    return (
        f"# {conversion.run}{enhancer}\n\n"
        f"The per-frame graph {fits} {target.chip}, {target.gpu}: SNPE {target.sdk}, "
        f"runtime {target.runtime}."
    )


def _verdict(conversion: Conversion) -> str:
    rows = []
    details = []
    for record in conversion.graphs:
        judgement = record.judgement
        if judgement is None:
            continue
        verdict = "clean" if judgement.clean else "errors" if judgement.errors else "warnings"
        rows.append(
            [
                record.file,
                judgement.target.runtime,
                verdict,
                len(judgement.errors),
                len(judgement.warnings),
                record.nodes,
            ]
        )
        details += _findings(record.file, judgement)
    summary = table(["graph", "runtime", "verdict", "errors", "warnings", "nodes"], rows)
    return "\n\n".join([summary, "\n".join(details)]) if details else summary


def _findings(file: str, judgement: Judgement) -> list[str]:
    """One line for each kind of finding, errors first, with one node as an example."""
    kinds = Counter((f.severity, f.code, f.operator) for f in judgement.findings)
    lines = []
    for (severity, code, operator), count in sorted(
        kinds.items(), key=lambda item: (item[0][0] != Severity.ERROR, item[0])
    ):
        first = next(
            f
            for f in judgement.findings
            if (f.severity, f.code, f.operator) == (severity, code, operator)
        )
        fix = f" Fix: {first.fix}." if first.fix else ""
        lines.append(
            f"- {file}: {code} {severity}, {count} x {operator}, first {first.node or '(input)'}: "
            f"{first.reason}.{fix} Source: {first.source}"
        )
    return lines


def _files(conversion: Conversion) -> str:
    rows = [
        [g.file, g.title, g.opset, g.nodes, giga(g.macs_before), giga(g.macs_after)]
        for g in conversion.graphs
    ]
    header = ["file", "runs", "operator set", "nodes", "GMAC exported", "GMAC written"]
    return table(header, rows)


def _parity(conversion: Conversion) -> str:
    rows: list[list[object]] = [
        [
            p.step,
            p.subject,
            p.reference,
            p.output,
            f"{p.max_abs:.2g}",
            "" if p.psnr_db is None else f"{p.psnr_db:.1f}",
            "" if p.ssim is None else f"{p.ssim:.4f}",
            p.tolerance,
            "passed" if p.passed else "FAILED",
        ]
        for p in conversion.parity
        if not p.output.startswith("inf_")
    ]
    rows += _adaptive_row(conversion)
    header = ["step", "file", "against", "output", "max abs", "PSNR dB", "SSIM", "allowed", ""]
    return table(header, rows)


def _adaptive_row(conversion: Conversion) -> list[list[object]]:
    """The adaptive parameters in one row: dozens of outputs, of which the worst is of interest."""
    rows = [p for p in conversion.parity if p.output.startswith("inf_")]
    if not rows:
        return []
    worst = max(rows, key=lambda p: p.max_abs)
    name = f"{len(rows)} adaptive parameters"
    verdict = "passed" if all(p.passed for p in rows) else "FAILED"
    return [
        [
            worst.step,
            worst.subject,
            worst.reference,
            name,
            f"{worst.max_abs:.2g}",
            "",
            "",
            worst.tolerance,
            verdict,
        ]
    ]


def _passes(record: GraphRecord) -> str:
    rows = [
        [
            p.name,
            len(p.changes),
            f"{p.nodes_before} -> {p.nodes_after}",
            f"{giga(p.macs_before)} -> {giga(p.macs_after)}",
            _milliseconds(p.seconds_before, p.seconds_after),
            f"{p.worst:.1e}",
            p.why,
        ]
        for p in record.passes
    ]
    header = ["pass", "changes", "nodes", "GMAC", "est. ms", "worst change", "stands here because"]
    notes = "".join(f"\n- {p.name}: {note}" for p in record.passes for note in p.notes)
    return f"### {record.file}\n\n" + table(header, rows) + (f"\n{notes}" if notes else "")


def _milliseconds(before: float | None, after: float | None) -> str:
    if before is None or after is None:
        return ""
    return f"{1e3 * before:.2f} -> {1e3 * after:.2f}"


# What a kind of FP16 finding means, in a few words.
_HALF_KINDS = {
    "subnormal": "constants with numbers that half precision rounds to few bits or to zero",
    "non_finite": "constants that hold infinity or NaN",
    "unbounded": "bounds beyond 65504, which became infinite",
    "attribute": "attributes that half precision cannot hold",
    "epsilon": "epsilons below the normal range of half precision",
    "float_only": "operators without a half form, kept in float32 between casts",
}


def _half(report: Fp16Report) -> str:
    """What the conversion to half precision found, one line a kind."""
    size = f"{report.bytes_before / 1e6:.2f} MB became {report.bytes_after / 1e6:.2f} MB"
    lines = [f"{size}; {report.casts_inserted} casts inserted."]
    kinds = Counter(finding.kind for finding in report.findings)
    for kind, count in sorted(kinds.items()):
        names = [f.name for f in report.findings if f.kind == kind]
        lines.append(f"- {kind}: {count} {_HALF_KINDS[kind]}; the first: {names[0]}")
    return "\n".join(lines)


def _dlc(conversion: Conversion) -> str:
    lines = []
    for record in conversion.graphs:
        if record.dlc is None:
            lines.append(f"- {record.file}: no DLC. {record.dlc_note}")
            continue
        dlc = record.dlc
        tensors = ", ".join(f"{t.name} {list(t.shape)} ({t.layout})" for t in dlc.io)
        lines += [
            f"- **{record.dlc_file}**, by {dlc.writer} {dlc.writer_version}: {tensors}",
            f"  - expected to load: {dlc.readers.expected}",
            f"  - how that is known: {dlc.readers.evidence}",
            f"  - {dlc.readers.advice}",
            *(f"  - warning: {warning}" for warning in dlc.warnings),
        ]
    return "\n".join(lines)
