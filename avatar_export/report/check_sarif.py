"""The result of a check in SARIF 2.1.0, as GitHub code scanning and editors read it.

Section numbers are those of the OASIS standard "Static Analysis Results Interchange Format
(SARIF) Version 2.1.0".
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from urllib.parse import quote

from avatar_export import __version__
from avatar_export.checking.record import CheckRun
from avatar_export.report.check_escape import json_text, printable
from avatar_export.report.check_summary import (
    LEVELS,
    Group,
    advice,
    groups,
    label,
    level,
    place,
    project_path,
)
from avatar_export.whitelist.codes import Code
from avatar_export.whitelist.finding import Finding
from avatar_export.whitelist.target import Target

# The schema's address by the standard (3.13.3): an identifier, nothing is fetched.
SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
# Unknown is no "note": it may hide an error.
_LEVELS = {"error": "error", "unknown": "warning", "warning": "warning"}
_ROOT = "%SRCROOT%"

Json = dict[str, object]


def render(run: CheckRun) -> str:
    """One SARIF run for all models and targets, worst findings first.

    It has no ``automationDetails``: an id here would take the place of the category that a job
    gives to GitHub's upload-sarif, and jobs of one repository would close each other's alerts.
    """
    return json_text({"$schema": SCHEMA, "version": "2.1.0", "runs": [_run(run)]})


def _run(run: CheckRun) -> Json:
    found = groups(finding for model in run.models for finding in model.findings)
    codes = sorted({group.code.code for group in found})
    return {
        "tool": {"driver": _driver([_worst(found, code) for code in codes])},
        "invocations": [{"executionSuccessful": True, "exitCode": run.exit_code}],
        "originalUriBaseIds": {_ROOT: {"description": {"text": "The folder of the check."}}},
        "artifacts": [
            {"location": _artifact(path), "roles": ["analysisTarget"]} for path in _paths(run)
        ],
        "columnKind": "unicodeCodePoints",
        "results": list(_results(run, codes)),
    }


def _worst(found: list[Group], code: str) -> Group:
    return next(group for group in found if group.code.code == code)


def _driver(worst: list[Group]) -> Json:
    return {
        "name": "avatar-export",
        "version": __version__,
        "rules": [_rule(group.code, group.level) for group in worst],
    }


def _rule(code: Code, worst: str) -> Json:
    page = f"`avatar-export check --explain {code.code}`, {code.page}"
    return {
        "id": code.code,
        "shortDescription": {"text": _sentence(code.title)},
        "fullDescription": {"text": code.why},
        "help": {
            "text": f"{code.why}\n\n{code.remedy}\n\nMore: {page.replace('`', '')}",
            "markdown": f"{code.why}\n\n**What to do:** {code.remedy}\n\nMore: {page}",
        },
        "defaultConfiguration": {"level": _LEVELS[worst]},
    }


def _sentence(title: str) -> str:
    return f"{title[:1].upper()}{title[1:]}."


def _paths(run: CheckRun) -> list[str]:
    return list(dict.fromkeys(model.path for model in run.models))


def _artifact(path: str) -> Json:
    """Relative to the folder of the check, where the file lies below it (3.4.3, 3.4.4)."""
    inside = project_path(path)
    uri = quote(os.fsencode(inside))
    return {"uri": f"file://{uri}"} if inside.startswith("/") else {"uri": uri, "uriBaseId": _ROOT}


def _results(run: CheckRun, codes: list[str]) -> Iterator[Json]:
    """Errors of all models first: GitHub shows no more than 5,000 results of a run."""
    paths = {path: index for index, path in enumerate(_paths(run))}
    everything = [(model, finding) for model in run.models for finding in model.findings]
    everything.sort(key=lambda one: (LEVELS.index(level(one[1])), one[1].code))
    seen: Counter[tuple[str, str]] = Counter()
    for model, finding in everything:
        target = model.judgement.target
        digest = fingerprint(finding, target)
        seen[model.path, digest] += 1
        yield {
            "ruleId": finding.code,
            "ruleIndex": codes.index(finding.code),
            "level": _LEVELS[level(finding)],
            "message": {"text": _message(finding, target)},
            "locations": [_location(model.path, paths[model.path], finding)],
            # The only fingerprint GitHub reads. Without it, it hashes line 1 of the model.
            "partialFingerprints": {
                "primaryLocationLineHash": f"{digest}:{seen[model.path, digest]}"
            },
            "properties": _properties(finding, target),
        }


def fingerprint(finding: Finding, target: Target) -> str:
    """The same as long as code, node, rule and target are, whatever the numbers in the reason."""
    parts = (finding.code, finding.node, finding.rule, target.name, target.sdk, target.runtime)
    text = "\0".join(parts).encode("utf-8", "backslashreplace")
    return hashlib.sha256(text).hexdigest()[:16]


def _message(finding: Finding, target: Target) -> str:
    """Braces and links are syntax in a message (3.11.5, 3.11.6), and ours holds none."""
    fix = f" Fix: {advice(finding)}." if advice(finding) else ""
    reason, source = printable(finding.reason), printable(finding.source)
    text = f"{place(finding)} on {label(target)}: {reason}.{fix} Source: {source}."
    return text.replace("{", "{{").replace("}", "}}").replace("](", "] (")


def _location(path: str, index: int, finding: Finding) -> Json:
    logical = [{"name": printable(finding.node or "(no name)"), "kind": "node"}]
    if finding.origin:
        module = printable(finding.origin)
        name = module.rpartition(".")[2]
        logical.append({"name": name, "fullyQualifiedName": module, "kind": "module"})
    return {
        "physicalLocation": {
            "artifactLocation": {**_artifact(path), "index": index},
            # A model has no lines, but GitHub drops results without one.
            "region": {"startLine": 1},
        },
        "logicalLocations": logical,
    }


def _properties(finding: Finding, target: Target) -> Json:
    """What has no place of its own in SARIF, with exact values."""
    names = ("node", "operator", "origin", "reason", "source", "fix", "rule", "cure")
    return {
        "target": {"name": target.name, "sdk": target.sdk, "runtime": target.runtime},
        "verdict": str(finding.verdict),
        **{name: getattr(finding, name) for name in names},
    }
