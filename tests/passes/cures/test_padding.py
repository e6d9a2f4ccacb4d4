from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from avatar_export.passes.cures.padding import is_constant_mode, pad_value, read_padding
from tests.passes.models import loaded, parsed


def pad(node: str, opset: int = 13, **weights: object) -> ir.Node:
    body = f"g (float[1,2,3,4] x, int64[8] fed) => (float[a,b,c,d] y) {{ y = {node} }}"
    return loaded(parsed(body, opset, **weights)).graph[0]


AMOUNTS = [0, 1, -2, 3, 0, 0, 4, -1]


@pytest.mark.parametrize(
    "node",
    [
        pad(f"Pad<pads = {AMOUNTS}>(x)", 9),
        pad("Pad(x, a)", a=np.array(AMOUNTS)),
        pad(
            "Pad(x, a, v, axes)",
            18,
            a=np.array([3, 1, -2, -1, 0, 4]),
            v=np.float32(0),
            axes=np.array([-1, 1, 2]),
        ),
    ],
    ids=["attribute", "input", "some axes"],
)
def test_amounts(node: ir.Node) -> None:
    found = read_padding(node)
    assert found is not None and found.grows and found.cuts
    assert [*found.begin, *found.end] == AMOUNTS
    added = found.added()
    assert [*added.begin, *added.end] == [0, 1, 0, 3, 0, 0, 4, 0]
    assert not added.cuts


@pytest.mark.parametrize("amounts", ["fed", "short"])
def test_amounts_that_cannot_be_read(amounts: str) -> None:
    assert read_padding(pad(f"Pad(x, {amounts})", short=np.array([1, 2]))) is None


def test_mode_and_value() -> None:
    node = pad("Pad(x, a, v)", a=np.array(AMOUNTS), v=np.float32(0.5))
    value = pad_value(node)
    assert is_constant_mode(node) and value is not None and value.name == "v"
    assert not is_constant_mode(pad('Pad<mode = "edge">(x, fed)'))
    assert pad_value(pad("Pad(x, fed)")) is None
