"""What two convolutions in a row amount to, as merge-linear writes it."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar_export.passes.macs import count_macs
from avatar_export.passes.merge_linear import MergeLinear
from tests.passes.models import MACS, attributes, loaded, operators, parsed, rewritten, rng


def macs(proto: onnx.ModelProto) -> int:
    return count_macs(loaded(proto))


CONV = """g (float[1,3,7,5] x) => (float[1,2,A,B] y) {
    [f] h = Conv<%s>(x, w1%s) [s] y = Conv<%s>(h, w2%s)
}"""


def convs(
    kernels: tuple[int, int], first: str = "group = 1", second: str = "group = 1",
    biases: tuple[bool, bool] = (True, True),
) -> onnx.ModelProto:  # fmt: skip
    names = [", b1" if biases[0] else "", ", b2" if biases[1] else ""]
    body = CONV % (first, names[0], second, names[1])
    a, b = kernels
    numbers = {"w1": rng(6, 3, a, a), "b1": rng(6), "w2": rng(2, 6, b, b, seed=1), "b2": rng(2)}
    return parsed(body, **numbers)


@pytest.mark.parametrize("biases", [(True, True), (True, False), (False, True), (False, False)])
@pytest.mark.parametrize(
    ("kernels", "first", "second"),
    [
        ((1, 1), "group = 1", "group = 1"),
        ((3, 1), "pads = [1,1,1,1]", "group = 1"),
        ((3, 1), "pads = [0,1,2,1], strides = [2,1], dilations = [1,2]", "group = 1"),
        ((3, 1), "pads = [1,1,1,1], strides = [2,1]", "strides = [2,2]"),
        ((1, 3), "group = 1", "strides = [2,1], dilations = [1,2]"),
    ],
    ids=["1x1 and 1x1", "3x3 and 1x1", "odd geometry", "both skip pixels", "1x1 and 3x3"],
)
def test_two_convolutions_become_one(
    kernels: tuple[int, int], first: str, second: str, biases: tuple[bool, bool]
) -> None:
    before = convs(kernels, first, second, biases)
    after, changes = rewritten(MergeLinear(MACS), before, x=rng(1, 3, 7, 5))
    assert changes == ["s: merged with f"]
    assert operators(after) == ["Conv"]
    assert len(after.graph.node[0].input) == (3 if any(biases) else 2)


def test_exact_counts_of_convolutions() -> None:
    before = convs((3, 1), "pads = [1,1,1,1]")
    after, _ = rewritten(MergeLinear(MACS), before, x=rng(1, 3, 7, 5))
    assert macs(before) == 35 * (6 * 3 * 9 + 2 * 6)
    assert macs(after) == 35 * 2 * 3 * 9
    assert attributes(after.graph.node[0])["pads"] == [1, 1, 1, 1]


def test_padding_after_a_1x1_without_bias() -> None:
    """What is beyond the border is 0 before a layer without bias, and 0 after it."""
    before = convs((1, 3), second="pads = [1,0,1,2]", biases=(False, True))
    after, _ = rewritten(MergeLinear(MACS), before, x=rng(1, 3, 7, 5))
    assert operators(after) == ["Conv"]


def test_padding_after_a_1x1_whose_bias_is_zero() -> None:
    body = CONV % ("group = 1", ", b1", "pads = [1,0,1,2]", "")
    proto = parsed(body, w1=rng(6, 3, 1, 1), b1=np.zeros(6, np.float32), w2=rng(2, 6, 3, 3))
    after, _ = rewritten(MergeLinear(MACS), proto, x=rng(1, 3, 7, 5))
    assert operators(after) == ["Conv"]


REFUSED: dict[str, tuple[tuple[int, int], str, str, str]] = {
    "padding after a bias": (
        (1, 3), "group = 1", "pads = [1,1,1,1]",
        "beyond the border the second layer sees 0, not the bias of the first"),
    "pixels skipped before a kernel": (
        (1, 3), "strides = [2,2]", "group = 1",
        "the 1x1 convolution before a larger one has strides"),
    "padding by name": (
        (3, 1), 'auto_pad = "SAME_UPPER"', "group = 1", "padding that is not written in numbers"),
    "padding by name of the second": (
        (1, 3), "group = 1", 'auto_pad = "SAME_LOWER"', "padding that is not written in numbers"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_convolutions_that_are_refused(case: str) -> None:
    kernels, first, second, reason = REFUSED[case]
    step = MergeLinear(MACS)
    _, changes = rewritten(step, convs(kernels, first, second), x=rng(1, 3, 7, 5))
    assert changes == []
    assert step.notes == [f"s stays: {reason}"]


def test_groups_are_refused() -> None:
    body = CONV % ("group = 3", "", "group = 1", "")
    step = MergeLinear(MACS)
    proto = parsed(body, w1=rng(6, 1, 3, 3), w2=rng(2, 6, 1, 1))
    _, changes = rewritten(step, proto, x=rng(1, 3, 7, 5))
    assert changes == []
    assert step.notes == ["s stays: a convolution in groups"]


def test_two_kernels_are_no_site() -> None:
    step = MergeLinear(MACS)
    _, changes = rewritten(step, convs((3, 3)), x=rng(1, 3, 7, 5))
    assert (changes, step.notes) == ([], [])


def test_a_reader_that_cannot_be_merged_keeps_the_first() -> None:
    body = """g (float[1,3,7,5] x) => (float[1,2,7,5] y, float[1,2,7,5] z) {
        [f] h = Conv(x, w1, b1) [s] y = Conv(h, w2) [t] z = Conv<pads = [1,1,1,1]>(h, w3)
    }"""
    numbers = {"w1": rng(6, 3, 1, 1), "b1": rng(6), "w2": rng(2, 6, 1, 1), "w3": rng(2, 6, 3, 3)}
    step = MergeLinear(MACS)
    after, changes = rewritten(step, parsed(body, **numbers), x=rng(1, 3, 7, 5))
    assert operators(after) == ["Conv"] * 3
    assert changes == ["s: merged with f, which stays for other readers"]
    assert [n.split(" stays: ")[1][:17] for n in step.notes] == ["beyond the border"]


def test_a_volume() -> None:
    body = "g (float[1,2,3,3,3] x) => (float[1,2,3,3,3] y) { h = Conv(x, a) y = Conv(h, b) }"
    proto = parsed(body, a=rng(4, 2, 1, 1, 1), b=rng(2, 4, 1, 1, 1))
    after, _ = rewritten(MergeLinear(MACS), proto, x=rng(1, 2, 3, 3, 3))
    assert operators(after) == ["Conv"]


@settings(deadline=None, max_examples=25)
@given(
    size=st.tuples(st.integers(3, 7), st.integers(3, 7)),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    pads=st.tuples(*[st.integers(0, 2)] * 4),
    strides=st.tuples(st.integers(1, 2), st.integers(1, 3)),
)
def test_any_kernel_before_a_1x1(
    size: tuple[int, int], kernel: tuple[int, int], pads: tuple[int, ...], strides: tuple[int, int]
) -> None:
    body = f"""g (float[1,2,{size[0]},{size[1]}] x) => (float[1,2,A,B] y) {{
        h = Conv<pads = {list(pads)}, strides = {list(strides)}>(x, w1, b1) y = Conv(h, w2, b2)
    }}"""
    numbers = {"w1": rng(9, 2, *kernel), "b1": rng(9), "w2": rng(2, 9, 1, 1), "b2": rng(2)}
    after, _ = rewritten(MergeLinear(MACS), parsed(body, **numbers), x=rng(1, 2, *size))
    assert operators(after) == ["Conv"]
