from __future__ import annotations

from functools import cache
from xml.etree import ElementTree as ET

import pytest
import xmlschema

from avatar_export.checking.record import CheckRun
from avatar_export.report.check_escape import printable
from avatar_export.report.check_junit import render
from avatar_export.whitelist.codes import known_codes
from avatar_export.whitelist.finding import Severity, Verdict
from tests.report.check_records import (
    HOSTILE,
    clean,
    finding,
    hostile,
    judgement,
    model,
    run,
    sample,
    unknown,
    warning,
)
from tests.report.log_readers import commands, old_commands, unprintable
from tests.report.schemas import FOREIGN


@cache
def schema() -> xmlschema.XMLSchema:
    return xmlschema.XMLSchema(str(FOREIGN / "junit-10.xsd"))


def parsed(checked: CheckRun) -> ET.Element:
    """The root element, held against the schema."""
    root = ET.fromstring(render(checked))
    assert [str(e.reason) for e in schema().iter_errors(root)] == []
    return root


def case(root: ET.Element, code: str) -> ET.Element:
    (found,) = [c for c in root.iter("testcase") if c.get("name", "").startswith(f"{code}: ")]
    return found


def test_the_schema_sees_faults() -> None:
    root = ET.fromstring(render(sample()).replace(' failures="2"', ""))
    assert not schema().is_valid(root)
    broken = ET.fromstring(
        render(sample()).replace("<failure", "<fault", 1).replace("</failure>", "</fault>", 1)
    )
    assert not schema().is_valid(broken)


def test_a_suite_for_each_model_and_target() -> None:
    models = [
        model(finding(), judged=judgement(finding(), runtime=runtime)) for runtime in ("gpu", "cpu")
    ]
    suites = parsed(run(*models)).findall("testsuite")
    assert [s.get("name") for s in suites] == [
        "frame.onnx on SNPE 2.5 gpu (adreno640)",
        "frame.onnx on SNPE 2.5 cpu (adreno640)",
    ]
    assert len({c.get("classname") for s in suites for c in s.iter("testcase")}) == 2


def test_a_case_for_each_code_whatever_was_found() -> None:
    names = [f"{code.code}: {code.title}" for code in known_codes().values()]
    for suite in parsed(sample()).findall("testsuite"):
        assert [c.get("name") for c in suite.iter("testcase")] == names
    crowd = run(model(*(finding(node=f"n{k}") for k in range(500))))
    assert len(list(parsed(crowd).iter("testcase"))) == len(names)


def test_numbers_of_failures_and_skips() -> None:
    root = parsed(sample())
    full, fine = root.findall("testsuite")
    tests = len(known_codes())
    assert full.attrib | {"name": ""} == {
        "name": "",
        "tests": str(tests),
        "failures": "2",
        "errors": "0",
        "skipped": "1",
    }
    assert (fine.get("failures"), fine.get("skipped")) == ("0", "0")
    assert (root.get("tests"), root.get("failures")) == (str(2 * tests), "2")


def test_errors_fail_and_name_every_node() -> None:
    failed = case(parsed(run(sample().models[0])), "AX103")
    (failure,) = failed
    assert failure.tag == "failure"
    assert failure.get("type") == "AX103"
    assert failure.get("message") == "2 findings: the runtime has no such layer"
    assert failure.text == (
        "error: GridSample /warp/GridSample (generator.warp): gpu_float16 has no such layer\n"
        "  fix: keep the warp outside the network\n"
        "  source: layers.html, SNPE 2.5.0.4052\n"
        "error: GridSample /warp_1/GridSample: gpu_float16 has no such layer\n"
        "  fix: keep the warp outside the network\n"
        "  source: layers.html, SNPE 2.5.0.4052"
    )


def test_warnings_pass_and_talk() -> None:
    (talk,) = case(parsed(run(model(warning()))), "AX102")
    assert talk.tag == "system-out"
    assert (talk.text or "").startswith("warning: Resize /up/Resize: version 18")


def test_what_nobody_decides_is_skipped() -> None:
    (skipped,) = case(parsed(run(model(unknown()))), "AX108")
    assert skipped.tag == "skipped"
    assert "Div /norm/Div" in (skipped.text or "")


def test_a_code_with_findings_of_every_level_tells_them_all() -> None:
    unsure = finding("AX105", Severity.WARNING, "u", verdict=Verdict.UNKNOWN)
    mild = finding("AX105", Severity.WARNING, "w")
    failure, talk = case(parsed(run(model(mild, unsure, finding("AX105", node="e")))), "AX105")
    assert (failure.tag, talk.tag) == ("failure", "system-out")
    assert "GridSample e" in (failure.text or "")
    assert "unknown: GridSample u" in (talk.text or "")
    assert "warning: GridSample w" in (talk.text or "")


def test_class_names_have_one_dot() -> None:
    names = {c.get("classname") for c in parsed(run(clean("models/v1.2/a.onnx"))).iter("testcase")}
    assert names == {"models/v1_2/a_onnx.SNPE_2_5_gpu_float16_adreno640"}


def test_properties_hold_the_target() -> None:
    suite = parsed(run(clean())).find("testsuite")
    assert suite is not None
    told = {p.get("name"): p.get("value") for p in suite.iter("property")}
    assert told["runtime"] == "gpu_float16"
    assert told["share"] == "all 1 node, 0.95 GMAC"


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_names(text: str) -> None:
    written = render(hostile(text))
    assert unprintable(written) == old_commands(written) == commands(written) == []
    root = parsed(hostile(text))
    (failure,) = case(root, "AX103")
    assert f"source: {printable(text)}" in (failure.text or "")
    assert len(list(root.iter("testcase"))) == len(known_codes())
