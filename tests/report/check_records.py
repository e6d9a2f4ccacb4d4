"""Records of checks that never happened, for what renders them."""

from __future__ import annotations

from avatar_export.checking.record import CheckedModel, CheckRun
from avatar_export.whitelist.finding import Finding, Severity, Verdict
from avatar_export.whitelist.judgement import Judgement, NodeVerdict, Port
from avatar_export.whitelist.targets import resolve_target

# What a node or a file may be called to break a format or to steer who reads it.
HOSTILE = {
    "newline": "a\nb\r\nc",
    "command": "::error file=x::pwned",
    "indented": "   ::stop-commands::x",
    "in a line": "x\n::add-mask::y",
    "old command": "a ##[error]b ##vso[task.complete]c",
    "percent": "50%0A::error::x%25",
    "tag": "<script>alert(1)</script>&amp;",
    "cdata": "]]><testcase/><![CDATA[",
    "escape": "\x1b[31mred\x1b[0m\x1b]0;title\x07",
    "null": "nul\x00\x08\x7f\x9b31m",
    "low surrogate": "half \udcff",
    "high surrogate": "half \ud800",
    "bidirectional": "\u202egnp.exe\u2066x",
    "line separator": "a\u2028b\u2029c\x85d",
    "no character": "\ufffe\uffff",
    "markdown": "`a` **b** | [c](http://d) ![e](f) @team #1 _g_ </details>",
    "placeholder": "{0} {{1}} [text](http://x)",
    "quotes": "\"'\\ , : = ;",
    "beyond": "\U0001f600 \u05d0\u05d1",
    "long": "n" * 5000,
}


def finding(
    code: str = "AX103",
    severity: Severity = Severity.ERROR,
    node: str = "/warp/GridSample",
    *,
    verdict: Verdict | None = None,
    operator: str = "GridSample",
    reason: str = "gpu_float16 has no such layer",
    source: str = "layers.html, SNPE 2.5.0.4052",
    fix: str = "keep the warp outside the network",
    origin: str = "",
    rule: str = "",
    cure: str = "",
) -> Finding:
    usual = Verdict.UNSUPPORTED if severity is Severity.ERROR else Verdict.CONSTRAINED
    return Finding(
        code, severity, verdict or usual, node, operator, reason, source, fix, origin, rule, cure
    )


def warning(code: str = "AX102", node: str = "/up/Resize", operator: str = "Resize") -> Finding:
    reason = "version 18 is outside 10 to 13"
    return finding(code, Severity.WARNING, node, operator=operator, reason=reason, fix="")


def unknown(node: str = "/norm/Div") -> Finding:
    return finding("AX108", Severity.WARNING, node, verdict=Verdict.UNKNOWN, operator="Div", fix="")


NODES = (
    NodeVerdict("/conv/Conv", "Conv", ("Conv2d",), Verdict.SUPPORTED, 950_000_000),
    NodeVerdict("/up/Resize", "Resize", ("ResizeNearestNeighbor",), Verdict.CONSTRAINED, 0),
    NodeVerdict("/norm/Div", "Div", (), Verdict.UNKNOWN, 5_000_000),
    NodeVerdict("/warp/GridSample", "GridSample", (), Verdict.UNSUPPORTED, 5_000_000),
)
PORTS = (
    Port("pose", "input", "f32", (1, 136), (1, 136)),
    Port("image", "output", "f32", (1, 3, "H", None), (1, "H", None, 3), "NCHW -> NHWC"),
)


def judgement(
    *findings: Finding,
    nodes: tuple[NodeVerdict, ...] = NODES,
    ports: tuple[Port, ...] = (),
    runtime: str | None = None,
    sdk: str | None = None,
    target: str | None = None,
) -> Judgement:
    return Judgement(resolve_target(target, sdk, runtime), findings, nodes, ports)


def model(
    *findings: Finding,
    path: str = "frame.onnx",
    hidden: int = 0,
    fixed: str = "",
    changes: tuple[str, ...] = (),
    judged: Judgement | None = None,
) -> CheckedModel:
    return CheckedModel(path, judged or judgement(*findings), findings, hidden, fixed, changes)


def clean(path: str = "clean.onnx") -> CheckedModel:
    return model(path=path, judged=judgement(nodes=NODES[:1]))


def run(*models: CheckedModel) -> CheckRun:
    return CheckRun(models)


def sample() -> CheckRun:
    """Two models: one with a bit of everything, one clean."""
    findings = (
        warning(),
        unknown(),
        finding(origin="generator.warp", rule="G12"),
        finding(node="/warp_1/GridSample"),
        finding(
            "AX205",
            node="/act/PRelu",
            operator="PRelu",
            reason="slope [64] keeps 1 of 64 values",
            fix="",
            cure="prelu-slope",
        ),
    )
    judged = judgement(*findings, ports=PORTS)
    full = model(
        *findings, judged=judged, hidden=3, fixed="fixed.onnx", changes=("prelu-slope: 1 node",)
    )
    return run(full, clean())


def hostile(text: str) -> CheckRun:
    """A run where everything a model brings along is called ``text``."""
    bad = finding(
        node=text,
        operator=text,
        reason=text,
        source=text,
        fix=text,
        origin=text,
        cure=text,
        rule=text,
    )
    node = NodeVerdict(text, text, (text,), Verdict.UNSUPPORTED, 1)
    port = Port(text, "input", text, (1, text), (text, 1), "NCHW -> NHWC")
    judged = judgement(bad, nodes=(node,), ports=(port,))
    path = text.replace("\0", "").replace("\ud800", "")  # no file is called so
    return run(model(bad, path=path, judged=judged, fixed=path, changes=(text,)))
