"""Phases at the small size, and the two ways to put their pixels in order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar_export.optimizing.goal import goal_for
from avatar_export.passes.gather_pixels import GatherPixels
from avatar_export.passes.goal import FEWEST_MACS, Nodes, UpsampleForm
from avatar_export.passes.upsample_conv import UpsampleConv
from avatar_export.passes.upsample_site import UpsampleSite
from avatar_export.precision.runner import run_onnx
from avatar_export.whitelist.targets import resolve_target
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
    CASES,
    CONV,
    DECONV,
    MACS,
    NUMBERS,
    SUBPIXEL,
    UP,
    UPS,
    X,
    any_model,
    macs,
    model_of,
    taps,
    wanting,
)

BY_GATHER = "phases at the small size, their pixels put in order by a Gather"
GATHERED = ["Conv", "Transpose", "Reshape", "Gather", "Transpose"]
SITE = f"{UP} {CONV}"


def seconds_for(*kinds: str) -> Callable[[Nodes], float]:
    """A price by which each node of some operators costs a second, and all others nothing."""
    return lambda nodes: float(sum(node.op_type in kinds for node in nodes))


# Runtimes on which a DepthToSpace is the only thing that costs anything.
SLOW_SPREAD = replace(FEWEST_MACS, name="slow runtime", price=seconds_for("DepthToSpace"))
GATHER = replace(SLOW_SPREAD, upsample="subpixel")


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


def test_pixels_in_order_by_a_gather() -> None:
    before = model_of(SITE)
    after, changes = rewritten(UpsampleConv(GATHER), before, x=X)
    assert changes == [f"conv: {BY_GATHER}"]
    assert operators(after) == GATHERED
    assert set(stamps(after).values()) == {"upsample-conv"}
    conv, first, _, gather, last = after.graph.node
    assert attributes(conv) == {"kernel_shape": [2, 2], "pads": [1, 1, 1, 1]}
    assert attributes(first) == {"perm": [0, 2, 3, 1]}
    assert attributes(gather) == {"axis": 0}
    assert attributes(last) == {"perm": [0, 3, 1, 2]}
    assert list(last.output) == ["y"]
    found = initializers(after)
    assert found["conv.weight"].shape == (4 * 6, 4, 2, 2)
    assert found["conv.bias"].tolist() == 4 * NUMBERS["b"].tolist()
    assert found["conv.table"].tolist() == [4 * (5 + 1) * (3 + 1), 6]
    assert found["conv.rows"].shape == (1, 10, 6)
    assert macs(before) == 36 * 5 * 3 * 4 * 6
    assert macs(after) == 4 * (5 + 1) * (3 + 1) * (4 * 6) * 4


def test_the_numbers_of_the_rows() -> None:
    """Of an image of 1x2 pixels: phases of 2x3, four rows a pixel, and a border too many."""
    body = f"g (float[1,1,1,2] x) => (float[N,C,H,W] y) {{ {SITE.replace(', b', '')} }}"
    proto = parsed(body, w=rng(5, 1, 3, 3), twice=NUMBERS["twice"])
    after, _ = rewritten(UpsampleConv(GATHER), proto, x=rng(1, 1, 1, 2))
    assert initializers(after)["conv.rows"].tolist() == [[[3, 6, 7, 10], [13, 16, 17, 20]]]
    assert initializers(after)["conv.table"].tolist() == [24, 5]
    assert "conv.bias" not in initializers(after)


def test_rows_of_a_batch() -> None:
    """Those of the second image come after all of the first; nothing is cut off here."""
    conv = "[conv] y = Conv<pads = [2,2,2,2]>(u, large)"
    body = f"g (float[2,4,5,3] x) => (float[N,C,H,W] y) {{ {UP} {conv} }}"
    proto = parsed(body, **NUMBERS)
    after, _ = rewritten(UpsampleConv(GATHER), proto, x=rng(2, 4, 5, 3))
    first, second = initializers(after)["conv.rows"]
    assert sorted(first.flat) == list(range(4 * 5 * 3))
    np.testing.assert_array_equal(second, first + 4 * 5 * 3)


@pytest.mark.parametrize("pads", ["0,0,0,0", "1,1,1,1", "2,2,2,2", "0,2,1,0", "5,2,0,4"])
def test_only_border_pixels(pads: str) -> None:
    edge = 1e3 * X
    edge[..., 1:-1, 1:-1] = 0
    before = model_of(f"{UP} [conv] y = Conv<pads = [{pads}]>(u, w, b)")
    after, _ = rewritten(UpsampleConv(GATHER), before, x=edge)
    assert operators(after) == GATHERED


@pytest.mark.parametrize("opset", UPS)
def test_operator_sets(opset: int) -> None:
    after, _ = rewritten(UpsampleConv(GATHER), model_of(f"{UPS[opset]} {CONV}", opset=opset), x=X)
    assert operators(after) == GATHERED


def test_gather_pixels_writes_the_same() -> None:
    """Of the form with DepthToSpace."""
    before = model_of(SITE)
    spread, _ = applied(UpsampleConv(wanting("subpixel")), before)
    respelled, _ = applied(GatherPixels(SLOW_SPREAD), spread)
    written, _ = applied(UpsampleConv(GATHER), before)
    assert operators(respelled) == operators(written) == GATHERED
    rows = (initializers(model) for model in (respelled, written))
    expected, found = ([v for k, v in r.items() if k.endswith(".rows")] for r in rows)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("slow", "form"),
    [
        (["Resize"], DECONV),
        (["Resize", "ConvTranspose"], SUBPIXEL),
        (["Resize", "DepthToSpace"], DECONV),
        (["Resize", "ConvTranspose", "DepthToSpace"], BY_GATHER),
    ],
)
def test_the_cheapest_form_and_of_equal_prices_the_first(slow: list[str], form: str) -> None:
    goal = replace(FEWEST_MACS, price=seconds_for(*slow))
    assert applied(UpsampleConv(goal), model_of(SITE))[1] == [f"conv: {form}"]


@pytest.mark.parametrize(
    ("sdk", "wanted", "form"),
    [
        (None, None, BY_GATHER),
        (None, "subpixel", BY_GATHER),
        (None, "deconv", DECONV),
        ("2.25", None, DECONV),
        ("2.25", "subpixel", SUBPIXEL),
        ("2.5", "subpixel", SUBPIXEL),
    ],
)
def test_the_form_for_a_runtime(sdk: str | None, wanted: UpsampleForm | None, form: str) -> None:
    """ONNX Runtime where no SDK is named. SNPE 2.5 takes neither spelling: the first is written."""
    target = None if sdk is None else resolve_target("adreno640", sdk, "gpu_float16")
    step = UpsampleConv(goal_for(target, wanted))
    assert applied(step, decoder_block())[1] == [f"conv: {form}"]


def decoder_block() -> onnx.ModelProto:
    """64 channels, 32x32 pixels."""
    body = f"g (float[1,64,32,32] x) => (float[N,C,H,W] y) {{ {SITE} }}"
    numbers = {"w": rng(64, 64, 3, 3), "b": rng(64), "twice": NUMBERS["twice"]}
    return parsed(body, **numbers)


@pytest.mark.parametrize(
    ("refused", "form"),
    [
        (["DepthToSpace"], BY_GATHER),
        (["Gather"], SUBPIXEL),
        (["DepthToSpace", "Gather"], SUBPIXEL),
    ],
)
def test_a_wish_is_spelled_as_the_target_takes_it(refused: list[str], form: str) -> None:
    def refusal(old: Nodes, new: Nodes) -> str:
        return ", ".join(node.op_type for node in new if node.op_type in refused)

    goal = replace(MACS, upsample="subpixel", refusal=refusal)
    assert applied(UpsampleConv(goal), model_of(SITE))[1] == [f"conv: {form}"]


@pytest.mark.parametrize(("form", "times"), [(None, 2), ("deconv", 1), ("subpixel", 1)])
def test_kernels_are_computed_once_for_each_form(
    form: UpsampleForm | None, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between 512 channels it takes a while; both spellings of the phases share theirs."""
    asked = []
    kernels = UpsampleSite.kernels
    monkeypatch.setattr(UpsampleSite, "kernels", lambda *args: asked.append(args) or kernels(*args))
    applied(UpsampleConv(replace(MACS, upsample=form)), model_of(SITE))
    assert len(asked) == times


@settings(deadline=None, max_examples=40)
@given(factor=st.integers(2, 3), **CASES)
def test_any_phases(factor: int, **case: object) -> None:
    proto, x, size = any_model(factors=(factor, factor), **case)
    spread, _ = rewritten(UpsampleConv(wanting("subpixel")), proto, x=x)
    after, _ = rewritten(UpsampleConv(GATHER), proto, x=x)
    assert operators(spread)[:2] == ["Conv", "DepthToSpace"]
    assert operators(after) == GATHERED
    found, expected = (run_onnx(model, {"x": x})["y"] for model in (after, spread))
    np.testing.assert_array_equal(found, expected)  # to the last bit: pixels are only moved
    pixels = len(x)
    for n, pad, *axis in zip(size, case["pads"], case["kernel"], case["dilation"], strict=False):
        skipped = -pad % factor
        pixels *= ((factor + taps(*axis) - 2) // factor + 1) * -(-(n + skipped) // factor)
    assert macs(spread) == macs(after) == pixels * factor**2 * 4 * 8
