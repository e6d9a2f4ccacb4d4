"""What is done to each pixel alone is done before pixels are repeated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import onnx_ir as ir

from avatar_export.passes.base import constant, fixed_shape, only_consumer
from avatar_export.passes.pointwise import is_1x1, keeps_grid, pixel_slots
from avatar_export.passes.repetition import repeat, repetition
from avatar_export.passes.site import Proposal, RefusedError, SitePass, Sketch


class PointwiseBeforeUpsample(SitePass):
    """Move operators that work on each pixel alone before a nearest upsampling.

        f(Resize(x))                    becomes  Resize(f(x))
        f(Resize(a), Resize(b))         becomes  Resize(f(a, b))
        g(f(Resize(a)), Resize(b))      becomes  Resize(g(f(a), b))

    Repetition U copies pixels, U(x)[i, j] = x[i // fh, j // fw], and f reads the same pixel of all
    its operands: f(U(a), U(b))[i, j] = f(a, b)[i // fh, j // fw]. There are fh * fw times fewer
    pixels to work on. f may also read what is the same for all pixels. A 1x1 convolution must not
    pad: its border would be pixels that no repetition makes.

    An upsampling that something else reads stays, and a second one is written; the price decides.
    """

    name = "pointwise-before-upsample"

    def options(self, node: ir.Node) -> list[Proposal]:
        if is_1x1(node) and not keeps_grid(node) and _upsample(node.inputs[0]):
            raise RefusedError("a 1x1 convolution with padding or strides has other pixels")
        region = _Region()
        region.take(node)
        factors = {repetition(upsample) for upsample in region.upsamples}
        if region.is_open or not factors:
            return []
        if region.varies:
            raise RefusedError("it reads a constant that varies over the image")
        if len(factors) > 1:
            raise RefusedError("what it reads is repeated by different factors")
        if any(_shape(u.outputs[0])[0] != _shape(node.outputs[0])[0] for u in region.upsamples):
            raise RefusedError("it stretches the batch")
        return [_moved(region)]


@dataclass
class _Region:
    """Operators between upsamplings and one result, all of which work on each pixel alone.

    Attributes:
        nodes: the operators, each after those it reads.
        upsamples: where the region begins.
        is_open: whether it also begins at something that is not repeated.
        varies: whether that is a constant image.
    """

    nodes: list[ir.Node] = field(default_factory=list)
    upsamples: list[ir.Node] = field(default_factory=list)
    is_open: bool = False
    varies: bool = False

    def take(self, node: ir.Node) -> None:
        """Add a node, and what it reads up to the upsamplings."""
        slots = pixel_slots(node)
        self.is_open |= slots is None
        for slot in slots or ():
            self._follow(node.inputs[slot])
        self.nodes.append(node)

    def _follow(self, value: ir.Value | None) -> None:
        upsample = _upsample(value)
        if value is None or upsample in self.upsamples:
            return
        before = only_consumer(value) and value.producer()
        if upsample is not None:
            self.upsamples.append(upsample)
        elif constant(value) is not None:
            self.varies = True
        elif before is not None:
            self.take(before)
        else:
            self.is_open = True

    def vanishing(self) -> Iterator[ir.Node]:
        """Nodes that nothing outside the region reads; the one that makes its result first."""
        yield from reversed(self.nodes)
        for upsample in self.upsamples:
            result = upsample.outputs[0]
            inside = {use.node for use in result.uses()} <= set(self.nodes)
            if inside and not result.is_graph_output():
                yield upsample


def _moved(region: _Region) -> Proposal:
    """The same operators on fewer pixels, and one upsampling after them."""
    like, result = region.upsamples[0], region.nodes[-1].outputs[0]
    small = {upsample.outputs[0]: upsample.inputs[0] for upsample in region.upsamples}
    new: list[ir.Node] = []
    for node in region.nodes:
        sketch = Sketch(node)
        inputs = [value if value is None else small.get(value, value) for value in node.inputs]
        attributes: dict[str, Any] = dict(node.attributes)
        shape = _before(like, _shape(node.outputs[0]))
        small[node.outputs[0]] = sketch.put(node.op_type, inputs, shape, **attributes)
        new += sketch.nodes
    sketch = Sketch(like)
    repeated = repeat(sketch, new[-1].outputs[0], like, _shape(result)[1])
    what = " and ".join(node.op_type for node in region.nodes) + " before the upsampling"
    new += sketch.nodes
    return Proposal(tuple(region.vanishing()), tuple(new), ((result, repeated),), what)


def _upsample(value: ir.Value | None) -> ir.Node | None:
    """The node that makes ``value``, if all it does is repeat pixels."""
    node = None if value is None else value.producer()
    return node if node is not None and repetition(node) else None


def _before(upsample: ir.Node, shape: tuple[int, ...]) -> tuple[int, ...]:
    """What the shape of an image was before it was upsampled."""
    factors = repetition(upsample)
    assert factors is not None
    return (*shape[:2], shape[2] // factors[0], shape[3] // factors[1])


def _shape(value: ir.Value) -> tuple[int, ...]:
    shape = fixed_shape(value)
    assert shape is not None
    return shape
