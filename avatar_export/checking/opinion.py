"""The second opinion: where the QNN GPU backend refuses what the tables accept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from avatar_export.whitelist.finding import Finding, Severity, Verdict
from avatar_export.whitelist.judgement import Judgement, NodeVerdict

if TYPE_CHECKING:
    from avatar_export.dlc.qnngpu import SecondOpinion

REFUSED = "refused"


def disagreements(judgement: Judgement, opinion: SecondOpinion) -> tuple[Finding, ...]:
    """A warning AX302 for each node that the backend refuses and the tables do not.

    The backend is newer than any SDK of the tables, so it is an upper bound: what it refuses an
    older one most likely refuses too; what it accepts proves nothing.
    """
    if judgement.target.column != "gpu":
        return ()
    refused = {node.node: node.reason for node in opinion.nodes if node.answer == REFUSED}
    return tuple(
        _disagreement(node, refused[node.node], opinion.version)
        for node in judgement.node_verdicts
        if node.node in refused and node.verdict is not Verdict.UNSUPPORTED
    )


def no_answer(judgement: Judgement, name: str, why: str) -> tuple[Finding, ...]:
    """A warning AX305 that the backend said nothing of a whole model; none without a reason."""
    if judgement.target.column != "gpu" or not why:
        return ()
    said = f"no second opinion: {why}"
    return (_warning("AX305", name, "model", said, "op validator of libQnnGpu"),)


def _disagreement(node: NodeVerdict, reason: str, version: str) -> Finding:
    said = (
        f"the QNN GPU backend refuses it: {reason}" if reason else "the QNN GPU backend refuses it"
    )
    source = f"op validator of libQnnGpu, {version} (upper bound)"
    return _warning("AX302", node.node, node.operator, said, source)


def _warning(code: str, node: str, operator: str, reason: str, source: str) -> Finding:
    return Finding(code, Severity.WARNING, Verdict.CONSTRAINED, node, operator, reason, source)
