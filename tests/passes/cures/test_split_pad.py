from __future__ import annotations

import numpy as np
import pytest

from avatar_export.passes.cures.split_pad import SplitPad
from tests.passes.models import applied, operators, parsed, rewritten, rng

X = rng(1, 3, 5, 4)


def model_of(pads: list[int], opset: int = 13, mode: str = "constant"):
    head = "g (float[1,3,5,4] x) => (float[n,c,h,w] y) { [pad] y = "
    if opset < 11:
        return parsed(f'{head} Pad<mode = "{mode}", pads = {pads}, value = 0.5>(x) }}', opset)
    node = f'Pad<mode = "{mode}">(x, a, v)'
    return parsed(f"{head} {node} }}", opset, a=np.array(pads), v=np.float32(0.5))


@pytest.mark.parametrize("opset", [9, 10, 11, 13, 18, 21])
@pytest.mark.parametrize(
    "pads",
    [[0, 0, 1, 0, 0, 0, -1, 0], [0, 0, -1, 2, 0, 0, 3, -2], [0, 1, -2, 0, 0, 0, -1, 0]],
)
def test_it_adds_and_then_cuts(pads: list[int], opset: int) -> None:
    after, changes = rewritten(SplitPad(), model_of(pads, opset), x=X)
    assert operators(after) == ["Pad", "Slice"]
    assert changes == ["pad: split into a Pad and a Slice"]


def test_a_pad_without_a_value_adds_zeros() -> None:
    body = "g (float[1,3,5,4] x) => (float[n,c,h,w] y) { y = Pad(x, a) }"
    after, _ = rewritten(SplitPad(), parsed(body, 13, a=np.array([0, 0, 1, 0, 0, 0, -1, 0])), x=X)
    assert len(after.graph.node[0].input) == 2


@pytest.mark.parametrize("pads", [[0, 0, 1, 0, 0, 0, 2, 0], [0, 0, -1, 0, 0, 0, -1, 0], [0] * 8])
def test_pads_of_one_sign_stay(pads: list[int]) -> None:
    assert applied(SplitPad(), model_of(pads))[1] == []


@pytest.mark.parametrize("mode", ["edge", "reflect"])
def test_other_modes_stay_with_a_note(mode: str) -> None:
    cure = SplitPad()
    assert applied(cure, model_of([0, 0, 1, 0, 0, 0, -1, 0], mode=mode))[1] == []
    assert cure.notes == ["pad stays: only padding with a constant can be split"]
