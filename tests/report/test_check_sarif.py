from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import jsonschema
import pytest

from avatar_export.checking.record import CheckRun
from avatar_export.report.check_sarif import SCHEMA, fingerprint, render
from avatar_export.report.check_summary import project_path
from avatar_export.whitelist.targets import resolve_target
from tests.report.check_records import (
    HOSTILE,
    clean,
    finding,
    hostile,
    judgement,
    model,
    run,
    sample,
    warning,
)
from tests.report.schemas import FOREIGN, load

VALIDATOR = jsonschema.Draft7Validator(
    load(FOREIGN / "sarif-schema-2.1.0.json"), format_checker=jsonschema.FormatChecker()
)
TARGET = resolve_target()


def log(checked: CheckRun) -> Any:
    """The parsed file, held against the schema of the standard."""
    content = json.loads(render(checked))
    assert [f"{e.json_path}: {e.message[:200]}" for e in VALIDATOR.iter_errors(content)] == []
    return content


def results(checked: CheckRun) -> Any:
    return log(checked)["runs"][0]["results"]


def artifact(path: str) -> Any:
    return results(run(model(finding(), path=path)))[0]["locations"][0]["physicalLocation"][
        "artifactLocation"
    ]


def test_the_validator_sees_faults() -> None:
    content = log(sample())
    content["runs"][0]["results"][0]["level"] = "fatal"
    assert not VALIDATOR.is_valid(content)
    assert content["$schema"] == SCHEMA


def test_one_run_with_a_rule_for_each_code_that_occurs() -> None:
    (told,) = log(sample())["runs"]
    rules = told["tool"]["driver"]["rules"]
    assert [(r["id"], r["defaultConfiguration"]["level"]) for r in rules] == [
        ("AX102", "warning"),
        ("AX103", "error"),
        ("AX108", "warning"),
        ("AX205", "error"),
    ]
    assert rules[1]["shortDescription"]["text"] == "The runtime has no such layer."
    assert "avatar-export check --explain AX103" in rules[1]["help"]["text"]
    assert "automationDetails" not in told
    assert told["invocations"] == [{"executionSuccessful": True, "exitCode": 1}]


def test_results_are_worst_first_and_point_to_their_rules() -> None:
    (told,) = log(sample())["runs"]
    rules = told["tool"]["driver"]["rules"]
    assert [(r["ruleId"], r["level"]) for r in told["results"]] == [
        ("AX103", "error"),
        ("AX103", "error"),
        ("AX205", "error"),
        ("AX108", "warning"),
        ("AX102", "warning"),
    ]
    assert all(rules[r["ruleIndex"]]["id"] == r["ruleId"] for r in told["results"])


def test_errors_of_all_models_come_before_warnings_of_the_first() -> None:
    found = results(run(model(warning()), model(finding(), path="b.onnx")))
    assert [r["level"] for r in found] == ["error", "warning"]


def test_a_result_says_where_and_why() -> None:
    first = results(sample())[0]
    assert first["message"]["text"] == (
        "GridSample /warp/GridSample (generator.warp) on SNPE 2.5 gpu_float16 (adreno640): "
        "gpu_float16 has no such layer. Fix: keep the warp outside the network. "
        "Source: layers.html, SNPE 2.5.0.4052."
    )
    (location,) = first["locations"]
    assert location["physicalLocation"] == {
        "artifactLocation": {"uri": "frame.onnx", "uriBaseId": "%SRCROOT%", "index": 0},
        "region": {"startLine": 1},
    }
    assert location["logicalLocations"] == [
        {"name": "/warp/GridSample", "kind": "node"},
        {"name": "warp", "fullyQualifiedName": "generator.warp", "kind": "module"},
    ]
    told = first["properties"]
    assert told["target"] == {"name": "adreno640", "sdk": "2.5", "runtime": "gpu_float16"}
    assert (told["verdict"], told["rule"]) == ("unsupported", "G12")


