"""Both forms: their kernels, their counts, their borders, and the choice between them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from avatar_export.passes.goal import UpsampleForm
from avatar_export.passes.pipeline import Step, run_pipeline
from avatar_export.passes.upsample_conv import UpsampleConv
from tests.passes.models import (
    applied,
    attributes,
    initializers,
    operators,
    parsed,
    rewritten,
    rng,
    stamps,
)
from tests.passes.upsampled import (
    CONV,
    DECONV,
    FEW_PADS,
    FORMS,
    MACS,
    NUMBERS,
    SUBPIXEL,
    UP,
    X,
    assert_left_alone,
    macs,
    model_of,
    wanting,
)


def test_a_deconvolution() -> None:
    before = model_of(f"{UP} {CONV}")
    after, changes = rewritten(UpsampleConv(), before, x=X)
    assert changes == [f"conv: {DECONV}"]
    assert operators(after) == ["ConvTranspose"]
    assert stamps(after) == {"conv": "upsample-conv"}
    node = after.graph.node[0]
    assert attributes(node) == {
        "kernel_shape": [4, 4],
        "strides": [2, 2],
        "pads": [1, 1, 1, 1],
        "group": 1,
    }
    assert list(node.output) == ["y"]
    assert set(initializers(after)) == {"conv.weight", "b"}
    assert macs(before) == 36 * 5 * 3 * 4 * 6
    assert macs(after) == 16 * 5 * 3 * 4 * 6


def test_its_kernel() -> None:
    """Inputs before outputs; in both axes rows w2, w1 + w2, w0 + w1, w0."""
    after, _ = applied(UpsampleConv(), model_of(f"{UP} {CONV}"))
    w = NUMBERS["w"].astype(np.float64)
    for axis in (2, 3):
        w0, w1, w2 = np.split(w, 3, axis)
        w = np.concatenate([w2, w1 + w2, w0 + w1, w0], axis)
    found = initializers(after)["conv.weight"]
    np.testing.assert_allclose(found, w.transpose(1, 0, 2, 3), rtol=1e-6)


def test_phases() -> None:
    before = model_of(f"{UP} {CONV}")
    after, changes = rewritten(UpsampleConv(wanting("subpixel")), before, x=X)
    assert changes == [f"conv: {SUBPIXEL}"]
    assert operators(after) == ["Conv", "DepthToSpace", "Slice"]
    names = ["conv", "conv.interleaved", "conv.cropped"]
    assert stamps(after) == dict.fromkeys(names, "upsample-conv")
    conv, interleaved, _ = after.graph.node
    assert attributes(conv) == {"kernel_shape": [2, 2], "pads": [1, 1, 1, 1]}
    assert attributes(interleaved) == {"blocksize": 2, "mode": b"DCR"}
    assert initializers(after)["conv.weight"].shape == (4 * 6, 4, 2, 2)
    assert initializers(after)["conv.bias"].tolist() == 4 * NUMBERS["b"].tolist()
    assert macs(after) == 4 * (5 + 1) * (3 + 1) * (4 * 6) * 4


def test_phases_that_need_no_crop() -> None:
    """A 5x5 kernel padded by the factor: 9 taps a phase, 36 multiply-adds a pixel, as 6x6."""
    before = model_of(f"{UP} [conv] y = Conv<pads = [2,2,2,2]>(u, large)")
    after, _ = rewritten(UpsampleConv(wanting("subpixel")), before, x=X)
    assert operators(after) == ["Conv", "DepthToSpace"]
    assert macs(before) == 100 * 5 * 3 * 4 * 6
    assert macs(after) == 36 * 5 * 3 * 4 * 6
    assert macs(rewritten(UpsampleConv(), before, x=X)[0]) == macs(after)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("pads", ["0,0,0,0", "1,1,1,1", "2,2,2,2", "0,2,1,0"])
def test_the_border(pads: str, form: UpsampleForm) -> None:
    """Only border pixels are not zero: there the padding decides."""
    edge = 1e3 * X
    edge[..., 1:-1, 1:-1] = 0
    before = model_of(f"{UP} [conv] y = Conv<pads = [{pads}]>(u, w, b)")
    _, changes = rewritten(UpsampleConv(wanting(form)), before, x=edge)
    assert len(changes) == 1


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "padding",
    [
        'auto_pad = "SAME_UPPER"',
        'auto_pad = "SAME_LOWER"',
        'auto_pad = "VALID", dilations = [3,1]',
        "dilations = [3,1]",
    ],
)
@pytest.mark.parametrize("weight", ["w", "small"])
def test_padding_by_name(weight: str, padding: str, form: UpsampleForm) -> None:
    """An even kernel is padded by one more on one side."""
    before = model_of(f"{UP} [conv] y = Conv<{padding}>(u, {weight}, b)")
    _, changes = rewritten(UpsampleConv(wanting(form)), before, x=X)
    assert len(changes) == 1


def test_the_cheaper_form() -> None:
    """Of multiply-adds a deconvolution has fewer; where it is slow, phases win."""
    slow_kinds = ("ConvTranspose", "Resize")
    slow = replace(MACS, price=lambda nodes: sum(node.op_type in slow_kinds for node in nodes))
    before = model_of(f"{UP} {CONV}")
    assert applied(UpsampleConv(MACS), before)[1] == [f"conv: {DECONV}"]
    assert applied(UpsampleConv(slow), before)[1] == [f"conv: {SUBPIXEL}"]


def test_a_form_that_the_target_refuses() -> None:
    refusal = {"ConvTranspose": "no ConvTranspose", "Conv": ""}
    phone = replace(MACS, name="some phone", refusal=lambda old, new: refusal[new[0].op_type])
    assert applied(UpsampleConv(phone), model_of(f"{UP} {CONV}"))[1] == [f"conv: {SUBPIXEL}"]
    neither = replace(phone, refusal=lambda old, new: f"no {new[0].op_type}")
    assert_left_alone(neither, f"{UP} {CONV}", "some phone refuses it: no ConvTranspose")
    forced = replace(neither, upsample="subpixel")
    assert applied(UpsampleConv(forced), model_of(f"{UP} {CONV}"))[1] == [f"conv: {SUBPIXEL}"]


def test_kept_as_it_is_because_somebody_asked() -> None:
    assert_left_alone(wanting("resize"), f"{UP} {CONV}", "kept as a resize, as asked")


def test_a_price_that_does_not_pay() -> None:
    """A kernel of gaps: 4 taps of a full pixel against 36 of a small one."""
    before = model_of(f"{UP} [conv] y = Conv<dilations = [4,4], pads = [2,2,2,2]>(u, small)")
    step = UpsampleConv(replace(MACS, name="some phone"))
    _, changes = applied(step, before)
    assert changes == []
    assert "conv stays: " in step.notes[0]
    assert "would cost" in step.notes[0]
    assert "(some phone)" in step.notes[0]
    after, _ = rewritten(UpsampleConv(wanting("deconv")), before, x=X)
    assert (macs(before), macs(after)) == (4 * 10 * 6 * 24, 36 * 5 * 3 * 24)


@pytest.mark.parametrize(
    ("weight", "group", "channels"), [("grouped", 2, 6), ("each", 4, 4)], ids=["two", "depthwise"]
)
def test_groups(weight: str, group: int, channels: int) -> None:
    conv = f"[conv] y = Conv<pads = [1,1,1,1], group = {group}>(u, {weight})"
    before = model_of(f"{UP} {conv}")
    after, changes = rewritten(UpsampleConv(), before, x=X)
    assert changes == [f"conv: {DECONV}"]
    shape = (4, channels // group, 4, 4)
    assert initializers(after)["conv.weight"].shape == shape
    assert macs(before) == 36 * 5 * 3 * channels * 4 // group
    assert macs(after) == 16 * 5 * 3 * channels * 4 // group


def test_a_bias_that_is_left_out_by_name() -> None:
    before = model_of(f'{UP} [conv] y = Conv<pads = [1,1,1,1]>(u, w, "")')
    for form in FORMS:
        step = UpsampleConv(wanting(form))
        assert len(rewritten(step, before, x=X)[1]) == 1


def test_in_a_pipeline() -> None:
    steps = [Step(UpsampleConv(), "fewer multiply-adds")]
    _, [record] = run_pipeline(model_of(f"{UP} {CONV}"), steps, {"x": X})
    assert (record.nodes_before, record.nodes_after) == (2, 1)
    assert (record.macs_before, record.macs_after) == (36 * 360, 16 * 360)
    assert 0 < record.worst < 1e-6


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


@settings(deadline=None, max_examples=40)
@given(
    factors=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    group=st.sampled_from([1, 2, 4]),
    **CASES,
)
def test_any_deconvolution(factors: Pair, group: int, **case: object) -> None:
    proto, x, _ = any_model(factors=factors, group=group, **case)
    reach = [taps(*axis) for axis in zip(case["kernel"], case["dilation"], strict=True)]
    rows, columns = (r + f - 1 for r, f in zip(reach, factors, strict=True))
    step = UpsampleConv(wanting("deconv"))
    after, _ = rewritten(step, proto, x=x)
    if any(pad >= r for pad, r in zip(case["pads"], [*reach, *reach], strict=True)):
        assert step.notes == [f"conv stays: {FEW_PADS}"]
    else:
        assert operators(after) == ["ConvTranspose"]
        assert macs(after) == x.size // 4 * (4 * 8 // group) * rows * columns


@settings(deadline=None, max_examples=40)
@given(factor=st.integers(2, 3), **CASES)
def test_any_phases(factor: int, **case: object) -> None:
    proto, x, size = any_model(factors=(factor, factor), **case)
    after, _ = rewritten(UpsampleConv(wanting("subpixel")), proto, x=x)
    assert operators(after)[:2] == ["Conv", "DepthToSpace"]
    pixels = len(x)
    for n, pad, *axis in zip(size, case["pads"], case["kernel"], case["dilation"], strict=False):
        skipped = -pad % factor
        pixels *= ((factor + taps(*axis) - 2) // factor + 1) * -(-(n + skipped) // factor)
    assert macs(after) == pixels * factor**2 * 4 * 8
