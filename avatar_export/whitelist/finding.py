"""What a check says: a code, a verdict, the guilty node and the document that says so."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How the documents judge one operator of one model on one target."""

    SUPPORTED = "supported"
    CONSTRAINED = "constrained"
    UNSUPPORTED = "unsupported"
    UNKNOWN = "unknown"


class Severity(StrEnum):
    """An error stops the model on the target; a warning may not."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True)
class Finding:
    """One judgement on one node, or on the model where ``node`` is a graph input.

    Attributes:
        code: one of ``codes.toml``.
        node: name of the node or graph input.
        operator: ONNX operator, or ``graph input``.
        reason: what is wrong, with the numbers of this node.
        source: document and version that the rule comes from.
        fix: a pass that cures it, or advice; empty when there is none.
        origin: PyTorch module that the node came from, where the exporter recorded it.
        rule: row that was broken, such as ``G44`` of ``limits.csv``; empty for the plain tables.
        cure: pass that ``check --fix`` applies; empty when there is none.
    """

    code: str
    severity: Severity
    verdict: Verdict
    node: str
    operator: str
    reason: str
    source: str
    fix: str = ""
    origin: str = ""
    rule: str = ""
    cure: str = ""

    def to_dict(self) -> dict[str, str]:
        """Plain strings, in the order of the fields."""
        return {key: str(value) for key, value in vars(self).items()}
