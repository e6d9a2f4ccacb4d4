"""Advice is about things that exist, and reaches the finding."""

from __future__ import annotations

import onnx
import pytest

from avatar_export.resources import layer_whitelist
from avatar_export.whitelist.advice import advice
from avatar_export.whitelist.check import check
from avatar_export.whitelist.rows import read_rows
from avatar_export.whitelist.tables import known_sdks, load_sdk
from avatar_export.whitelist.targets import resolve_target
from tests.whitelist.models import model

ROWS = read_rows(layer_whitelist() / "advice.csv")
# Of the domain com.microsoft, which older exports of PyTorch use.
FOREIGN = {"Inverse"}


def test_subjects_exist():
    operations = {name for sdk in known_sdks() for name in load_sdk(sdk).layers}
    operators = {schema.name for schema in onnx.defs.get_all_schemas()} | FOREIGN
    named = {
        kind: {r["subject"] for r in ROWS if r["kind"] == kind}
        for kind in ("operation", "operator")
    }
    assert named["operation"] <= operations
    assert named["operator"] <= operators


def test_advice_fits_a_line():
    assert max(len(row["advice"]) for row in ROWS) < 130
    assert advice("operator", "Conv") == ""


@pytest.mark.parametrize(
    ("body", "runtime", "fix"),
    [
        ("y = Selu (x)", "cpu", "gamma * ("),
        ("y = Ceil (x)", "gpu", "-Floor(-x)"),
        ("e = Erf (x) y = Relu (e)", "cpu", "the tanh form"),
    ],
)
def test_findings_carry_advice(body, runtime, fix):
    judged = check(
        model("(float[1,4,8,8] x) => (float[1,4,8,8] y)", body),
        resolve_target(None, "2.25", runtime),
    )
    assert fix in judged.errors[0].fix
