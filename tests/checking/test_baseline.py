from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from avatar_export.checking.baseline import label, read_baseline, write_baseline
from avatar_export.checking.selection import Selection
from avatar_export.errors import UserError
from avatar_export.whitelist.finding import Severity
from avatar_export.whitelist.targets import resolve_target

from .judged import checked, finding

ALL = Selection()


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A baseline file in the current folder, next to an empty m.onnx."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.onnx").touch()
    return tmp_path / "baseline.json"


def test_what_is_written_excuses_the_same_run(file):
    model = checked(finding("AX205", "p", rule="F5"), finding("AX102", "q"))
    assert write_baseline(file, [model]) == read_baseline(file)
    left = read_baseline(file).applied(model, ALL)
    assert (left.findings, left.hidden, left.passed) == ((), 2, True)


def test_keys_are_sorted_and_hold_no_numbers_of_the_model(file):
    late, early = finding("AX205", "p", rule="F5"), finding("AX104", "a", reason="17 > 16")
    write_baseline(file, [checked(late, early, early, sdk="2.25")])
    assert json.loads(file.read_text())["entries"] == [
        {
            "model": "m.onnx",
            "target": "adreno640 2.25 gpu_float16",
            "node": node,
            "code": code,
            "rule": rule,
        }
        for node, code, rule in (("a", "AX104", ""), ("p", "AX205", "F5"))
    ]


def test_other_numbers_are_still_excused_and_other_rules_are_not(file):
    write_baseline(file, [checked(finding("AX104", "a", rule="G1", reason="17 > 16"))])
    retuned = finding("AX104", "a", rule="G1", reason="18 > 16", severity=Severity.WARNING)
    other = finding("AX104", "a", rule="G2")
    model = read_baseline(file).applied(checked(retuned, other), ALL)
    assert model.findings == (other,)


def test_an_entry_that_matches_nothing_is_an_error(file):
    write_baseline(file, [checked(finding("AX205", "p", rule="F5"))])
    (idle,) = read_baseline(file).applied(checked(), ALL).findings
    assert (idle.code, idle.node, idle.severity) == ("AX301", "p", Severity.ERROR)
    assert "AX205 (rule F5)" in idle.reason and idle.source == str(file)


@pytest.mark.parametrize(
    ("model", "selection"),
    [
        (checked(sdk="2.25"), ALL),
        (checked(path="other.onnx"), ALL),
        (checked(), Selection(select=("AX101", "AX3"))),
        (checked(), Selection(ignore=("AX2",))),
        (checked(), Selection(ignore=("AX301",))),
    ],
)
def test_what_the_run_did_not_ask_is_not_unused(file, model, selection):
    write_baseline(file, [checked(finding("AX205", "p"))])
    assert read_baseline(file).applied(model, selection).findings == ()


def test_entries_of_a_model_that_is_gone(file):
    write_baseline(file, [checked(finding("AX205")), checked(finding(), path="gone.onnx")])
    baseline = read_baseline(file)
    (orphan,) = baseline.orphans(ALL)
    assert orphan.code == "AX301" and orphan.reason.startswith("gone.onnx")
    assert baseline.orphans(Selection(select=("AX2", "AX3"))) == ()


def test_paths_are_relative_to_the_file(file, tmp_path, monkeypatch):
    write_baseline(tmp_path / "sub" / "b.json", [checked(finding())])
    entries = json.loads((tmp_path / "sub" / "b.json").read_text())["entries"]
    assert entries[0]["model"] == "../m.onnx"
    monkeypatch.chdir(tmp_path / "sub")
    moved = checked(finding(), path="../m.onnx")
    assert read_baseline(tmp_path / "sub" / "b.json").applied(moved, ALL).findings == ()


def test_a_reason_written_by_hand_stays(file):
    model = checked(finding("AX205", "p"), finding("AX101", "q"))
    write_baseline(file, [model])
    content = json.loads(file.read_text())
    content["entries"][0]["reason"] = "runs on the CPU"
    file.write_text(json.dumps(content))
    write_baseline(file, [replace(model, findings=model.findings[:1])])
    assert list(read_baseline(file).entries.values()) == ["runs on the CPU"]
    assert json.loads(file.read_text())["entries"][0]["reason"] == "runs on the CPU"


ENTRY = {"model": "m", "target": "t", "node": "n", "code": "AX101", "rule": ""}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b"[]",
        b'{"format": 1}',
        b'{"format": 2, "entries": []}',
        b'{"format": 1, "entries": {}}',
        b'{"format": 1, "entries": [7]}',
        json.dumps({"format": 1, "entries": [{**ENTRY, "more": ""}]}).encode(),
        json.dumps({"format": 1, "entries": [{**ENTRY, "rule": None}]}).encode(),
        json.dumps({"format": 1, "entries": [{"node": "n"}]}).encode(),
    ],
)
def test_a_damaged_file_is_named_and_never_overwritten(file, content):
    file.write_bytes(content)
    with pytest.raises(UserError, match=re.escape(str(file))):
        read_baseline(file)
    with pytest.raises(UserError, match=re.escape(str(file))):
        write_baseline(file, [checked(finding())])
    assert file.read_bytes() == content


def test_a_missing_file_is_an_error(file):
    with pytest.raises(UserError, match="cannot read"):
        read_baseline(file)


def test_label():
    assert label(resolve_target("adreno630", "2.25", "cpu")) == "adreno630 2.25 cpu"
