"""The result of a check in JUnit XML, for dashboards that show tests.

A suite is a model on a target, a test case is a code. So a case has a history: it fails while its
finding is there and passes afterwards, and a model of ten thousand nodes makes no more cases than
one of ten.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from avatar_export.checking.record import CheckedModel, CheckRun
from avatar_export.report.check_escape import printable
from avatar_export.report.check_summary import (
    Group,
    advice,
    counted,
    groups,
    label,
    outcome,
    place,
    share,
)
from avatar_export.whitelist.codes import Code, known_codes


def render(run: CheckRun) -> str:
    """XML as Jenkins and GitLab read it: no times, so that equal runs give equal files."""
    suites = [_suite(model) for model in run.models]
    root = ET.Element("testsuites", {"name": "avatar-export check", **_counts(suites)})
    root.extend(suites)
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _suite(model: CheckedModel) -> ET.Element:
    target = model.judgement.target
    suite = ET.Element("testsuite", name=printable(f"{model.path} on {label(target)}"))
    found = groups(model.findings)
    cases = [_case(model, code, found) for code in known_codes().values()]
    suite.attrib.update(_counts(cases))
    suite.set("skipped", str(sum(case.find("skipped") is not None for case in cases)))
    suite.append(_properties(model))
    suite.extend(cases)
    return suite


def _counts(elements: list[ET.Element]) -> dict[str, str]:
    """Sums over the test cases below the elements."""
    cases = [case for element in elements for case in element.iter("testcase")]
    failures = sum(case.find("failure") is not None for case in cases)
    return {"tests": str(len(cases)), "failures": str(failures), "errors": "0"}


def _properties(model: CheckedModel) -> ET.Element:
    target = model.judgement.target
    values = {
        "model": model.path,
        "target": target.name,
        "sdk": target.sdk,
        "runtime": target.runtime,
        "outcome": outcome(model),
        "share": share(model.judgement),
    }
    properties = ET.Element("properties")
    for name, value in values.items():
        ET.SubElement(properties, "property", name=name, value=printable(value))
    return properties


def _case(model: CheckedModel, code: Code, found: list[Group]) -> ET.Element:
    """Failed by an error, skipped where nothing is decided; warnings are talk of a passed test."""
    case = ET.Element("testcase", classname=_classname(model), name=f"{code.code}: {code.title}")
    own = {group.level: group for group in found if group.code == code}
    if "error" in own:
        _outcome(case, "failure", own.pop("error"))
    elif "unknown" in own:
        _outcome(case, "skipped", own.pop("unknown"))
    if own:
        ET.SubElement(case, "system-out").text = "\n".join(_text(group) for group in own.values())
    return case


def _classname(model: CheckedModel) -> str:
    """``model_onnx.SNPE_2_5_cpu_adreno640``: Jenkins splits it at the last dot into a tree."""
    target = label(model.judgement.target)
    parts = (printable(model.path), re.sub(r"\W+", "_", target).strip("_"))
    return ".".join(part.replace(".", "_") for part in parts)


def _outcome(case: ET.Element, tag: str, group: Group) -> None:
    message = f"{counted(len(group.findings), 'finding')}: {group.code.title}"
    ET.SubElement(case, tag, type=group.code.code, message=message).text = _text(group)


def _text(group: Group) -> str:
    lines = []
    for finding in group.findings:
        lines.append(f"{group.level}: {place(finding)}: {printable(finding.reason)}")
        if advice(finding):
            lines.append(f"  fix: {advice(finding)}")
        lines.append(f"  source: {printable(finding.source)}")
    return "\n".join(lines)
