"""Read the answers for each node out of the log of ONNX Runtime's QNN provider.

The framework op trace of the provider would be the official place, but it is written only after
the graph was compiled, which never happens here. Lines as onnxruntime-qnn 2.7.0 writes them::

    ... GetCapability pass 1 (pre-Layout-Transform; ...)
    ... is trying to add node. Onnx node name: [NAME] onnx node type: [Concat].
    ... QNN.backendValidateOpConfig() failed for node `N` of type `Concat` with error code 3110
    ... Validation FAILED for 1 nodes in OrtNodeUnit (Concat) :
        Operator type: Concat Node name: NAME Node index: 7
        REASON : Failed to add node.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from avatar_export.dlc.handover import numbers

Answer = Literal["accepted", "refused", "not sent"]

_MEANING = {"4005": "not in the GPU package", "3110": "known, but not in this form"}
_PASS = re.compile(r"GetCapability pass (\d)")
_BEGIN = re.compile(r"is trying to add node\. Onnx node name: \[(.*?)\]")
_CODE = re.compile(r"failed for node `.*` of type `(\w+)` with error code (\d+)")
_UNIT = re.compile(r"Validation (PASSED|FAILED) for (\d+) nodes in (\w+)")
_MEMBER = re.compile(r"\tOperator type: .* Node name: (\S*) Node index: \d+")
_REASON = re.compile(r"\tREASON : (.*)")
_BUILD = re.compile(r"Backend build version: v?(\d+\.\d+)")
_PROBLEM = re.compile(r"(QNN SetupBackend failed.*|QNNExecutionProvider cannot be used with.*)")
_COLOUR = re.compile(r"\x1b\[[\d;]*m")
_BOILERPLATE = re.compile(r"(?<=\.)\s*\w+ node `\w*` will not be assigned to QNN EP\.?$")


@dataclass
class ValidatorLog:
    """What a log says.

    Attributes:
        answers: (answer, reason) by number of the node; the last one that was given.
        passes: how often the provider was asked about the graph; the first time it does not look
            at all operators.
        begun: number of the node that was looked at last; None when it came to none.
        build: of the QNN backend, ``2.51``; empty when it did not say.
        problem: why the provider was not used at all; empty when it was.
    """

    answers: dict[int, tuple[Answer, str]] = field(default_factory=dict)
    passes: int = 0
    begun: int | None = None
    build: str = ""
    problem: str = ""


@dataclass
class _Unit:
    """Nodes that were judged together: one, or a pattern that becomes one QNN operation."""

    passed: bool
    pattern: str
    codes: list[str]

    def answer(self) -> tuple[Answer, str]:
        if self.passed:
            return "accepted", self.pattern
        return ("refused", "; ".join(dict.fromkeys(self.codes))) if self.codes else ("not sent", "")


def read_log(lines: Iterable[str]) -> ValidatorLog:
    """The answers in a log, whose nodes are named as ``handover`` names them."""
    log, codes = ValidatorLog(), list[str]()
    unit, members = _Unit(False, "", []), list[int]()
    for line in lines:
        if match := _CODE.search(line):
            codes.append(_refusal(match[1], match[2]))
        elif (match := _BEGIN.search(line)) and numbers(match[1]):
            log.begun, codes = numbers(match[1])[0], []
        elif match := _UNIT.search(line):
            unit = _Unit(match[1] == "PASSED", _pattern(int(match[2]), match[3]), codes)
            codes, members = [], []
        elif match := _MEMBER.match(line):
            members += numbers(match[1])
            log.answers |= dict.fromkeys(numbers(match[1]), unit.answer())
        elif (match := _REASON.match(line)) and not unit.passed and not unit.codes:
            reason = _BOILERPLATE.sub("", match[1])
            log.answers |= dict.fromkeys(members, ("not sent", reason))
        else:
            _read_circumstance(line, log)
    return log


def _refusal(operation: str, code: str) -> str:
    meaning = _MEANING.get(code)
    return f"{operation} ({code}" + (f": {meaning})" if meaning else ")")


def _pattern(nodes: int, kind: str) -> str:
    return f"as one with its neighbours ({kind})" if nodes > 1 else ""


def _read_circumstance(line: str, log: ValidatorLog) -> None:
    if match := _PASS.search(line):
        log.passes = max(log.passes, int(match[1]))
    elif match := _BUILD.search(line):
        log.build = match[1]
    elif match := _PROBLEM.search(line):
        log.problem = log.problem or _COLOUR.sub("", match[1]).strip()
