"""Judge a model against the documents of one SDK version, for one runtime of one chip."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import onnx

from avatar_export.errors import ModelError
from avatar_export.whitelist.clauses import Clauses
from avatar_export.whitelist.finding import Finding, Severity, Verdict
from avatar_export.whitelist.judgement import Judgement, NodeVerdict
from avatar_export.whitelist.tables import LimitRow, OperatorRow, SdkTables, load_sdk
from avatar_export.whitelist.target import Target
from avatar_export.whitelist.view import ModelView, NodeView, UndeterminedError

_UNKNOWN_CODES = ("AX108", "AX110")
GRAPH_INPUT = "graph input"
T = TypeVar("T")
_BY_GRAVITY = (
    Verdict.UNSUPPORTED,
    Verdict.UNKNOWN,
    Verdict.CONSTRAINED,
    Verdict.SUPPORTED,
)


def check(model: onnx.ModelProto, target: Target) -> Judgement:
    """Judge every graph input and node of a model.

    A node that the converter folds into a constant is judged for its translation only. Bodies of
    control-flow operators are not entered: no listed SDK translates those operators.

    Raises:
        ModelError: the model cannot be analysed.
        UserError: the target's SDK has no tables.
    """
    tables = load_sdk(target.sdk)
    view = ModelView(model)
    judges = [_Judge(_input_node(view, name), tables, target) for name in view.inputs]
    for judge in judges:
        judge.apply_limits("input", (GRAPH_INPUT,))
    nodes = [_Judge(node, tables, target) for node in view.nodes]
    for judge in nodes:
        judge.judge_operator()
        judge.report_undetermined()
    findings = tuple(f for judge in (*judges, *nodes) for f in judge.findings)
    return Judgement(target, findings, tuple(judge.verdict() for judge in nodes))


def _input_node(view: ModelView, name: str) -> NodeView:
    """A graph input in the guise of a node, so that the same rules read it."""
    proto = onnx.NodeProto(op_type=GRAPH_INPUT, name=name, input=[name], output=[name])
    return NodeView(view, proto, 0)


@dataclass
class _Judge:
    """The judgement of one node while it is being made."""

    node: NodeView
    tables: SdkTables
    target: Target
    findings: list[Finding] = field(default_factory=list)
    operations: tuple[str, ...] = ()
    undetermined: str = ""

    def judge_operator(self) -> None:
        """Translation, version, constraints, then what the runtime has."""
        row = self.tables.operators.get(self.node.operator)
        if row is None or row.listed == "no" or self.node.is_foreign:
            self._untranslated(row)
            return
        if row.listed == "conflict":
            self._report("AX107", f"{row.operator}: {row.note}", row.source)
        self._judge_version(row)
        failure = self._failure(row.requires)
        if failure:
            self._report("AX105", failure, row.source, Severity.ERROR)
        if not self.node.is_folded:
            self.apply_limits("operator", (row.operator,))
            self._judge_layers(row)

    def report_undetermined(self) -> None:
        """Say which rule could not be judged, unless an unfixed shape further up is why."""
        known = self.node.model.is_static(*self.node.inputs)
        if self.undetermined and known and not any(f.code == "AX106" for f in self.findings):
            self._report("AX110", self.undetermined, f"limits.csv, SNPE {self.tables.version}")

    def apply_limits(self, kind: str, subjects: tuple[str, ...]) -> None:
        """Report each rule of the limits table that binds a subject and is broken."""
        for limit in self._bound(kind, subjects):
            if self._failure(limit.when):
                continue
            failure = self._failure(limit.requires)
            if failure:
                reason = f"{limit.reason}: {failure}"
                source = f"{limit.source} (rule {limit.id})"
                severity = limit.severity or Severity.WARNING
                self._report(limit.code, reason, source, severity, limit.fix)

    def verdict(self) -> NodeVerdict:
        """The worst verdict found; unknown where a shape was missing to find out."""
        said = {f.verdict for f in self.findings} | {Verdict.SUPPORTED}
        if self.undetermined or not self.node.model.is_static(*self.node.inputs):
            said.add(Verdict.UNKNOWN)
        worst = next(v for v in _BY_GRAVITY if v in said)
        return NodeVerdict(self.node.name, self.node.operator, self.operations, worst)

    def _bound(self, kind: str, subjects: tuple[str, ...]) -> Iterator[LimitRow]:
        column = self.target.column
        for limit in self.tables.limits:
            if any(limit.binds(kind, subject, column) for subject in subjects):
                yield limit

    def _untranslated(self, row: OperatorRow | None) -> None:
        name, source = self.node.operator, f"onnx_ops.csv, SNPE {self.tables.version}"
        reason = f"{name} is in no operator list"
        if self.node.is_foreign:
            reason = f"{self.node.proto.domain}.{name} lies outside the ONNX operators"
        elif row:
            reason, source = f"{name}: {row.note}", row.source
        self._report("AX101", reason, source, Severity.ERROR)

    def _judge_version(self, row: OperatorRow) -> None:
        """The converter only warns here (WARNING_OP_VERSION_NOT_SUPPORTED) and goes on."""
        version = self.node.schema.since_version if self.node.schema else 0
        if version and row.versions and version not in row.versions:
            listed = " ".join(map(str, row.versions))
            reason = f"{row.operator} version {version} is outside the list [{listed}]"
            self._report("AX102", reason, row.source, fix="lower the opset of the model")

    def _judge_layers(self, row: OperatorRow) -> None:
        operations = self._asked(lambda: row.operations(self.node, self.target))
        if operations is None:
            return
        self.operations = operations
        for operation in dict.fromkeys(self.operations):
            self._judge_layer(operation)
        self.apply_limits("operation", self.operations)

    def _judge_layer(self, operation: str) -> None:
        layer = self.tables.layers.get(operation)
        cell = layer.cells[self.target.column] if layer else ""
        if cell in ("yes", "removed"):
            return
        source = layer.source if layer else f"layers.csv, SNPE {self.tables.version}"
        note = f": {layer.note}" if layer and layer.note else ""
        where = f"{operation} on {self.target.column.upper()}"
        if cell == "no":
            self._report("AX103", f"{where}: the table says no{note}", source, Severity.ERROR)
        elif cell == "conflict":
            self._report("AX107", f"{where}: the documents disagree{note}", source)
        else:
            self._report("AX108", f"{where}: the table does not say{note}", source)

    def _failure(self, clauses: Clauses) -> str:
        """Why the node breaks the clauses; empty, and noted, when that cannot be known."""
        return self._asked(lambda: clauses.failure(self.node, self.target)) or ""

    def _asked(self, question: Callable[[], T]) -> T | None:
        """The answer of a rule about the node; None, and noted, when it cannot be known."""
        try:
            return question()
        except UndeterminedError as error:
            self.undetermined = str(error)
            return None
        except (ValueError, TypeError, IndexError, ZeroDivisionError) as error:
            raise ModelError(f"node {self.node.name}: malformed {self.node.operator}") from error

    def _report(
        self,
        code: str,
        reason: str,
        source: str,
        severity: Severity = Severity.WARNING,
        fix: str = "",
    ) -> None:
        verdict = Verdict.CONSTRAINED if severity is Severity.WARNING else Verdict.UNSUPPORTED
        if code in _UNKNOWN_CODES:
            verdict = Verdict.UNKNOWN
        self.findings.append(
            Finding(
                code,
                severity,
                verdict,
                self.node.name,
                self.node.operator,
                reason,
                source,
                fix,
                self.node.origin,
            )
        )
