"""The result of a check as data; ``schema/check.schema.json`` describes it."""

from __future__ import annotations

from avatar_export import __version__
from avatar_export.checking.record import CheckedModel, CheckRun
from avatar_export.report.check_escape import json_text
from avatar_export.report.check_summary import verdict

# Version of the form. Fields are added without a new number; readers ignore what they do not know.
FORMAT = 1


def render(run: CheckRun) -> str:
    """Indented JSON in ASCII."""
    return json_text(result(run))


def result(run: CheckRun) -> dict[str, object]:
    """The run as plain data, models in the order they were given."""
    return {
        "format": FORMAT,
        "tool": {"name": "avatar-export", "version": __version__},
        "models": [_model(model) for model in run.models],
        "exit_code": run.exit_code,
    }


def _model(model: CheckedModel) -> dict[str, object]:
    judged = model.judgement.to_dict()
    return {
        "path": model.path,
        "target": judged["target"],
        "verdict": str(verdict(model)),
        "passed": model.passed,
        "findings": [finding.to_dict() for finding in model.findings],
        "summary": _summary(model),
        "ports": judged["ports"],
        "nodes": judged["nodes"],
        "fixed": model.fixed,
        "changes": list(model.changes),
    }


def _summary(model: CheckedModel) -> dict[str, object]:
    judgement = model.judgement
    return {
        "errors": len(model.errors),
        "warnings": len(model.findings) - len(model.errors),
        "hidden": model.hidden,
        "nodes": len(judgement.node_verdicts),
        "nodes_by_verdict": {str(v): count for v, count in judgement.counts.items()},
        "macs": sum(judgement.macs.values()),
        "macs_by_verdict": {str(v): count for v, count in judgement.macs.items()},
    }
