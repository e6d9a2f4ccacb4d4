"""What a check says: a code, a verdict, the guilty node and the document that says so."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


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


# Codes are a contract: a number is never given a second meaning, nor used again.
# AX1xx judges a model against the tables; AX2xx is kept for silent faults of the converter.
CODES = MappingProxyType(
    {
        "AX101": "the converter has no translation for the operator",
        "AX102": "the operator's version is outside the converter's list",
        "AX103": "the runtime has no such layer",
        "AX104": "a tensor or weight is larger than the runtime's limit",
        "AX105": "an attribute, rank, data type or constant input breaks a rule",
        "AX106": "a shape is not fixed",
        "AX107": "the documents contradict each other",
        "AX108": "no document says whether the runtime has the layer",
        "AX109": "the runtime takes this form, but slowly",
        "AX110": "a rule cannot be judged, because a value or type is not in the model",
    }
)


@dataclass(frozen=True)
class Finding:
    """One judgement on one node, or on the model where ``node`` is a graph input.

    Attributes:
        code: key of ``CODES``.
        node: name of the node or graph input.
        operator: ONNX operator, or ``graph input``.
        reason: what is wrong, with the numbers of this node.
        source: document and version that the rule comes from.
        fix: a pass that cures it, or advice; empty when there is none.
        origin: PyTorch module that the node came from, where the exporter recorded it.
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

    def to_dict(self) -> dict[str, str]:
        """Plain strings, in the order of the fields."""
        return {key: str(value) for key, value in vars(self).items()}
