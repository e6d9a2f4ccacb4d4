"""The judgement of one node while it is being made."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from avatar_export.errors import ModelError
from avatar_export.whitelist.advice import advice
from avatar_export.whitelist.clauses import MALFORMED, Clauses
from avatar_export.whitelist.context import fusion_of
from avatar_export.whitelist.finding import Finding, Severity, Verdict
from avatar_export.whitelist.fusions import Fusion
from avatar_export.whitelist.judgement import NodeVerdict
from avatar_export.whitelist.tables import LimitRow, OperatorRow, SdkTables
from avatar_export.whitelist.target import Target
from avatar_export.whitelist.view import NodeView, UndeterminedError

T = TypeVar("T")
_UNKNOWN_CODES = ("AX108", "AX110")
_CELLS = {
    "no": ("AX103", "the table says no", Severity.ERROR),
    "conflict": ("AX107", "the documents disagree", Severity.WARNING),
}
_SILENT = ("AX108", "the table does not say", Severity.WARNING)
_BY_GRAVITY = (
    Verdict.UNSUPPORTED,
    Verdict.UNKNOWN,
    Verdict.CONSTRAINED,
    Verdict.SUPPORTED,
)


@dataclass
class Judge:
    """Asks the tables about one node and collects what they say.

    Attributes:
        path: names of the control-flow nodes around the node, each followed by ``/``.
    """

    node: NodeView
    tables: SdkTables
    target: Target
    path: str = ""
    findings: list[Finding] = field(default_factory=list)
    operations: tuple[str, ...] = ()
    undetermined: str = ""

    def judge_operator(self) -> None:
        """Translation, version, demands, silent faults, then what the runtime has."""
        invalid = self.node.invalid
        if invalid:
            self.report("AX111", invalid, "ONNX operator specification", Severity.ERROR)
            return
        row = self.tables.operators.get(self.node.operator)
        if row is None or row.listed == "no" or self.node.is_foreign:
            self._untranslated(row)
            return
        if row.listed == "conflict":
            self.report("AX107", f"{row.operator}: {row.note}", row.source)
        self._judge_version(row)
        failure = self._failure(row.requires)
        if failure:
            fix = advice("operator", row.operator)
            self.report("AX105", failure, row.source, Severity.ERROR, fix, cure=row.cure)
        if self.node.is_folded:
            return
        self.apply_limits("operator", (row.operator,))
        self._judge_operations(row)

    def apply_limits(
        self, kind: str, subjects: Iterable[str], node: NodeView | None = None, cure: str = ""
    ) -> None:
        """Report each rule of the tables that binds a subject and is broken.

        Args:
            kind: ``operator``, ``operation``, ``input`` or ``output``.
            subjects: names that the rules speak of.
            node: where the rules look; the judged node unless it is merged into another.
            cure: pass that mends what has no cure of its own.
        """
        for limit in self._bound(kind, subjects).values():
            if not self._applies(limit.when, node):
                continue
            failure = self._failure(limit.requires, node)
            if failure:
                self._report_limit(limit, failure, cure)

    def judge_layer(self, operation: str, cure: str = "") -> None:
        """Report it unless the layer table says that the runtime has the operation."""
        layer = self.tables.layers.get(operation)
        cell = layer.cells[self.target.column] if layer else ""
        if cell in ("yes", "removed"):
            return
        source = layer.source if layer else f"layers.csv, SNPE {self.tables.version}"
        note = f": {layer.note}" if layer and layer.note else ""
        where = f"{operation} on {self.target.column.upper()}"
        code, said, severity = _CELLS.get(cell, _SILENT)
        fix = advice("operation", operation) or advice("operator", self.node.operator)
        self.report(code, f"{where}: {said}{note}", source, severity, fix, cure=cure)

    def report_undetermined(self) -> None:
        """Say which rule could not be judged, unless an unfixed shape further up is why."""
        known = self.node.model.is_static(*self.node.inputs)
        if self.undetermined and known and not any(f.code == "AX106" for f in self.findings):
            self.report("AX110", self.undetermined, f"limits.csv, SNPE {self.tables.version}")

    def verdict(self, macs: int = 0) -> NodeVerdict:
        """The worst verdict found; unknown where a shape was missing to find out."""
        said = {f.verdict for f in self.findings} | {Verdict.SUPPORTED}
        if self.undetermined or not self.node.model.is_static(*self.node.inputs):
            said.add(Verdict.UNKNOWN)
        worst = next(v for v in _BY_GRAVITY if v in said)
        name = self.path + self.node.name
        return NodeVerdict(name, self.node.operator, self.operations, worst, macs)

    def report(
        self,
        code: str,
        reason: str,
        source: str,
        severity: Severity = Severity.WARNING,
        fix: str = "",
        rule: str = "",
        cure: str = "",
    ) -> None:
        """Add a finding; its verdict follows from code and severity."""
        verdict = Verdict.CONSTRAINED if severity is Severity.WARNING else Verdict.UNSUPPORTED
        if code in _UNKNOWN_CODES:
            verdict = Verdict.UNKNOWN
        self.findings.append(
            Finding(
                code,
                severity,
                verdict,
                self.path + self.node.name,
                self.node.operator,
                reason,
                source,
                fix,
                self.node.origin,
                rule,
                cure,
            )
        )

    def _bound(self, kind: str, subjects: Iterable[str]) -> dict[str, LimitRow]:
        """Rules by their id; a rule that binds several subjects is asked once."""
        column = self.target.column
        rows = (self.tables.bound(kind, subject, column) for subject in subjects)
        return {limit.id: limit for some in rows for limit in some}

    def _report_limit(self, limit: LimitRow, failure: str, cure: str) -> None:
        self.report(
            limit.code,
            f"{limit.reason}: {failure}",
            limit.source,
            limit.severity or Severity.WARNING,
            limit.fix,
            limit.id,
            limit.cure or cure,
        )

    def _untranslated(self, row: OperatorRow | None) -> None:
        name, source = self.node.operator, f"onnx_ops.csv, SNPE {self.tables.version}"
        reason = f"{name} is in no operator list"
        if self.node.is_foreign:
            reason = f"{self.node.proto.domain}.{name} lies outside the ONNX operators"
        elif row:
            reason, source = f"{name}: {row.note}", row.source
        self.report("AX101", reason, source, Severity.ERROR, advice("operator", name))

    def _judge_version(self, row: OperatorRow) -> None:
        """The converter only warns here (WARNING_OP_VERSION_NOT_SUPPORTED) and goes on."""
        version = self.node.schema.since_version if self.node.schema else 0
        if version and row.versions and version not in row.versions:
            listed = " ".join(map(str, row.versions))
            reason = f"{row.operator} version {version} is outside the list [{listed}]"
            fix = "lower the operator set of the model"
            self.report("AX102", reason, row.source, fix=fix, cure="lower-opset")

    def _judge_operations(self, row: OperatorRow) -> None:
        """What the node becomes; of merged nodes the last stands for the operation."""
        fusion = fusion_of(self.node)
        if fusion is None:
            operations, node = self._asked(lambda: row.operations(self.node, self.target)), None
        elif fusion.root is self.node:
            operations, node = self._merged(fusion), fusion.anchor
        else:
            return
        self.operations = operations or ()
        cure = fusion.row.cure if fusion else ""
        for operation in dict.fromkeys(self.operations):
            self.judge_layer(operation, cure)
        self.apply_limits("operation", self.operations, node, cure)

    def _merged(self, fusion: Fusion) -> tuple[str, ...] | None:
        if fusion.row.operations is not None:
            return fusion.row.operations
        row = self.tables.operators[fusion.anchor.operator]
        return self._asked(lambda: row.operations(fusion.anchor, self.target))

    def _applies(self, when: Clauses, node: NodeView | None) -> bool:
        """Whether the clauses hold; a rule of which nobody can say so blames nobody."""
        return self._asked(lambda: when.failure(node or self.node, self.target)) == ""

    def _failure(self, clauses: Clauses, node: NodeView | None = None) -> str:
        """Why the node breaks the clauses; empty, and noted, when that cannot be known."""
        return self._asked(lambda: clauses.failure(node or self.node, self.target)) or ""

    def _asked(self, question: Callable[[], T]) -> T | None:
        """The answer of a rule about the node; None, and noted, when it cannot be known."""
        try:
            return question()
        except UndeterminedError as error:
            self.undetermined = str(error)
            return None
        except MALFORMED as error:
            if any(f.severity is Severity.ERROR for f in self.findings):
                return None  # a rule for nodes that are taken, asked of one that is not
            raise ModelError(f"node {self.node.name}: malformed {self.node.operator}") from error
