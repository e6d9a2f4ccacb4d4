"""A convolution of repeated pixels, as text, and the goals its passes are tried with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
from hypothesis import assume
from hypothesis import strategies as st

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
    "roi": np.zeros(8, np.float32),
    "sizes": np.int64([1, 4, 10, 6]),
    "two": np.float32([2, 2]),
}
UP = '[up] u = Resize(x, "", twice)'
# The same in other operator sets.
UPS = {
    7: 'u = Upsample<mode = "nearest", scales = [1., 1., 2., 2.]>(x)',
    9: "u = Upsample(x, twice)",
    10: "u = Resize(x, twice)",
    11: "u = Resize(x, roi, twice)",
    16: 'u = Resize(x, "", "", sizes)',
    18: 'u = Resize(x, "", twice)',
    19: 'u = Resize<axes = [3,2]>(x, "", two)',
    21: 'u = Resize<axes = [2,3]>(x, "", two)',
}
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


Pair = tuple[int, int]
PAIRS = st.tuples(st.integers(1, 5), st.integers(1, 5))
CASES = {
    "size": PAIRS,
    "kernel": PAIRS,
    "pads": st.tuples(*[st.integers(0, 4)] * 4),
    "dilation": st.tuples(st.integers(1, 2), st.integers(1, 3)),
    "bias": st.booleans(),
    "batch": st.integers(1, 2),
}


def any_model(
    size: Pair, factors: Pair, kernel: Pair, pads: tuple[int, ...], dilation: Pair, bias: bool,
    batch: int, group: int = 1,
) -> tuple[onnx.ModelProto, np.ndarray, Pair]:  # fmt: skip
    """A model, its input, and the height and width of its result."""
    after = [
        f * n + pads[i] + pads[i + 2] - (k - 1) * d
        for i, (n, f, k, d) in enumerate(zip(size, factors, kernel, dilation, strict=True))
    ]
    assume(min(after) > 0 and kernel != (1, 1) and factors != (1, 1))
    attributes = f"pads = {list(pads)}, dilations = {list(dilation)}, group = {group}"
    conv = f"[conv] y = Conv<{attributes}>(u, w{', b' if bias else ''})"
    body = f"g (float[{batch},4,{size[0]},{size[1]}] x) => (float[N,C,H,W] y) {{ {UP} {conv} }}"
    numbers = {"w": rng(8, 4 // group, *kernel), "twice": np.float32([1, 1, *factors])}
    numbers |= {"b": rng(8)} if bias else {}
    return parsed(body, **numbers), rng(batch, 4, *size), (after[0], after[1])


def taps(kernel: int, dilation: int) -> int:
    return (kernel - 1) * dilation + 1
