from __future__ import annotations

from dataclasses import replace

import pytest

from avatar_export.bench.estimate.price import (
    FREE,
    moved_bytes,
    packed_macs,
    seconds,
    tensor_bytes,
    total,
)
from avatar_export.bench.estimate.work import Work
from tests.bench.estimate.machines import CPU, GPU

SMALL, LARGE = (1, 4, 2, 2), (1, 4, 10, 10)
RELU = Work("Relu", (SMALL,), (SMALL,))
CONV = Work("Conv", (SMALL,), (SMALL,), weights=16, macs=16 * 4, channels=(4, 4))


def test_an_elementwise_kernel_is_launched_reads_and_writes() -> None:
    assert seconds(GPU, RELU) == 10 + 2 * (16 + 16) / 8
    assert seconds(CPU, RELU) == 1 + 4 * (16 + 16) / 4


def test_where_work_overlaps_the_longer_counts() -> None:
    traffic = 2 * (16 + 16 + 16) / 8
    assert seconds(GPU, CONV) == 10 + traffic
    assert seconds(GPU, replace(CONV, macs=64_000)) == 10 + 64_000 / 100


def test_where_it_does_not_the_sum_counts() -> None:
    work = replace(CONV, channels=(8, 8))
    assert seconds(CPU, work) == 1 + 64 / 100 + 4 * (16 + 16 + 16) / 4


def test_every_kind_may_have_rates_of_its_own() -> None:
    assert seconds(GPU, replace(RELU, kind="InstanceNormalization")) == 10 + 2 * 32 / 4
    assert seconds(CPU, Work("Gemm", (), (), macs=40)) == 1 + 40 / 10


@pytest.mark.parametrize(("channels", "stored"), [(1, 4), (3, 4), (4, 4), (5, 8), (8, 8)])
def test_channels_of_an_image_are_packed(channels: int, stored: int) -> None:
    assert tensor_bytes(GPU, (2, channels, 5, 7)) == 2 * (2 * stored * 5 * 7)
    assert tensor_bytes(CPU, (2, channels, 5, 7)) == 4 * (2 * channels * 5 * 7)


@pytest.mark.parametrize("shape", [(), (3,), (1, 3), (1, 3, 5), (1, 3, 5, 7, 9)])
def test_other_ranks_are_not_packed(shape: tuple[int, ...]) -> None:
    numbers = 1
    for dim in shape:
        numbers *= dim
    assert tensor_bytes(GPU, shape) == 2 * numbers


def test_an_unknown_shape_has_no_bytes() -> None:
    assert tensor_bytes(GPU, (0,)) == 0


@pytest.mark.parametrize(
    ("channels", "on_gpu", "on_cpu"),
    [
        ((4, 4), 1, 1 * 8 / 4),  # the CPU takes a narrow input as it is, and fills its output
        ((3, 6), (4 * 8) / (3 * 6), 8 / 6),
        ((9, 8), 12 / 9, 16 / 9),
        ((8, 1), 4, 8),
        ((0, 0), 1, 1),
    ],
)
def test_channels_that_fill_up_a_block_are_multiplied_too(
    channels: tuple[int, int], on_gpu: float, on_cpu: float
) -> None:
    work = replace(CONV, macs=720, channels=channels)
    assert packed_macs(GPU, work) == pytest.approx(720 * on_gpu)
    assert packed_macs(CPU, work) == pytest.approx(720 * on_cpu)


def test_groups_are_filled_one_by_one_but_not_of_single_channels() -> None:
    grouped = replace(CONV, macs=100, channels=(2, 2), groups=8)
    assert packed_macs(GPU, grouped) == 100 * (4 * 4) / (2 * 2)
    depthwise = replace(CONV, kind="DepthwiseConv", macs=100, channels=(1, 1), groups=10)
    assert packed_macs(GPU, depthwise) == 100 * 12 / 10
    assert packed_macs(CPU, depthwise) == 100 * 16 / 10


def test_a_deconvolution_adds_up_what_overlaps() -> None:
    work = Work("ConvTranspose", (), (), macs=64, channels=(8, 8), spread=200)
    assert seconds(CPU, work) == 1 + 64 / 10 + 200 / 50
    assert seconds(GPU, work) == 10 + 64 / 100  # in one piece


@pytest.mark.parametrize("operator", sorted(FREE))
def test_what_only_renames_is_free(operator: str) -> None:
    assert seconds(GPU, replace(RELU, kind=operator)) == 0


def test_an_activation_is_merged_where_the_machine_does_so() -> None:
    merged = replace(RELU, follows="Conv")
    assert seconds(GPU, merged) == 0
    assert seconds(GPU, replace(merged, follows="Gemm")) == seconds(GPU, RELU)
    assert seconds(GPU, replace(merged, kind="Erf")) == seconds(GPU, RELU)
    assert seconds(CPU, merged) == seconds(CPU, RELU)


def test_a_merged_sum_reads_its_other_operand() -> None:
    work = Work("Add", (SMALL, SMALL), (SMALL,), follows="Conv")
    assert seconds(GPU, work) == 2 * 16 / 8


@pytest.mark.parametrize("operator", ["Slice", "Gather"])
def test_what_selects_reads_no_more_than_it_writes(operator: str) -> None:
    assert moved_bytes(CPU, Work(operator, (LARGE,), (SMALL,))) == 4 * (16 + 16)
    assert moved_bytes(CPU, Work("MaxPool", (LARGE,), (SMALL,))) == 4 * (400 + 16)
    assert moved_bytes(CPU, Work(operator, (SMALL,), (LARGE,))) == 4 * (16 + 400)


def test_kernels_run_one_after_the_other() -> None:
    assert total(GPU, [CONV, RELU]) == seconds(GPU, CONV) + seconds(GPU, RELU)
    assert total(GPU, []) == 0
