"""The result of a check for a pull-request comment or a job summary."""

from __future__ import annotations

import re

from avatar_export.checking.record import CheckedModel, CheckRun
from avatar_export.report.check_escape import printable
from avatar_export.report.check_summary import (
    Group,
    advice,
    counted,
    groups,
    label,
    outcome,
    share,
)
from avatar_export.report.check_text import dims
from avatar_export.report.markdown_table import table
from avatar_export.whitelist.finding import Finding
from avatar_export.whitelist.judgement import Port

# GitHub refuses a longer comment.
LONGEST_COMMENT = 65_536
# Findings shown of one code; the next number is tried where the comment would be too long.
_LISTED = (10, 3, 0)

# Everything that Markdown, HTML or GitHub might take for syntax.
_SYNTAX = re.compile(r"_|[^\w .,:;/=()'?%-]")
# GitHub makes links of @name and #12 even where they are written as character references.
_LINKED = re.compile(f"(&#{ord('@')};|&#{ord('#')};)")


def render(run: CheckRun) -> str:
    """A summary table, then a folded section for each model with something to say."""
    pages = (_page(run, listed) for listed in _LISTED)
    page = next(pages)
    for shorter in pages:
        if len(page) <= LONGEST_COMMENT:
            break
        page = shorter
    return page


def plain(text: str) -> str:
    """Text that is shown as it is and mentions nobody.

    A character reference is never syntax (CommonMark 0.31, section 2.5).
    """
    return _LINKED.sub(r"\1&#8203;", _referenced(text))


def code(text: str) -> str:
    """The same in a fixed-width font; a tag, since back-quotes may stand in the text."""
    return f"<code>{_referenced(text)}</code>" if text else ""


def _referenced(text: str) -> str:
    return _SYNTAX.sub(lambda sign: f"&#{ord(sign[0])};", printable(text))


def _page(run: CheckRun, listed: int) -> str:
    sections = [_summary(run)]
    for model in run.models:
        details = _details(model, listed)
        if details:
            sections += [_fold(model), *details, "</details>"]
    return "\n\n".join(sections) + "\n"


def _summary(run: CheckRun) -> str:
    rows = [
        [
            code(model.path),
            plain(label(model.judgement.target)),
            f"**{outcome(model)}**" if model.errors else outcome(model),
            share(model.judgement),
            model.hidden,
        ]
        for model in run.models
    ]
    return table(["model", "target", "outcome", "share", "hidden"], rows)


def _fold(model: CheckedModel) -> str:
    """Open where there are errors."""
    state = " open" if model.errors else ""
    title = f"{code(model.path)} on {plain(label(model.judgement.target))}"
    return f"<details{state}><summary>{title}: {outcome(model)}</summary>"


def _details(model: CheckedModel, listed: int) -> list[str]:
    parts = [part for group in groups(model.findings) for part in _group(group, listed)]
    changed = [port for port in model.judgement.ports if port.layout]
    if changed:
        parts += ["**Inputs and outputs that change their layout**", _ports(changed)]
    if model.fixed or model.changes:
        changes = "\n".join(f"- {plain(change)}" for change in model.changes)
        done = f"**Fixed:** {code(model.fixed)}" if model.fixed else "**Nothing written:**"
        parts += [done, changes]
    return parts


def _group(group: Group, listed: int) -> list[str]:
    findings = group.findings
    title = f"{group.level} {group.code.code}: {plain(group.code.title)}"
    parts = [f"**{title}** ({counted(len(findings), 'finding')})"]
    if listed:
        header = ["node", "operator", "module", "reason", "fix", "source"]
        parts.append(table(header, (_row(finding) for finding in findings[:listed])))
        if len(findings) > listed:
            parts.append(f"and {len(findings) - listed} more")
    return parts


def _row(finding: Finding) -> list[str]:
    return [
        code(finding.node),
        code(finding.operator),
        code(finding.origin),
        plain(finding.reason),
        plain(advice(finding)),
        plain(finding.source),
    ]


def _ports(ports: list[Port]) -> str:
    rows = [
        [p.direction, code(p.name), plain(dims(p.shape)), plain(dims(p.stored)), plain(p.layout)]
        for p in ports
    ]
    return table(["", "name", "in the model", "in the DLC", "layout"], rows)
