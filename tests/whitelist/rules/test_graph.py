"""Rules on a node's place in the graph: a node that keeps each, and one that breaks it."""

from __future__ import annotations

import pytest

from avatar_export.whitelist.check import check
from avatar_export.whitelist.rules.every import PREDICATES
from avatar_export.whitelist.targets import resolve_target
from avatar_export.whitelist.view import NodeView
from tests.whitelist.models import model, node

TARGET = resolve_target()
IMAGE = "(float[1,4,8,8] x) => (float[1,4,8,8] y)"
PAIR = "(float[1,4,8,8] x, float[1,4,1,1] z) => (float[1,4,8,8] y)"


def failure(rule: str, view: NodeView) -> str:
    name, *arguments = rule.split()
    return PREDICATES[name].function(view, TARGET, *arguments)


@pytest.mark.parametrize(
    ("rule", "signature", "kept", "broken"),
    [
        ("one_shape", PAIR, "y = Add (x, x)", "y = Add (x, z)"),
        (
            "symmetric_pads",
            IMAGE,
            "y = MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x)",
            "y = MaxPool <kernel_shape = [2, 2], pads = [0, 0, 1, 1]> (x)",
        ),
        ("dim 0 1 1 4", PAIR, "y = Relu (x)", "s = Concat <axis = 1> (x, z) y = Relu (s)"),
        (
            "named_outputs 1",
            IMAGE,
            "y = MaxPool <kernel_shape = [1, 1]> (x)",
            "y, i = MaxPool <kernel_shape = [1, 1]> (x)",
        ),
        (
            "unread 1",
            IMAGE,
            "n, m = Dropout (x) y = Relu (n)",
            "n, m = Dropout (x) c = Cast <to = 1> (m) y = Mul (n, c)",
        ),
        ("from_runtime 0 Relu", IMAGE, "y = Abs (x)", "r = Relu (x) n = Abs (r) y = Abs (n)"),
        ("input_above_one", PAIR, "n = Relu (x) y = Abs (n)", "n = Relu (z) y = Add (n, x)"),
    ],
)
def test_a_rule_is_kept_and_broken(rule, signature, kept, broken):
    if rule.startswith("dim"):
        signature = signature.replace("float[1,4,1,1] z", "float[1,1,8,8] z")
    assert failure(rule, node(signature, kept)) == ""
    assert failure(rule, node(signature, broken)) != ""


def refused(body: str, signature: str) -> bool:
    judgement = check(model(signature, body, 13), resolve_target(None, "2.25", "cpu"))
    return any(f.operator == "MatMul" for f in judgement.errors)


@pytest.mark.parametrize(
    ("head", "wrong"),
    [
        ("t = Transpose <perm = [0, 2, 1]> (z)", True),
        ("r = Relu (z) t = Transpose <perm = [0, 2, 1]> (r)", True),
        ("u = Transpose <perm = [0, 2, 1]> (z) t = Relu (u)", True),
        ("s = Shape (z) r = Reshape (z, s) t = Transpose <perm = [0, 2, 1]> (r)", False),
    ],
)
def test_a_transposed_tensor_is_still_taken_for_channel_last(head, wrong):
    signature = "(float[1,6,8] x, float[1,6,8] z) => (float[1,6,6] y)"
    assert refused(f"{head} y = MatMul (x, t)", signature) == wrong


def test_an_input_is_narrow_or_said_to_be_wide():
    def found(kind: str) -> list[str]:
        signature = f"({kind}[1,8] x) => ({kind}[1,8] y)"
        judgement = check(model(signature, "y = Abs (x)"), resolve_target(None, "2.25", "gpu"))
        return [f.rule for f in judgement.findings if f.operator == "graph input"]

    assert found("double") == ["D14"]
    assert found("float") == []
