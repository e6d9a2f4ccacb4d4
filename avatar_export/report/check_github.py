"""The result of a check as workflow commands, which GitHub Actions shows as annotations.

Syntax: GitHub documentation, "Workflow commands for GitHub Actions"; escapes: actions/toolkit,
packages/core/src/command.ts.
"""

from __future__ import annotations

from collections.abc import Iterator

from avatar_export.checking.record import CheckedModel, CheckRun
from avatar_export.report.check_escape import printable
from avatar_export.report.check_summary import (
    LEVELS,
    Group,
    advice,
    counted,
    groups,
    headline,
    label,
    place,
    project_path,
)
from avatar_export.whitelist.finding import Finding

# GitHub shows no more annotations of one kind in a step.
SHOWN = 10
# Findings told in one annotation.
LISTED = 5

_COMMANDS = {"error": "error", "unknown": "warning", "warning": "warning"}


def render(run: CheckRun) -> str:
    """One annotation for each code of a model, worst first; then a line for each model."""
    annotations = sorted(_annotations(run), key=lambda one: LEVELS.index(one[0].level))
    lines, left_out = [], 0
    for command in ("error", "warning"):
        own = [text for group, text in annotations if _COMMANDS[group.level] == command]
        lines += own[:SHOWN]
        left_out += len(own[SHOWN:])
    if left_out:
        more = f"{counted(left_out, 'more annotation')} left out: GitHub shows {SHOWN} of a kind"
        lines.append(_command("notice", "", "avatar-export check", [more]))
    lines += [headline(model) for model in run.models]
    return "\n".join(lines) + "\n"


def _annotations(run: CheckRun) -> Iterator[tuple[Group, str]]:
    for model in run.models:
        for group in groups(model.findings):
            yield group, _annotation(model, group)


def _annotation(model: CheckedModel, group: Group) -> str:
    findings = group.findings
    number = counted(len(findings), "finding")
    lines = [f"{number} on {label(model.judgement.target)}"]
    lines += [_line(finding) for finding in findings[:LISTED]]
    if len(findings) > LISTED:
        lines.append(f"and {len(findings) - LISTED} more")
    title = f"{group.code.code}: {group.code.title}"
    return _command(_COMMANDS[group.level], project_path(model.path), title, lines)


def _line(finding: Finding) -> str:
    fix = f"; fix: {advice(finding)}" if advice(finding) else ""
    return f"{place(finding)}: {printable(finding.reason)}{fix}"


def _command(command: str, file: str, title: str, lines: list[str]) -> str:
    properties = {"file": file, "title": title}
    told = ",".join(f"{name}={_property(value)}" for name, value in properties.items() if value)
    message = _data("\n".join(lines))
    return f"::{command} {told}::{message}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(printable(text)).replace(":", "%3A").replace(",", "%2C")
