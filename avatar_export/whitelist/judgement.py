"""All that is said of one model on one target."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from avatar_export.whitelist.finding import Finding, Severity, Verdict
from avatar_export.whitelist.target import Target

Dims = tuple[int | str | None, ...]


@dataclass(frozen=True)
class NodeVerdict:
    """The worst that is said of one node, and the SNPE operations it becomes.

    Attributes:
        node: name; a node inside a control-flow body is preceded by the path to it.
        operations: empty where the converter folds the node or merges it into another.
        macs: multiply-adds for one run; 0 where shapes are unknown or the node has none.
    """

    node: str
    operator: str
    operations: tuple[str, ...]
    verdict: Verdict
    macs: int = 0


@dataclass(frozen=True)
class Port:
    """A graph input or output, as the application must feed or read it.

    Attributes:
        direction: ``input`` or ``output``.
        dtype: element type by its QNN name, such as ``f32``; empty when unknown.
        shape: ONNX order; a symbolic dimension by its name, an unknown one as None.
        stored: order of the DLC, where the converter changes it; else equal to ``shape``.
        layout: ``NCHW -> NHWC``, or empty where the order stays.
    """

    name: str
    direction: str
    dtype: str
    shape: Dims
    stored: Dims
    layout: str = ""


@dataclass(frozen=True)
class Judgement:
    """All that the documents say of one model on one target."""

    target: Target
    findings: tuple[Finding, ...]
    node_verdicts: tuple[NodeVerdict, ...]
    ports: tuple[Port, ...] = ()

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Findings that stop the model."""
        return tuple(f for f in self.findings if f.severity is Severity.ERROR)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """Findings that may not stop the model."""
        return tuple(f for f in self.findings if f.severity is Severity.WARNING)

    @property
    def clean(self) -> bool:
        """Whether there is nothing to say."""
        return not self.findings

    @property
    def counts(self) -> dict[Verdict, int]:
        """Number of nodes by verdict, zeros included."""
        found = Counter(n.verdict for n in self.node_verdicts)
        return {verdict: found[verdict] for verdict in Verdict}

    @property
    def macs(self) -> dict[Verdict, int]:
        """Multiply-adds by verdict, zeros included."""
        found: Counter[Verdict] = Counter()
        for node in self.node_verdicts:
            found[node.verdict] += node.macs
        return {verdict: found[verdict] for verdict in Verdict}

    def to_dict(self) -> dict[str, object]:
        """Plain values only, ready for JSON."""
        return {
            "target": dict(vars(self.target)),
            "counts": {str(verdict): count for verdict, count in self.counts.items()},
            "macs": {str(verdict): macs for verdict, macs in self.macs.items()},
            "findings": [finding.to_dict() for finding in self.findings],
            "nodes": [
                {**vars(n), "operations": list(n.operations), "verdict": str(n.verdict)}
                for n in self.node_verdicts
            ],
            "ports": [
                {**vars(p), "shape": list(p.shape), "stored": list(p.stored)} for p in self.ports
            ],
        }
