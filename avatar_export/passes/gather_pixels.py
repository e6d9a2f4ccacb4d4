"""Pixels that leave a depth-to-space are copied as wholes."""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from avatar_export.passes.base import constant, fixed_shape, only_consumer
from avatar_export.passes.site import Proposal, RefusedError, SitePass, Sketch

Rows = NDArray[np.int64]


class GatherPixels(SitePass):
    """Write a depth-to-space, and the crops after it, as one Gather of pixels.

        x [N, f * f * C, H, W] -> DepthToSpace f -> Slice                       [N, C, H', W']
        becomes
        x -> Transpose -> Reshape [N * H * W * f * f, C] -> Gather -> Transpose [N, C, H', W']

    With channels last, the f * f pixels that a DepthToSpace (mode DCR) makes of a pixel of x lie
    one after the other, C numbers each: pixel (i, j) of image n is row

        ((n * H + i // f) * W + j // f) * f * f + (i % f) * f + j % f

    The numbers of the rows are a constant [N, H', W'], so a crop costs nothing. ONNX Runtime runs
    DepthToSpace as a transposition of six axes on one thread, but copies the rows of a Gather on
    all; the transpositions vanish where it keeps channels last anyway, next to convolutions.
    """

    name = "gather-pixels"

    def options(self, node: ir.Node) -> list[Proposal]:
        chain = _chain(node)
        after = only_consumer(node.outputs[0])
        if chain is None or (after is not None and after.op_type == "Slice"):
            return []
        return [_proposal(chain)]


def _chain(node: ir.Node) -> list[ir.Node] | None:
    """A DepthToSpace and the Slices after it, up to ``node``; None if that is something else."""
    if node.op_type == "DepthToSpace" and not node.domain:
        return [node]
    value = node.inputs[0] if node.op_type == "Slice" else None
    before = value.producer() if value is not None and only_consumer(value) else None
    chain = None if before is None else _chain(before)
    return None if chain is None else [*chain, node]


def _proposal(chain: list[ir.Node]) -> Proposal:
    depth_to_space, *crops = chain
    factor = depth_to_space.attributes["blocksize"].as_int()
    if depth_to_space.attributes.get_string("mode", "DCR") != "DCR":
        raise RefusedError("in mode CRD the numbers of a pixel do not lie together")
    x, result = depth_to_space.inputs[0], chain[-1].outputs[0]
    shape = fixed_shape(x)
    if shape is None:
        raise RefusedError("its size is not known")
    batch, depth, height, columns = shape
    rows = interleaving(batch, height, columns, factor)
    for crop in crops:
        rows = _cropped(rows, crop)
    sketch = Sketch(chain[-1])
    pixels = gathered(sketch, x, rows, depth // factor**2)
    what = f"one Gather of {rows.size} pixels"
    return Proposal(tuple(reversed(chain)), tuple(sketch.nodes), ((result, pixels),), what)


def gathered(sketch: Sketch, x: ir.Value | None, rows: Rows, channels: int) -> ir.Value:
    """Pixels of an image as an image [N, channels, H', W'].

    Args:
        x: [N, f * f * channels, H, W]: f * f pixels in the place of each.
        rows: [N, H', W'], the pixels to take, as :func:`interleaving` numbers them.
    """
    shape = fixed_shape(x)
    assert shape is not None
    batch, depth, height, columns = shape
    table = (math.prod(shape) // channels, channels)
    pixels = sketch.put("Transpose", [x], (batch, height, columns, depth), ".in", perm=[0, 2, 3, 1])
    size = sketch.weight("table", np.asarray(table, np.int64))
    pixels = sketch.put("Reshape", [pixels, size], table, ".pixels")
    picked = [pixels, sketch.weight("rows", rows)]
    pixels = sketch.put("Gather", picked, (*rows.shape, channels), ".gather", axis=0)
    last = (rows.shape[0], channels, *rows.shape[1:])
    return sketch.put("Transpose", [pixels], last, perm=[0, 3, 1, 2])


def interleaving(batch: int, height: int, columns: int, factor: int) -> Rows:
    """The row of each pixel [N, f * H, f * W] that a DepthToSpace makes, in order of memory."""
    rows = np.arange(batch * height * columns * factor**2, dtype=np.int64)
    blocks = rows.reshape(batch, height, columns, factor, factor)
    return blocks.transpose(0, 1, 3, 2, 4).reshape(batch, height * factor, columns * factor)


def _cropped(rows: Rows, crop: ir.Node) -> Rows:
    """What a Slice leaves of the pixels.

    Raises:
        RefusedError: it is computed, or cuts channels too.
    """
    starts, ends = _numbers(crop, "starts", 1), _numbers(crop, "ends", 2)
    axes = _numbers(crop, "axes", 3) or list(range(len(starts)))
    steps = _numbers(crop, "steps", 4) or [1] * len(starts)
    for axis, *bounds in zip(axes, starts, ends, steps, strict=True):
        # Of the axes of an image, rows has all but the channels.
        kept = {0: 0, 2: 1, 3: 2}.get(axis % 4)
        if kept is None:
            raise RefusedError("the crop cuts channels too")
        rows = rows.take(range(*slice(*bounds).indices(rows.shape[kept])), kept)
    return rows


def _numbers(crop: ir.Node, name: str, slot: int) -> list[int]:
    """A setting of a Slice: an attribute before operator set 10, an input from then on.

    Empty where it is left out.

    Raises:
        RefusedError: it is computed.
    """
    value = crop.inputs[slot] if slot < len(crop.inputs) else None
    if value is None:
        return list(crop.attributes.get_ints(name, []))
    numbers = constant(value)
    if numbers is None:
        raise RefusedError("the crop is computed")
    return [int(number) for number in numbers]
