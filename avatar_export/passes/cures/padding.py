"""The amounts and the value of a Pad, in every operator set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from avatar_export.passes.base import constant
from avatar_export.passes.cures.reading import rank
from avatar_export.passes.cures.writer import Writer


@dataclass(frozen=True)
class Padding:
    """Of each axis, how many elements are added (or, below zero, cut off) at both ends."""

    begin: np.ndarray
    end: np.ndarray

    @property
    def grows(self) -> bool:
        return bool((self.begin > 0).any() or (self.end > 0).any())

    @property
    def cuts(self) -> bool:
        return bool((self.begin < 0).any() or (self.end < 0).any())

    def added(self) -> Padding:
        """Only what is added."""
        return Padding(self.begin.clip(0), self.end.clip(0))


def read_padding(pad: ir.Node) -> Padding | None:
    """The amounts of a Pad; None where they are computed or the rank is unknown.

    An attribute before operator set 11, an input from then on, for the axes of a fourth input
    from set 18 on.
    """
    attribute = pad.attributes.get_ints("pads", None)
    numbers = np.asarray(attribute) if attribute is not None else constant(_input(pad, 1))
    axes_input, count = _input(pad, 3), rank(pad.inputs[0])
    if numbers is None or count is None:
        return None
    axes = np.arange(count) if axes_input is None else constant(axes_input)
    if axes is None or numbers.size != 2 * axes.size:
        return None
    amounts = np.zeros((2, count), np.int64)
    amounts[:, axes] = numbers.reshape(2, -1)
    return Padding(*amounts)


def put_pad(writer: Writer, x: ir.Value, padding: Padding, value: ir.Value | None) -> ir.Value:
    """A constant Pad of ``x`` for operator set 11 and later; without ``value`` it adds zeros."""
    amounts = writer.constant("pads", np.concatenate([padding.begin, padding.end]))
    inputs = [x, amounts] if value is None else [x, amounts, value]
    return writer.put("Pad", *inputs, mode="constant")


def is_constant_mode(pad: ir.Node) -> bool:
    return pad.attributes.get_string("mode", "constant") == "constant"


def pad_value(pad: ir.Node) -> ir.Value | None:
    """The input that holds the padding value, from operator set 11 on."""
    return _input(pad, 2)


def _input(node: ir.Node, slot: int) -> ir.Value | None:
    return node.inputs[slot] if slot < len(node.inputs) else None
