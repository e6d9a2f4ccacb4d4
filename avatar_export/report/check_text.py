"""The result of a check for a terminal and the log of a CI job.

One line a finding, with its code, so that ``grep AX103`` and ``grep NODE`` both find it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

from avatar_export.checking.record import CheckedModel, CheckRun
from avatar_export.report.check_escape import printable
from avatar_export.report.check_summary import (
    Group,
    advice,
    counted,
    groups,
    headline,
    label,
    place,
)
from avatar_export.whitelist.finding import Finding
from avatar_export.whitelist.judgement import Dims, Port

# Findings shown of one code, unless all are asked for.
LISTED = 5

# SGR codes: bold red, magenta, yellow; green.
_COLOURS = {"error": "1;31", "unknown": "1;35", "warning": "1;33", "fine": "1;32"}

Paint = Callable[[str, str], str]


def render(run: CheckRun, colour: bool = False, verbose: bool = False) -> str:
    """A block a model, one line where there is nothing to say.

    Args:
        colour: with ANSI colours.
        verbose: every finding and every port, instead of the first few and those that change.
    """
    paint = _coloured if colour else _plain
    lines: list[str] = []
    for model in run.models:
        block = _model(model, paint, verbose)
        lines += block if len(block) == 1 else [*block, ""]
    if len(run.models) > 1:
        lines.append(_total(run, paint))
    return "\n".join(lines).rstrip("\n") + "\n"


def _plain(text: str, style: str) -> str:
    return text


def _coloured(text: str, style: str) -> str:
    return f"\x1b[{_COLOURS[style]}m{text}\x1b[0m"


def _model(model: CheckedModel, paint: Paint, verbose: bool) -> list[str]:
    found = groups(model.findings)
    body = [
        line
        for lines in (
            *(_group(group, paint, verbose) for group in found),
            _ports(model.judgement.ports, verbose),
            _changes(model),
        )
        if lines
        for line in (*lines, "")
    ]
    worst = found[0].level if found else "fine"
    last = paint(headline(model), worst)
    if not body:
        return [last]
    return [f"{printable(model.path)} for {label(model.judgement.target)}", "", *body, last]


def _group(group: Group, paint: Paint, verbose: bool) -> list[str]:
    code, findings = group.code, group.findings
    shown = findings if verbose else findings[:LISTED]
    head = f"{group.level} {code.code}: {code.title} ({counted(len(findings), 'finding')})"
    lines = [paint(head, group.level), *_findings(shown)]
    if len(shown) < len(findings):
        lines.append(f"  and {len(findings) - len(shown)} more of {code.code}; --verbose lists all")
    return lines


def _findings(findings: Sequence[Finding]) -> Iterator[str]:
    """Fix and source once for neighbours that share them."""
    for (fix, source), same in groupby(findings, key=lambda f: (advice(f), f.source)):
        for finding in same:
            yield f"  {finding.code} {place(finding)}: {printable(finding.reason)}"
        if fix:
            yield f"    fix: {fix}"
        yield f"    source: {printable(source)}"


def _ports(ports: Sequence[Port], verbose: bool) -> list[str]:
    shown = [port for port in ports if verbose or port.layout]
    if not shown:
        return []
    title = "inputs and outputs:" if verbose else "inputs and outputs that change their layout:"
    return [title, *(f"  {_port(port)}" for port in shown)]


def _port(port: Port) -> str:
    changed = f" -> {dims(port.stored)}, {port.layout}" if port.layout else ""
    dtype = f" {port.dtype}" if port.dtype else ""
    return printable(f"{port.direction:6} {port.name}:{dtype} {dims(port.shape)}{changed}")


def dims(shape: Dims) -> str:
    """Such as ``[1, 3, H, ?]``."""
    return f"[{', '.join('?' if size is None else str(size) for size in shape)}]"


def _changes(model: CheckedModel) -> list[str]:
    if not (model.fixed or model.changes):
        return []
    done = f"fixed: {model.fixed}" if model.fixed else "nothing written"
    return [
        printable(done if model.changes else f"{done}, nothing changed"),
        *(f"  {printable(change)}" for change in model.changes),
    ]


def _total(run: CheckRun, paint: Paint) -> str:
    failed = sum(not model.passed for model in run.models)
    return paint(f"{len(run.models)} checked, {failed} with errors", "error" if failed else "fine")
