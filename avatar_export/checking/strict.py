"""``--strict``: an unknown verdict is an error."""

from __future__ import annotations

from dataclasses import replace

from avatar_export.whitelist.finding import Finding, Severity, Verdict
from avatar_export.whitelist.judgement import Judgement, NodeVerdict


def strict_findings(judgement: Judgement) -> tuple[Finding, ...]:
    """The findings with those of verdict unknown as errors, and one for each silent node.

    A node is silent when its verdict is unknown without a finding of its own, as behind a tensor
    whose shape is not known.
    """
    raised = [
        replace(f, severity=Severity.ERROR) if f.verdict is Verdict.UNKNOWN else f
        for f in judgement.findings
    ]
    blamed = {f.node for f in raised if f.severity is Severity.ERROR}
    source = f"layer_whitelist, SNPE {judgement.target.sdk}"
    silent = [
        _unjudged(node, source)
        for node in judgement.node_verdicts
        if node.verdict is Verdict.UNKNOWN and node.node not in blamed
    ]
    return (*raised, *silent)


def _unjudged(node: NodeVerdict, source: str) -> Finding:
    return Finding(
        "AX110",
        Severity.ERROR,
        Verdict.UNKNOWN,
        node.node,
        node.operator,
        "not judged: a shape or type that its rules ask for is not known",
        source,
        "fix the shapes with --input",
    )
