"""How long kernels take, estimated from what they do.

A roofline for each kernel (Williams, Waterman, Patterson, Communications of the ACM 52(4), 2009):
arithmetic and memory traffic overlap, so the longer of the two counts, after a constant for the
launch. On a machine whose kernels do one after the other, the sum counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import prod

from avatar_export.bench.estimate.machine import Machine
from avatar_export.bench.estimate.work import Shape, Work

# They rename a tensor or give it another shape, and no kernel runs for them.
FREE = frozenset({"Constant", "Dropout", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"})

# They read no more of their input than they write.
_SELECT = frozenset({"Gather", "Slice"})


def total(machine: Machine, works: Iterable[Work]) -> float:
    """Seconds that kernels take one after the other."""
    return sum(seconds(machine, work) for work in works)


def seconds(machine: Machine, work: Work) -> float:
    """Seconds of one kernel.

    A merged one costs nothing but the reading of its second operand, if it has one.
    """
    if work.kind in FREE:
        return 0.0
    byte_rate = machine.byte_rate(work.kind)
    if machine.is_merged(work.kind, work.follows):
        return tensor_bytes(machine, *work.inputs[1:]) / byte_rate
    arithmetic = packed_macs(machine, work) / machine.mac_rate(work.kind)
    traffic = moved_bytes(machine, work) / byte_rate
    adding = work.spread / machine.spread_per_second if machine.spread_per_second else 0.0
    busy = max(arithmetic, traffic) if machine.overlaps else arithmetic + traffic
    return machine.launch_seconds + busy + adding


def packed_macs(machine: Machine, work: Work) -> float:
    """Multiply-adds, with those on channels that only fill up a block."""
    before, after = work.channels
    if not before or not after:
        return work.macs
    if work.kind == "DepthwiseConv":  # a channel meets no other: blocks run across groups
        channels = work.groups * after
        return work.macs * _up(channels, machine.output_block) / channels
    narrow = machine.narrow_inputs and before < machine.input_block
    filled = before if narrow else _up(before, machine.input_block)
    return work.macs * filled * _up(after, machine.output_block) / (before * after)


def moved_bytes(machine: Machine, work: Work) -> int:
    """Bytes of all tensors and weights that the kernel reads and writes."""
    written = tensor_bytes(machine, *work.outputs)
    read = tensor_bytes(machine, *work.inputs)
    if work.kind in _SELECT:
        read = min(read, written)
    return read + written + machine.element_bytes * work.weights


def tensor_bytes(machine: Machine, *shapes: Shape) -> int:
    """Bytes that tensors take up; images [N, C, H, W] have their channels filled up."""
    return machine.element_bytes * sum(_stored(shape, machine.channel_pack) for shape in shapes)


def _stored(shape: Shape, pack: int) -> int:
    if len(shape) != 4:
        return prod(shape)
    batch, channels, height, width = shape
    return batch * _up(channels, pack) * height * width


def _up(number: int, block: int) -> int:
    return -(-number // block) * block
