"""A convolution whose result is averaged computes the averages at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from avatar_export.passes.base import constant, fixed_shape, only_consumer
from avatar_export.passes.site import Proposal, RefusedError, SitePass, Sketch


class PoolConv(SitePass):
    """Merge a convolution with the average pooling after it, or pool before it.

        AveragePool(f, stride s)(Conv(w, b, stride 1, pads p)(x))
        becomes
        Conv(W, b, stride s, pads p)(x),    W[t] = (1 / f) * sum over r < f of w[t - r], each axis

    With y[j] = b + sum over k of w[k] x[j + k - p], the mean of y[s i + r] over r < f is
    b + sum over t = k + r of W[t] x[s i + t - p]: a kernel of K + f - 1, padded as before. A 3x3
    kernel averaged by 2x2 makes 16 multiply-adds a number instead of 36. The size holds too: both
    forms write (X + pads - K + 1 - f) // s + 1 numbers.

    A 1x1 convolution without padding mixes channels only, and can wait until pixels are averaged:

        AveragePool(Conv 1x1(x))  becomes  Conv 1x1(AveragePool(x))

    A sum that has such a convolution in it is pooled part by part.
    """

    name = "pool-conv"

    def options(self, node: ir.Node) -> list[Proposal]:
        if node.op_type != "AveragePool" or node.domain:
            return []
        if (conv := _made_by("Conv", node.inputs[0])) is not None:
            return [_proposal(node, form) for form in _forms(conv, _Window.of(node))]
        add = _made_by("Add", node.inputs[0])
        return [] if add is None else self._of_sum(node, add)

    def _of_sum(self, pool: ir.Node, add: ir.Node) -> list[Proposal]:
        shapes = {fixed_shape(value) for value in (*add.inputs, add.outputs[0])}
        if len(shapes) > 1 or not any(_made_by("Conv", value) for value in add.inputs):
            return []
        if only_consumer(add.outputs[0]) is None:
            raise RefusedError("the sum has other readers")
        window = _Window.of(pool)
        first, second = (self._part(value, window) for value in add.inputs)
        if not (first.old or second.old):
            return []
        sketch = Sketch(add)
        total = sketch.put("Add", [first.result, second.result], window.shape)
        old = (*first.old, *second.old, add)
        new = (*first.new, *second.new, *sketch.nodes)
        return [_proposal(pool, _Form(old, new, total, "the parts of a sum pooled one by one"))]

    def _part(self, value: ir.Value | None, window: _Window) -> _Form:
        """The cheapest way to the averages of one part of a sum."""
        conv = _made_by("Conv", value)
        if conv is not None:
            try:
                return min(_forms(conv, window), key=lambda form: self.goal.price(form.new))
            except RefusedError:
                pass  # pooled as it is, like a part that is no convolution
        sketch = Sketch(window.pool)
        pooled = window.put(sketch, value, window.shape[1])
        return _Form((), tuple(sketch.nodes), pooled, "")


@dataclass(frozen=True)
class _Form:
    """A way to compute averages: nodes that go besides the pooling, nodes that come, the result."""

    old: tuple[ir.Node, ...]
    new: tuple[ir.Node, ...]
    result: ir.Value
    what: str


@dataclass(frozen=True)
class _Window:
    """What an average pooling without padding reads; ``shape`` is what it writes, [N, C, ...]."""

    pool: ir.Node
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    shape: tuple[int, ...]

    @classmethod
    def of(cls, pool: ir.Node) -> _Window:
        """Read a pooling.

        Raises:
            RefusedError: its windows are not whole, or its sizes are unknown.
        """
        kernel = tuple(pool.attributes["kernel_shape"].as_ints())
        strides = tuple(pool.attributes.get_ints("strides", [1] * len(kernel)))
        before, after = fixed_shape(pool.inputs[0]), fixed_shape(pool.outputs[0])
        if before is None or after is None:
            raise RefusedError("its size is not known")
        if _pads(pool):
            raise RefusedError("the pooling pads")
        if not _all_ones(pool, "dilations"):
            raise RefusedError("the pooling is dilated")
        reach = [(n - 1) * s + f for n, s, f in zip(after[2:], strides, kernel, strict=True)]
        if any(end > size for end, size in zip(reach, before[2:], strict=True)):
            raise RefusedError("the last window of the pooling is cut off")
        return cls(pool, kernel, strides, after)

    def put(self, sketch: Sketch, x: ir.Value | None, channels: int, suffix: str = "") -> ir.Value:
        """The same pooling of another value."""
        shape = (self.shape[0], channels, *self.shape[2:])
        return sketch.put(
            "AveragePool", [x], shape, suffix, kernel_shape=self.kernel, strides=self.strides
        )


def _proposal(pool: ir.Node, form: _Form) -> Proposal:
    stands_for = ((pool.outputs[0], form.result),)
    return Proposal((*form.old, pool), form.new, stands_for, form.what)


def _forms(conv: ir.Node, window: _Window) -> list[_Form]:
    """Ways to the averages of a convolution.

    Raises:
        RefusedError: there is none.
    """
    kernel = fixed_shape(conv.inputs[1])
    if only_consumer(conv.outputs[0]) is None:
        raise RefusedError("the convolution has other readers")
    if not (_all_ones(conv, "strides") and _all_ones(conv, "dilations")):
        raise RefusedError("the convolution has strides or dilations")
    if conv.attributes.get_string("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise RefusedError("the convolution pads by auto_pad")
    if kernel is None:
        raise RefusedError("the size of the kernel is not known")
    weight = constant(conv.inputs[1])
    by_pixel = all(size == 1 for size in kernel[2:]) and not _pads(conv)
    if weight is None and not by_pixel:
        raise RefusedError("the weight of the convolution is computed")
    forms = [_pooled_first(conv, window)] if by_pixel else []
    return forms if weight is None else [*forms, _merged(conv, weight, window)]


def _pooled_first(conv: ir.Node, window: _Window) -> _Form:
    kernel, group = fixed_shape(conv.inputs[1]), conv.attributes.get_int("group", 1)
    assert kernel is not None
    sketch = Sketch(conv)
    pooled = window.put(sketch, conv.inputs[0], kernel[1] * group, ".pool")
    result = sketch.put("Conv", [pooled, *conv.inputs[1:]], window.shape, group=group)
    return _Form((conv,), tuple(sketch.nodes), result, "pooled before the 1x1 convolution")


def _merged(conv: ir.Node, weight: np.ndarray, window: _Window) -> _Form:
    averaged = _averaged(weight.astype(np.float64), window.kernel).astype(weight.dtype)
    pads = conv.attributes.get_ints("pads", [0] * 2 * len(window.kernel))
    sketch = Sketch(conv)
    result = sketch.put(
        "Conv",
        [conv.inputs[0], sketch.weight("averaged", averaged), *conv.inputs[2:]],
        window.shape,
        kernel_shape=averaged.shape[2:],
        strides=window.strides,
        pads=pads,
        group=conv.attributes.get_int("group", 1),
    )
    return _Form((conv,), tuple(sketch.nodes), result, "merged with its pooling")


def _averaged(weight: np.ndarray, window: tuple[int, ...]) -> np.ndarray:
    """The mean of a kernel [O, I, ...] over all shifts within a window."""
    for axis, size in enumerate(window, start=2):
        edges = [(0, 0)] * weight.ndim
        edges[axis] = (size - 1, size - 1)
        views = np.lib.stride_tricks.sliding_window_view(np.pad(weight, edges), size, axis)
        weight = views.mean(-1)
    return weight


def _made_by(op_type: str, value: ir.Value | None) -> ir.Node | None:
    """The node that makes ``value``, if it is of this operator."""
    node = None if value is None else value.producer()
    return node if node is not None and node.op_type == op_type and not node.domain else None


def _all_ones(node: ir.Node, name: str) -> bool:
    return all(number == 1 for number in node.attributes.get_ints(name, []))


def _pads(node: ir.Node) -> bool:
    automatic = node.attributes.get_string("auto_pad", "NOTSET")
    return any(node.attributes.get_ints("pads", [])) or automatic.startswith("SAME")
