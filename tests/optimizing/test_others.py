"""Other people's decoders: what is saved, exactly, and that nothing gets dearer."""

from __future__ import annotations

from collections import Counter
from functools import cache
from itertools import pairwise

import numpy as np
import onnx
import pytest

from avatar_export.optimizing.goal import goal_for
from avatar_export.passes.goal import FEWEST_MACS
from avatar_export.passes.order import optimize_order
from avatar_export.passes.pipeline import TOLERANCE, PassRecord, run_pipeline
from avatar_export.whitelist.targets import resolve_target
from tests.optimizing.others import NETWORKS, SIZE, StyleDecoder, UNet, exported
from tests.passes.models import assert_same, operators, rng


@cache
def optimized(name: str) -> tuple[onnx.ModelProto, list[PassRecord]]:
    """A network after the pipeline, for the fewest multiply-adds; every pass is verified."""
    inputs = {"x": rng(*NETWORKS[name][1])}
    order = optimize_order(None, FEWEST_MACS)
    return run_pipeline(exported(name), order, inputs, goal=FEWEST_MACS)


def saved(name: str) -> int:
    """Multiply-adds that all passes together took away."""
    _, records = optimized(name)
    return records[1].macs_before - records[-1].macs_after  # the first makes shapes known


@pytest.mark.parametrize("name", NETWORKS)
def test_the_function_is_kept(name: str) -> None:
    """For an input that the pipeline has not seen."""
    after, records = optimized(name)
    onnx.checker.check_model(after, full_check=True)
    assert_same(exported(name), after, {"x": rng(*NETWORKS[name][1], seed=1)})
    assert max(record.worst for record in records) <= TOLERANCE


@pytest.mark.parametrize("name", NETWORKS)
def test_no_pass_makes_it_dearer(name: str) -> None:
    for record in optimized(name)[1][1:]:
        assert record.macs_after <= record.macs_before
        assert record.nodes_after <= record.nodes_before
        assert record.seconds_after is not None
        assert record.seconds_before is not None
        assert record.seconds_after <= record.seconds_before


@pytest.mark.parametrize("chip", [True, False], ids=["adreno640", "onnxruntime"])
@pytest.mark.parametrize("name", NETWORKS)
def test_no_pass_makes_it_dearer_on_a_target(name: str, chip: bool) -> None:
    """By the estimate; the spelling of an older operator set is not a choice, and comes last."""
    goal = goal_for(resolve_target() if chip else None)
    inputs = {"x": rng(*NETWORKS[name][1])}
    _, records = run_pipeline(exported(name), optimize_order(None, goal), inputs, goal=goal)
    for record in records[1:]:
        assert record.seconds_before is not None and record.seconds_after is not None
        assert record.seconds_after <= record.seconds_before * (1 + 1e-9), record.name
    assert max(record.worst for record in records) <= TOLERANCE


def doubling(widths: list[tuple[int, int]], sizes: list[int]) -> int:
    """What is saved on convolutions a -> b that write ``size`` squared pixels after doubling.

    A 3x3 kernel has 9 taps for each pixel. On the small image four of the 16 taps of a 4x4
    deconvolution with stride 2 meet each pixel: 5 are saved.
    """
    return sum(5 * a * b * size**2 for (a, b), size in zip(widths, sizes, strict=True))


def test_unet() -> None:
    small, middle, large = UNet.widths
    assert saved("UNet") == doubling([(large, middle), (middle, small)], [SIZE // 2, SIZE])
    assert saved("UNet") == 1_146_880


def test_stylegan() -> None:
    assert saved("StyleGAN") == doubling(list(pairwise(StyleDecoder.widths)), [8, 16, 32])
    assert saved("StyleGAN") == 860_160


def test_styles_go_into_weights() -> None:
    """Four factors a block, before and behind convolutions; none is left."""
    before = Counter(operators(exported("StyleGAN")))
    after = Counter(operators(optimized("StyleGAN")[0]))
    assert before["Mul"] == 12
    assert after["Mul"] == 0
    assert after["LeakyRelu"] == before["LeakyRelu"] == 7


def test_cyclegan_has_nothing_to_save() -> None:
    assert saved("CycleGAN") == 0
    _, records = optimized("CycleGAN")
    assert not any(record.changes for record in records[2:])  # past the exporter's constants


def test_dcgan_loses_its_batch_norms() -> None:
    after, _ = optimized("DCGAN")
    assert Counter(operators(exported("DCGAN")))["BatchNormalization"] == 3
    assert sorted(operators(after)) == sorted(["ConvTranspose"] * 4 + ["Relu"] * 3 + ["Tanh"])
    assert saved("DCGAN") == 0


@pytest.mark.parametrize("name", ["UNet", "StyleGAN"])
def test_the_border_is_right(name: str) -> None:
    """Where a deconvolution reads beyond the image, the padded convolution reads zeros."""
    x = {"x": 3 + np.abs(rng(*NETWORKS[name][1], seed=2))}
    assert_same(exported(name), optimized(name)[0], x)
