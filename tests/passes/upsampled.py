"""A convolution of repeated pixels, as text, and the goals its passes are tried with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx

from avatar_export.passes.goal import FEWEST_MACS, Goal, Nodes, UpsampleForm
from avatar_export.passes.macs import count_macs, node_macs
from avatar_export.passes.upsample_conv import UpsampleConv
from tests.passes.models import applied, loaded, parsed, rng

X = rng(1, 4, 5, 3)
NUMBERS = {
    "w": rng(6, 4, 3, 3),
    "b": rng(6),
    "point": rng(6, 4, 1, 1),
    "grouped": rng(6, 2, 3, 3),
    "each": rng(4, 1, 3, 3),
    "large": rng(6, 4, 5, 5),
    "small": rng(6, 4, 2, 2),
    "twice": np.float32([1, 1, 2, 2]),
    "wide": np.float32([1, 1, 1, 3]),
    "once": np.ones(4, np.float32),
}
UP = '[up] u = Resize(x, "", twice)'
CONV = "[conv] y = Conv<pads = [1,1,1,1]>(u, w, b)"
FORMS: tuple[UpsampleForm, ...] = ("deconv", "subpixel")
DECONV, SUBPIXEL = "one transposed convolution", "phases at the small size, interleaved"
FEW_PADS = "it is padded by more than its kernel reaches"


def _macs(nodes: Nodes) -> float:
    return sum(node_macs(node) for node in nodes)


# In models as small as these the price of a node would decide.
MACS = replace(FEWEST_MACS, price=_macs)


def wanting(form: UpsampleForm) -> Goal:
    """Whatever it costs."""
    return replace(FEWEST_MACS, upsample=form)


def model_of(
    nodes: str, outputs: str = "float[N,C,H,W] y", opset: int = 13, **more: np.ndarray
) -> onnx.ModelProto:
    body = f"g (float[1,4,5,3] x) => ({outputs}) {{ {nodes} }}"
    return parsed(body, opset, **{**NUMBERS, **more})


def macs(proto: onnx.ModelProto) -> int:
    return count_macs(loaded(proto))


def assert_left_alone(
    goal: Goal, nodes: str, *notes: str, opset: int = 13, **more: np.ndarray
) -> None:
    step = UpsampleConv(goal)
    _, changes = applied(step, model_of(nodes, opset=opset, **more))
    assert changes == []
    assert list(step.notes) == [f"conv stays: {note}" for note in notes]