def test_clean_models_are_listed_too() -> None:
    (told,) = log(run(clean()))["runs"]
    assert told["results"] == told["tool"]["driver"]["rules"] == []
    assert [a["location"]["uri"] for a in told["artifacts"]] == ["clean.onnx"]


def test_a_model_on_two_targets_is_one_artifact() -> None:
    models = [
        model(finding(), judged=judgement(finding(), runtime=runtime)) for runtime in ("gpu", "cpu")
    ]
    (told,) = log(run(*models))["runs"]
    assert len(told["artifacts"]) == 1
    assert [r["properties"]["target"]["runtime"] for r in told["results"]] == ["gpu", "cpu"]
    assert len({r["message"]["text"] for r in told["results"]}) == 2
    prints = [r["partialFingerprints"]["primaryLocationLineHash"] for r in told["results"]]
    assert len(set(prints)) == 2


def test_the_fingerprint_does_not_depend_on_numbers_or_wording() -> None:
    usual = fingerprint(finding(), TARGET)
    same = finding(reason="8192 > 4096", source="x", fix="y", origin="z", cure="c")
    assert fingerprint(same, TARGET) == usual
    others = [
        fingerprint(finding("AX104"), TARGET),
        fingerprint(finding(node="m"), TARGET),
        fingerprint(finding(rule="G44"), TARGET),
        *(fingerprint(finding(), resolve_target(sdk="1.43")),),
        *(fingerprint(finding(), resolve_target(runtime="cpu")),),
        *(fingerprint(finding(), resolve_target("adreno630")),),
    ]
    assert len({usual, *others}) == 1 + len(others)


def test_fields_of_a_fingerprint_do_not_run_together() -> None:
    one, two = finding(node="ab", rule="c"), finding(node="a", rule="bc")
    assert fingerprint(one, TARGET) != fingerprint(two, TARGET)


def test_findings_that_are_alike_are_numbered() -> None:
    alike = run(model(finding(reason="a"), finding(reason="b")), model(finding(), path="b.onnx"))
    prints = [r["partialFingerprints"]["primaryLocationLineHash"] for r in results(alike)]
    digest = fingerprint(finding(), TARGET)
    assert prints == [f"{digest}:1", f"{digest}:2", f"{digest}:1"]


@pytest.mark.parametrize("path", ["a b.onnx", "a:b.onnx", "50%.onnx", "é#?.onnx", "x/y\udcff.onnx"])
def test_paths_are_percent_encoded(path: str) -> None:
    told = artifact(path)
    assert told["uriBaseId"] == "%SRCROOT%"
    parts = urlsplit(told["uri"])
    assert (parts.scheme, parts.netloc, parts.query, parts.fragment) == ("", "", "", "")
    assert (
        os.fsdecode(
            unquote(parts.path, errors="surrogateescape").encode("utf-8", "surrogateescape")
        )
        == path
    )


def test_a_file_elsewhere_has_an_absolute_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path / "in")
    told = artifact("../a b.onnx")
    assert told == {"uri": f"file://{tmp_path.as_posix()}/a%20b.onnx", "index": 0}


def test_syntax_of_messages_is_escaped() -> None:
    text = results(run(model(finding(reason="{0} [text](http://x)"))))[0]["message"]["text"]
    assert "{{0}} [text] (http://x)" in text


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_names(text: str) -> None:
    checked = hostile(text)
    (told,) = results(checked)
    assert "](" not in told["message"]["text"]
    assert told["message"]["text"].isprintable()
    assert told["locations"][0]["logicalLocations"][0]["name"].isprintable()
    expected = text.replace("\udcff", "\\udcff").replace("\ud800", "\\ud800")
    assert told["properties"]["node"] == expected
    uri = told["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert uri.isascii() and uri.isprintable() and " " not in uri
    inside = project_path(checked.models[0].path)
    assert unquote(uri.removeprefix("file://"), errors="surrogateescape") == inside
