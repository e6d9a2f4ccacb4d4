"""Padding with a number that is not whole."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from avatar_export.passes.base import fixed_shape
from avatar_export.passes.cures.cure import Cure, LeftAloneError
from avatar_export.passes.cures.padding import (
    Padding,
    is_constant_mode,
    pad_value,
    put_pad,
    read_padding,
)
from avatar_export.passes.cures.reading import scalar_of
from avatar_export.passes.cures.writer import Writer

_INT32 = np.iinfo(np.int32)


class PadValue(Cure):
    """Pad with zeros, and add the value where the padding is.

        Pad(x, 0.5)                     becomes   Add(Pad(x, 0), border)
        Pad(x, -inf) -> MaxPool(pads)   becomes   MaxPool(more pads)(x)

    ``border`` is a constant: the value in the padding, 0 elsewhere, with size 1 along every axis
    that is not padded. Adding zero changes nothing, so the result is exact to the last bit. A
    MaxPool never picks its own padding, which is what padding with -inf is for; elsewhere an
    infinite value stays.

    From operator set 11 on the value is an input, and the converter cuts it to an int32; whole
    numbers, and the attribute of older sets, are right (snpe-onnx-to-dlc 2.25.0.240728
    experiment).
    """

    name = "pad-value"
    operators = frozenset({"Pad"})

    def concerns(self, node: ir.Node) -> bool:
        number = scalar_of(pad_value(node))
        if number is None or not is_constant_mode(node):
            return False
        return not (number.is_integer() and _INT32.min <= number <= _INT32.max)

    def rewrite(self, node: ir.Node, writer: Writer) -> str:
        x, number, padding = node.inputs[0], scalar_of(pad_value(node)), read_padding(node)
        shape = fixed_shape(x)
        if x is None or number is None or padding is None or shape is None:
            raise LeftAloneError("its amounts or the shape of its input are not fixed")
        if number == -np.inf and _only_pools(node, padding):
            return self._move_into_pools(node, padding)
        if not np.isfinite(number):
            raise LeftAloneError(f"{number:g} is no number to add, and no MaxPool takes it over")
        zeros = put_pad(writer, x, padding, None)
        border = _border(shape, padding, number).astype((x.dtype or ir.DataType.FLOAT).numpy())
        writer.replace(writer.put("Add", zeros, writer.constant("border", border)))
        return f"zeros, and {number:g} added as a border"

    def _move_into_pools(self, pad: ir.Node, padding: Padding) -> str:
        for pool in pad.outputs[0].consumers():
            pool.attributes.add(ir.AttrInt64s("pads", _joint_pads(pool, padding).tolist()))
            pool.replace_input_with(0, pad.inputs[0])
            self.stamp(pool)
        return "moved into the MaxPool behind it"


def _border(shape: tuple[int, ...], padding: Padding, number: float) -> np.ndarray:
    """The value where a Pad of ``shape`` adds elements, 0 elsewhere; size 1 where it adds none."""
    touched = (padding.begin != 0) | (padding.end != 0)
    inside = np.zeros([n if t else 1 for n, t in zip(shape, touched, strict=True)])
    added = padding.added()
    border = np.pad(inside, list(zip(added.begin, added.end, strict=True)), constant_values=number)
    cut_begin, cut_end = (-padding.begin).clip(0), (-padding.end).clip(0)
    kept = [slice(b, n - e) for b, e, n in zip(cut_begin, cut_end, border.shape, strict=True)]
    return border[tuple(kept)]


def _only_pools(pad: ir.Node, padding: Padding) -> bool:
    """Whether nobody but MaxPools that can pad for themselves reads ``pad``."""
    padded = pad.outputs[0]
    pools = padded.consumers()
    takers = [_takes_over(pool, padding) for pool in pools]
    return bool(pools) and all(takers) and not padded.is_graph_output()


def _takes_over(pool: ir.Node, padding: Padding) -> bool:
    """Whether a MaxPool can add ``padding`` to its own: on image axes, and less than its window.

    Its second output counts positions in the padded picture, so nobody may read it.
    """
    attributes = pool.attributes
    if pool.op_type != "MaxPool" or attributes.get_int("ceil_mode", 0) != 0:
        return False
    if attributes.get_string("auto_pad", "NOTSET") != "NOTSET" or len(pool.outputs) > 1:
        return False
    if padding.cuts or padding.begin[:2].any() or padding.end[:2].any():
        return False
    window = attributes["kernel_shape"].as_ints()
    return bool((_joint_pads(pool, padding) < np.asarray([*window, *window])).all())


def _joint_pads(pool: ir.Node, padding: Padding) -> np.ndarray:
    """The pads of a pool, and those of a Pad before it, together."""
    added = [*padding.begin[2:], *padding.end[2:]]
    own = pool.attributes.get_ints("pads", [0] * len(added))
    return np.array([a + b for a, b in zip(own, added, strict=True)])
