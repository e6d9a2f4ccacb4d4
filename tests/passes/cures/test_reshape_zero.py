from __future__ import annotations

import numpy as np
import pytest

from avatar_export.passes.cures.reshape_zero import ReshapeZero
from tests.passes.models import applied, attributes, parsed, rewritten, rng, stamps

BODY = "g (float[1,4,8] x) => (float[A,B] y) {{ [n] y = Reshape<allowzero = {}>(x, s) }}"


@pytest.mark.parametrize("opset", [14, 21])
def test_a_needless_allowzero_is_dropped(opset: int) -> None:
    proto = parsed(BODY.format(1), opset, s=np.array([4, -1]))
    after, changes = rewritten(ReshapeZero(), proto, x=rng(1, 4, 8))
    assert "allowzero" not in attributes(after.graph.node[0])
    assert changes == ["n: allowzero dropped"]
    assert stamps(after) == {"n": "reshape-zero"}


def test_a_zero_in_the_shape_stays_with_a_note() -> None:
    pass_ = ReshapeZero()
    assert applied(pass_, parsed(BODY.format(1), 14, s=np.array([0, 0])))[1] == []
    assert "holds a zero" in pass_.notes[0]


def test_a_plain_reshape_stays() -> None:
    assert applied(ReshapeZero(), parsed(BODY.format(0), 14, s=np.array([4, -1])))[1] == []
