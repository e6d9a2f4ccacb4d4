from __future__ import annotations

from avatar_export.checking.strict import strict_findings
from avatar_export.whitelist.finding import Severity, Verdict

from .judged import finding, judgement

UNKNOWN = {"severity": Severity.WARNING, "verdict": Verdict.UNKNOWN}
CONSTRAINED = {"severity": Severity.WARNING, "verdict": Verdict.CONSTRAINED}


def test_only_unknown_findings_become_errors():
    judged = judgement(finding("AX108", "a", **UNKNOWN), finding("AX107", "b", **CONSTRAINED))
    raised = strict_findings(judged)
    assert [(f.code, f.severity) for f in raised] == [("AX108", "error"), ("AX107", "warning")]


def test_a_silent_unknown_node_gets_a_finding():
    nodes = {"a": Verdict.UNKNOWN, "b": Verdict.SUPPORTED, "c": Verdict.UNKNOWN}
    judged = judgement(finding("AX110", "a", **UNKNOWN), nodes=nodes)
    first, added = strict_findings(judged)
    assert first.node == "a"
    assert (added.code, added.node, added.severity) == ("AX110", "c", Severity.ERROR)
    assert added.verdict is Verdict.UNKNOWN


def test_a_warning_of_another_kind_does_not_stand_for_the_unknown():
    judged = judgement(finding("AX107", "a", **CONSTRAINED), nodes={"a": Verdict.UNKNOWN})
    assert [f.code for f in strict_findings(judged)] == ["AX107", "AX110"]


def test_what_is_known_stays_as_it_is():
    judged = judgement(finding("AX101", "a"), nodes={"a": Verdict.UNSUPPORTED})
    assert strict_findings(judged) == judged.findings
