from __future__ import annotations

import pytest

from avatar_export.errors import ModelError
from avatar_export.whitelist.clauses import parse
from avatar_export.whitelist.targets import resolve_target
from tests.whitelist.models import node

RELU = ("(float[1,8] x) => (float[1,8] y)", "y = Relu (x)")


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("", True),
        ("rank(0 2 2)", True),
        ("not rank(0 2 2)", False),
        ("rank(0 4 4) or rank(0 2 2)", True),
        ("rank(0 2 2) and rank(0 4 4)", False),
        ("rank(0 2 2) and rank(0 4 4) or inputs(1)", True),
        ("not rank(0 4 4) or never", True),
    ],
)
def test_meaning(text, holds):
    assert (parse(text).failure(node(*RELU), resolve_target()) == "") == holds


def test_reason_names_the_alternatives_and_no_condition():
    clauses = parse("not rank(0 2 2) or rank(0 4 4) or constant(0)")
    reason = clauses.failure(node(*RELU), resolve_target())
    assert reason == "input 0 has rank 2, not 4; input 0 (x) must be a constant"


@pytest.mark.parametrize("text", ["rnak(0 1 2)", "rank", "rank(0 1 2 3)", "rank(0", "never(1)"])
def test_malformed_cells_are_refused(text):
    with pytest.raises(ModelError, match="rule"):
        parse(text)
