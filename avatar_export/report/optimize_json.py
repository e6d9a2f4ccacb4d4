"""The result of an optimisation as data; ``schema/optimize.schema.json`` describes it."""

from __future__ import annotations

from avatar_export import __version__
from avatar_export.optimizing.record import Cost, Optimization, PassResult
from avatar_export.report.check_escape import json_text
from avatar_export.whitelist.judgement import Judgement

# Version of the form. Fields are added without a new number; readers ignore what they do not know.
FORMAT = 1


def render(result: Optimization) -> str:
    """Indented JSON in ASCII."""
    return json_text(content(result))


def content(result: Optimization) -> dict[str, object]:
    """The result as plain data, passes in order."""
    target = result.target
    return {
        "format": FORMAT,
        "tool": {"name": "avatar-export", "version": __version__},
        "model": result.model,
        "out": result.out,
        "target": {
            "name": result.goal,
            "sdk": target.sdk if target else None,
            "runtime": target.runtime if target else None,
        },
        "upsample": result.upsample,
        "verified": result.verified,
        "passes": [_pass(one) for one in result.passes],
        **_costs(result.before, result.after),
        "basis": result.basis,
        "worst": result.worst,
        "dropped_inputs": list(result.dropped),
        "findings": {
            "before": _findings(result.judged_before),
            "after": _findings(result.judged_after),
        },
    }


def _pass(result: PassResult) -> dict[str, object]:
    return {
        "name": result.name,
        "why": result.why,
        "changes": list(result.changes),
        "notes": list(result.notes),
        **_costs(result.before, result.after),
        "worst": result.worst,
    }


def _costs(before: Cost, after: Cost) -> dict[str, object]:
    return {
        "nodes": {"before": before.nodes, "after": after.nodes},
        "macs": {"before": before.macs, "after": after.macs},
        "estimated_ms": {"before": before.milliseconds, "after": after.milliseconds},
    }


def _findings(judgement: Judgement | None) -> dict[str, int] | None:
    if judgement is None:
        return None
    return {"errors": len(judgement.errors), "warnings": len(judgement.warnings)}
