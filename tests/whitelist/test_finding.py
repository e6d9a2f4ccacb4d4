from __future__ import annotations

import json

from avatar_export.whitelist.finding import Finding, Severity, Verdict


def test_to_dict_is_plain_text():
    finding = Finding("AX101", Severity.ERROR, Verdict.UNSUPPORTED, "n", "Op", "why", "page")
    plain = finding.to_dict()
    assert json.loads(json.dumps(plain))["severity"] == "error"
    assert plain["verdict"] == "unsupported"
    assert list(plain)[:2] == ["code", "severity"]
