"""The result of an optimisation on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from avatar_export.optimizing.record import Optimization, PassResult
from avatar_export.report.check_escape import printable
from avatar_export.report.check_summary import counted, label
from avatar_export.whitelist.judgement import Judgement

_NAMED = 5  # inputs that are listed by name
_UNITS = (("GMAC", 10**9), ("MMAC", 10**6), ("kMAC", 10**3))


def render(result: Optimization, explain: bool = False) -> str:
    """A table of the passes that changed something, and the totals.

    Args:
        explain: with every change, and every note on what was left alone.
    """
    lines = [*_table(result), ""]
    if explain:
        lines += [line for one in result.passes for line in _details(one)]
    elif declined := _declined(result.passes):
        lines += [declined, ""]
    lines += [_totals(result), f"estimates: {result.basis}"]
    lines += [*_dropped(result.dropped), *_findings(result), _ending(result)]
    return "\n".join(lines) + "\n"


def _table(result: Optimization) -> list[str]:
    changed = [one for one in result.passes if one.changes]
    if not changed:
        return ["no pass found anything to change"]
    unit, size = _unit(result)
    head = ("pass", "changes", "nodes", unit, "estimated ms", "difference")
    rows = [head, *(_row(one, size, result.verified) for one in changed)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def _unit(result: Optimization) -> tuple[str, int]:
    """Name and size of the unit that leaves the fewest digits of the multiply-adds."""
    most = max(one.before.macs for one in result.passes)
    return next((unit for unit in _UNITS if most * 10 >= unit[1]), _UNITS[-1])


def _row(one: PassResult, unit: int, verified: bool) -> tuple[str, ...]:
    before, after = one.before, one.after
    return (
        one.name,
        str(len(one.changes)),
        _arrow(str(before.nodes), str(after.nodes)),
        _arrow(f"{before.macs / unit:.3f}", f"{after.macs / unit:.3f}"),
        _arrow(_number(before.milliseconds), _number(after.milliseconds)),
        f"{one.worst:.1e}" if verified else "not run",
    )


def _arrow(before: str, after: str) -> str:
    return before if before == after else f"{before} -> {after}"


def _number(milliseconds: float | None) -> str:
    return "" if milliseconds is None else f"{milliseconds:.3g}"


def _details(one: PassResult) -> list[str]:
    if not (one.changes or one.notes):
        return []
    notes = (f"note: {note}" for note in one.notes)
    return [f"{one.name}: {one.why}", *(f"  {printable(s)}" for s in (*one.changes, *notes)), ""]


def _declined(passes: Sequence[PassResult]) -> str:
    """One line on what was left alone; empty where nothing was."""
    counts = [f"{one.name} {len(one.notes)}" for one in passes if one.notes]
    return f"left alone: {', '.join(counts)}; --explain says why" if counts else ""


def _totals(result: Optimization) -> str:
    before, after = result.before, result.after
    unit, size = _unit(result)
    macs = _arrow(f"{before.macs / size:.3f}", f"{after.macs / size:.3f}")
    nodes = counted(after.nodes, "node")
    parts = [
        f"{macs} {unit}",
        nodes if before.nodes == after.nodes else f"{before.nodes} -> {nodes}",
    ]
    if before.milliseconds is not None:
        estimate = _arrow(_number(before.milliseconds), _number(after.milliseconds))
        parts.append(f"estimated {estimate} ms on {result.goal}")
    return ", ".join(parts)


def _dropped(names: Sequence[str]) -> list[str]:
    if not names:
        return []
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return [printable(f"no input any more: {', '.join(names[:_NAMED])}{more}")]


def _findings(result: Optimization) -> list[str]:
    if result.target is None or result.judged_before is None or result.judged_after is None:
        return []
    found = _arrow(_said(result.judged_before), _said(result.judged_after))
    return [f"findings for {label(result.target)}: {found}"]


def _said(judgement: Judgement) -> str:
    errors, warnings = len(judgement.errors), len(judgement.warnings)
    said = [counted(n, noun) for n, noun in ((errors, "error"), (warnings, "warning")) if n]
    return ", ".join(said) or "none"


def _ending(result: Optimization) -> str:
    unproved = "" if result.verified else "; not verified: the model was not run"
    done = f"written: {result.out}" if result.out else "nothing written"
    return printable(done) + unproved
