"""Machines of round numbers, for prices that can be worked out by hand."""

from __future__ import annotations

from avatar_export.bench.estimate.machine import Machine

GPU = Machine(
    name="gpu",
    about="packs four channels, hides traffic behind arithmetic, merges activations",
    element_bytes=2,
    channel_pack=4,
    input_block=4,
    output_block=4,
    narrow_inputs=False,
    overlaps=True,
    launch_seconds=10.0,
    macs_per_second={"usual": 100.0},
    bytes_per_second={"usual": 8.0, "InstanceNormalization": 4.0},
    spread_per_second=0.0,
    merges={"Conv": frozenset({"Relu", "Add"})},
    sources={},
)

CPU = Machine(
    name="cpu",
    about="packs nothing, does one after the other, adds up what a deconvolution spreads",
    element_bytes=4,
    channel_pack=1,
    input_block=8,
    output_block=8,
    narrow_inputs=True,
    overlaps=False,
    launch_seconds=1.0,
    macs_per_second={"usual": 10.0, "Conv": 100.0},
    bytes_per_second={"usual": 4.0},
    spread_per_second=50.0,
    merges={},
    sources={},
)
