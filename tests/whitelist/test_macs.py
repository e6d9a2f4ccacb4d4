"""Multiply-adds of nodes as the judge counts them; the formula itself is tested with the passes."""

from __future__ import annotations

import pytest

from avatar_export.whitelist.macs import node_macs
from tests.whitelist.models import node

PICTURE = "(float[1,8,6,4] x) => (y)"


@pytest.mark.parametrize(
    ("signature", "body", "weights", "expected"),
    [
        (PICTURE, "y = Conv <pads = [1, 1, 1, 1]> (x, w)", (5, 8, 3, 3), 5 * 6 * 4 * 8 * 9),
        (PICTURE, "y = ConvTranspose (x, w)", (8, 5, 2, 2), 8 * 6 * 4 * 5 * 4),
        ("(float[7,3] x) => (y)", "y = MatMul (x, w)", (3, 2), 7 * 2 * 3),
        ("(float[3,7] x) => (y)", "y = Gemm <transA = 1> (x, w)", (3, 2), 7 * 2 * 3),
        ("(float[7,3] x) => (y)", "y = Gemm (x, w)", (3, 2), 7 * 2 * 3),
        (PICTURE, "y = Add (x, w)", (8, 6, 4), 0),
        (PICTURE, "y = other.Conv (x, w)", (5, 8, 3, 3), 0),
        ("(float[N,8,6,4] x) => (y)", "y = Conv (x, w)", (5, 8, 1, 1), 0),
        (PICTURE, "y = Conv (x)", (1,), 0),
    ],
)
def test_macs(signature, body, weights, expected):
    assert node_macs(node(signature, body, w=weights)) == expected
