"""Findings, judgements and model files of a few lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx

from avatar_export.checking.record import CheckedModel
from avatar_export.whitelist.finding import Finding, Severity, Verdict
from avatar_export.whitelist.judgement import Judgement, NodeVerdict
from avatar_export.whitelist.targets import resolve_target

# What the tables of every version agree on: Relu is fine, an operator of another domain is not.
GOOD = "(float[1,4,8,8] x) => (float[1,4,8,8] y) { y = Relu (x) }"
BAD = "(float[1,4,8,8] x) => (float[1,4,8,8] y) { a = Relu (x) [thing] y = my.own.Thing (a) }"
OPEN = "(float[N,4,8,8] x) => (float[N,4,8,8] y) { y = Relu (x) }"


def write(path: Path, text: str, opset: int = 6) -> Path:
    """Write an ONNX file; every version lists Relu of operator set 6."""
    head = f'<ir_version: 8, opset_import: ["" : {opset}, "my.own" : 1]> g '
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(onnx.parser.parse_model(head + text).SerializeToString())
    return path


def finding(code: str = "AX101", node: str = "n", **given: Any) -> Finding:
    """An error on one node, unless told otherwise."""
    told = {"severity": Severity.ERROR, "verdict": Verdict.UNSUPPORTED, "operator": "Relu"}
    return Finding(code=code, node=node, **{**told, "reason": "so", "source": "page", **given})


def judgement(
    *findings: Finding, nodes: dict[str, Verdict] | None = None, **target: str
) -> Judgement:
    """What was said of the nodes, for the default target or another."""
    verdicts = tuple(NodeVerdict(n, "Relu", ("Relu",), v) for n, v in (nodes or {}).items())
    return Judgement(resolve_target(**target), findings, verdicts)


def checked(*findings: Finding, path: str = "m.onnx", **target: str) -> CheckedModel:
    """A model all of whose findings count."""
    return CheckedModel(path, judgement(*findings, **target), findings)
