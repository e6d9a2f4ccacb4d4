from __future__ import annotations

import json

from avatar_export.whitelist.finding import CODES, Finding, Severity, Verdict


def test_codes_are_numbered_and_explained():
    assert all(code.startswith("AX1") and len(code) == 5 for code in CODES)
    assert all(meaning and meaning[0].islower() for meaning in CODES.values())


def test_to_dict_is_plain_text():
    finding = Finding("AX101", Severity.ERROR, Verdict.UNSUPPORTED, "n", "Op", "why", "page")
    plain = finding.to_dict()
    assert json.loads(json.dumps(plain))["severity"] == "error"
    assert plain["verdict"] == "unsupported"
    assert list(plain)[:2] == ["code", "severity"]
