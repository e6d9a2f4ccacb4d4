"""A second opinion on a model: what the op validator of a QNN GPU backend says of each node.

onnxruntime-qnn carries libQnnGpu.so, the GPU backend of a current QNN for a current Adreno. It is
an upper bound for older ones: what it refuses, an older GPU runtime most likely refuses too; what
it accepts proves nothing for that one. It judges the operations that ONNX Runtime makes of the
nodes, not those of a DLC; it compiles and runs nothing.

Known of onnxruntime-qnn 2.7.0 (QNN 2.51), by experiment: the library starts only where ``whereis``
finds programs named aoc and oqclc, its offline OpenCL compiler; empty ones will do. It answers
each operation with 0, 4005 (not in the GPU package) or 3110 (known, but not in this form). ONNX
Runtime asks twice, before and after it turns the graph to channels last, and some operators only
the second time; so the last answer counts.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from avatar_export.dlc.handover import hand_over, with_names
from avatar_export.dlc.process import Outcome, run_tool
from avatar_export.dlc.qnn_package import DISTRIBUTION, child_environment, find_library
from avatar_export.dlc.qnngpu_child import LIBRARY, LOG, OUTCOME
from avatar_export.dlc.qnngpu_log import Answer, ValidatorLog, read_log
from avatar_export.errors import MissingDependency, ModelError

if TYPE_CHECKING:
    import onnx

TIMEOUT = 600.0
"""Seconds; a model of 2,000 small nodes takes about two."""

_CHILD = (sys.executable, "-m", "avatar_export.dlc.qnngpu_child")
_COMPILER = ("aoc", "oqclc")
_EXTRA = "pip install 'avatar-export[dlc]'"
_FOLDED = "a constant: it is folded before any runtime sees it"
_NEVER_ASKED = "ONNX Runtime removed it before it asked"
_SAID_AT_MOST = 400
_NOISE = re.compile(
    r"\[ONNXRuntimeError\] : \d+ : \w+ : |Load model from \S* failed:\s*"
    r"|/onnxruntime_src/\S+:\d+ .*?\)(?: const)? "
)
"""What ONNX Runtime says of itself in an error: its own number, our file, its source line."""


@dataclass(frozen=True)
class NodeOpinion:
    """What was answered for one node of the main graph.

    Attributes:
        node: its name, or ``{operator}_{index}`` where the model gives none.
        operator: its ONNX type.
        answer: ``not sent`` where the library was not asked: ONNX Runtime could not translate the
            node, or it is a constant.
        reason: the QNN operations refused with their codes, or why nothing was sent; empty for a
            node that was accepted by itself.
    """

    node: str
    operator: str
    answer: Answer
    reason: str = ""


@dataclass(frozen=True)
class SecondOpinion:
    """The answers for all nodes of a model's main graph, in its order.

    Attributes:
        version: who was asked, ``onnxruntime-qnn 2.7.0, libQnnGpu.so (QNN 2.51)``.
    """

    version: str
    nodes: tuple[NodeOpinion, ...]


def find() -> Path | None:
    """The installed libQnnGpu.so, or None."""
    return find_library(LIBRARY)


def ask(model: onnx.ModelProto, *, timeout: float = TIMEOUT) -> SecondOpinion:
    """What the GPU backend of onnxruntime-qnn says of every node.

    Local functions are inlined first, and what hangs on no input is folded. Nodes inside If and
    Loop are part of the answer for their If or Loop.

    Args:
        model: its large weights are not looked at, and need not be there.
        timeout: seconds for the child process.

    Raises:
        MissingDependency: no libQnnGpu.so, no ``whereis``, or the library does not start.
        ModelError: ONNX Runtime cannot load the model, or the library crashed or hung.
    """
    _require_environment()
    with tempfile.TemporaryDirectory(prefix="avatar-export-") as name:
        work = Path(name)
        nodes = hand_over(model, work / "model.onnx")
        names = [node.name or f"{node.op_type}_{index}" for index, node in enumerate(nodes)]
        outcome = _run_child(work, timeout)
        log = _read_log(work / LOG)
        folded, error = _read_outcome(work / OUTCOME) or _refuse_ending(outcome, log, names)
    if len(folded) < len(nodes):
        _refuse_unanswered(log, with_names(error, names))
    answers = log.answers | dict.fromkeys(folded, ("not sent", _FOLDED))
    opinions = []
    for index, node in enumerate(nodes):
        silence = _FOLDED if node.op_type == "Constant" else _NEVER_ASKED
        answer, reason = answers.get(index, ("not sent", silence))
        opinions.append(NodeOpinion(names[index], node.op_type, answer, with_names(reason, names)))
    return SecondOpinion(_version(log), tuple(opinions))


def _require_environment() -> None:
    if find() is None:
        raise MissingDependency(
            f"{LIBRARY}, which gives the second opinion, is not installed",
            f"{_EXTRA}, on Linux x86-64",
        )
    if shutil.which("whereis") is None:
        raise MissingDependency(
            f"{LIBRARY} starts only where it can call whereis, which is not on PATH",
            "install util-linux",
        )


def _run_child(work: Path, timeout: float) -> Outcome:
    programs = work / "programs"
    programs.mkdir()
    for name in _COMPILER:
        (programs / name).touch(mode=0o755)
    environ = dict(child_environment())
    environ["PATH"] = os.pathsep.join(filter(None, (str(programs), environ.get("PATH"))))
    command = (*_CHILD, str(work / "model.onnx"), str(work))
    return run_tool(command, folder=work, environ=environ, timeout=timeout)


def _read_outcome(path: Path) -> tuple[list[int], str] | None:
    """(indices of the folded nodes, error of ONNX Runtime) if the child came to its end."""
    try:
        left: dict[str, Any] = json.loads(path.read_bytes())
        error = " ".join(_NOISE.sub("", str(left["error"])).split())[:_SAID_AT_MOST]
        return [int(index) for index in left["folded"]], error
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _refuse_ending(outcome: Outcome, log: ValidatorLog, names: Sequence[str]) -> NoReturn:
    where = f" at {names[log.begun]!r}" if log.begun is not None else ""
    said = outcome.output.strip().rpartition("\n")[2][:_SAID_AT_MOST]
    spoke = outcome.status is not None and outcome.status > 0 and said
    raise ModelError(f"{LIBRARY} {outcome.ending}{where}" + (f": {said}" if spoke else ""))


def _read_log(path: Path) -> ValidatorLog:
    try:
        with path.open(encoding="utf-8", errors="replace") as lines:
            return read_log(lines)
    except FileNotFoundError:  # The child died before it opened the file.
        return ValidatorLog()


def _refuse_unanswered(log: ValidatorLog, error: str) -> None:
    """Stop when the model or the library kept the provider from answering.

    An error beside answers is as it should be: where nodes were accepted, nothing compiles them;
    where they were refused, the CPU may lack the operator too.
    """
    if log.problem.startswith("QNN SetupBackend"):
        raise MissingDependency(f"{LIBRARY} does not start: {log.problem}")
    if not log.answers:
        said = log.problem or error or "it says nothing of any node"
        raise ModelError(f"ONNX Runtime cannot hand the model to {LIBRARY}: {said}")
    accepted = any(answer == "accepted" for answer, _ in log.answers.values())
    if accepted and log.passes < 2:
        raise ModelError(f"{LIBRARY} was asked about a part of the model only: {error}")


def _version(log: ValidatorLog) -> str:
    from importlib import metadata

    build = f" (QNN {log.build})" if log.build else ""
    return f"{DISTRIBUTION} {metadata.version(DISTRIBUTION)}, {LIBRARY}{build}"
