"""Both forms: their kernels, their counts, their borders, and the choice between them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar_export.passes.goal import UpsampleForm
from avatar_export.passes.pipeline import Step, run_pipeline
from avatar_export.passes.upsample_conv import UpsampleConv
from avatar_export.whitelist.check import check
from avatar_export.whitelist.targets import resolve_target
from tests.passes.models import (
    applied,
    attributes,
    initializers,
    operators,
    parsed,
    rewritten,
    stamps,
)
from tests.passes.upsampled import (
    CASES,
    CONV,
    DECONV,
    FEW_PADS,
    FORMS,
    MACS,
    NUMBERS,
    SUBPIXEL,
    UP,
    UPS,
    Pair,
    X,
    any_model,
    assert_left_alone,
    macs,
    model_of,
    taps,
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


@pytest.mark.parametrize("sdk", ["1.17", "1.43"])
def test_zeros_where_there_is_no_bias(sdk: str) -> None:
    """Old converters take no ConvTranspose of two inputs."""
    nodes = f"{UPS[9]} {CONV.replace(', b', '')}"
    after, _ = rewritten(UpsampleConv(), model_of(nodes, opset=9), x=X)
    assert initializers(after)["conv.bias"].tolist() == [0.0] * 6
    target = resolve_target("adreno640", sdk, "gpu_float16")
    assert "AX105" not in {found.code for found in check(after, target).findings}
    after.graph.node[0].input.pop()
    assert "AX105" in {found.code for found in check(after, target).findings}


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_zeros_have_the_type_of_the_weight(dtype: type) -> None:
    kind = {np.float16: "float16", np.float64: "double"}[dtype]
    body = f"g ({kind}[1,4,5,3] x) => ({kind}[N,C,H,W] y) {{ {UP} {CONV.replace(', b', '')} }}"
    ones = np.ones((6, 4, 3, 3), dtype)
    after, _ = applied(UpsampleConv(MACS), parsed(body, 16, w=ones, twice=NUMBERS["twice"]))
    assert initializers(after)["conv.bias"].dtype == dtype


@pytest.mark.parametrize(("weight", "group"), [("w", 1), ("grouped", 2)])
def test_a_bias_is_kept(weight: str, group: int) -> None:
    conv = f"[conv] y = Conv<pads = [1,1,1,1], group = {group}>(u, {weight}, b)"
    after, _ = rewritten(UpsampleConv(), model_of(f"{UP} {conv}"), x=X)
    assert after.graph.node[0].input[2] == "b"


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
