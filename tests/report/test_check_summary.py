from __future__ import annotations

from pathlib import Path

import pytest

from avatar_export.report import check_summary as summary
from avatar_export.whitelist.finding import Finding, Severity, Verdict
from avatar_export.whitelist.judgement import NodeVerdict
from tests.report.check_records import (
    NODES,
    clean,
    finding,
    judgement,
    model,
    sample,
    unknown,
    warning,
)


def test_groups_are_worst_first_and_keep_the_order_of_the_model() -> None:
    findings = [
        warning("AX109"),
        unknown(),
        finding("AX205", node="b"),
        finding("AX103", node="z"),
        finding("AX103", node="a"),
        warning("AX102"),
    ]
    found = summary.groups(findings)
    assert [(g.level, g.code.code, [f.node for f in g.findings]) for g in found] == [
        ("error", "AX103", ["z", "a"]),
        ("error", "AX205", ["b"]),
        ("unknown", "AX108", ["/norm/Div"]),
        ("warning", "AX102", ["/up/Resize"]),
        ("warning", "AX109", ["/up/Resize"]),
    ]
    assert found[0].code.title == "the runtime has no such layer"


def test_a_code_with_errors_and_warnings_makes_two_groups() -> None:
    findings = [finding("AX105", Severity.WARNING, "w"), finding("AX105", node="e")]
    assert [(g.level, len(g.findings)) for g in summary.groups(findings)] == [
        ("error", 1),
        ("warning", 1),
    ]


def test_unknown_that_strict_made_an_error_is_an_error() -> None:
    assert summary.level(finding("AX108", verdict=Verdict.UNKNOWN)) == "error"
    assert summary.level(unknown()) == "unknown"


@pytest.mark.parametrize(
    ("findings", "worst"),
    [
        ([], "supported"),
        ([warning()], "constrained"),
        ([warning(), unknown()], "unknown"),
        ([unknown(), finding(), warning()], "unsupported"),
    ],
)
def test_the_verdict_is_that_of_the_worst_finding_left(findings: list[Finding], worst: str) -> None:
    assert summary.verdict(model(*findings)) == worst


def test_outcome_counts_by_severity() -> None:
    assert summary.outcome(clean()) == "fine"
    assert summary.outcome(model(hidden=2)) == "no findings left"
    assert summary.outcome(model(finding())) == "1 error"
    assert summary.outcome(model(warning(), warning())) == "2 warnings"
    assert summary.outcome(sample().models[0]) == "3 errors, 2 warnings (1 unknown)"


def test_share_of_nodes_and_multiply_adds() -> None:
    assert summary.share(judgement()) == "25 % of 4 nodes and 98 % of 0.96 GMAC are fine"
    assert summary.share(judgement(nodes=NODES[:1])) == "all 1 node, 0.95 GMAC"
    assert summary.share(judgement(nodes=NODES[1:2])) == "0 % of 1 node are fine"


def test_only_all_of_it_is_100_percent() -> None:
    assert summary.percent(99_999, 100_000) == "99 %"
    assert summary.percent(5, 5) == "100 %"
    assert summary.percent(1, 1000) == "under 1 %"
    assert summary.percent(0, 1000) == "0 %"


@pytest.mark.parametrize(
    ("macs", "text"),
    [
        (12, "12 MAC"),
        (2_500, "2.50 kMAC"),
        (99_000_000, "99.00 MMAC"),
        (960_000_000, "0.96 GMAC"),
        (15_700_000_000, "15.70 GMAC"),
    ],
)
def test_multiply_adds(macs: int, text: str) -> None:
    assert summary.multiply_adds(macs) == text


def test_headline() -> None:
    assert summary.headline(sample().models[0]) == (
        "frame.onnx: 3 errors, 2 warnings (1 unknown) for SNPE 2.5 gpu_float16 (adreno640); "
        "25 % of 4 nodes and 98 % of 0.96 GMAC are fine; 3 findings hidden"
    )


def test_a_long_path_leaves_the_numbers() -> None:
    line = summary.headline(model(finding(), path="a" * 5000))
    assert line.endswith("are fine") and "1 error for SNPE 2.5" in line


def test_place_and_advice() -> None:
    full = finding(origin="generator.warp", cure="split-warp")
    assert summary.place(full) == "GridSample /warp/GridSample (generator.warp)"
    assert summary.place(finding(node="")) == "GridSample (no name)"
    assert summary.advice(full) == (
        "keep the warp outside the network; check --fix applies split-warp"
    )
    assert summary.advice(finding(fix="")) == ""


def test_nodes_of_every_verdict_are_counted() -> None:
    nodes = tuple(NodeVerdict("n", "Add", (), verdict, 10) for verdict in Verdict)
    assert summary.share(judgement(nodes=nodes)) == "25 % of 4 nodes and 25 % of 40 MAC are fine"


def test_project_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path / "in")
    assert summary.project_path("models/a.onnx") == "models/a.onnx"
    assert summary.project_path("./x/../a.onnx") == "a.onnx"
    assert summary.project_path(str(tmp_path / "in" / "b.onnx")) == "b.onnx"
    assert summary.project_path("../c.onnx") == (tmp_path / "c.onnx").as_posix()
