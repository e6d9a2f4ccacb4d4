"""Passes that weigh what they would write against what stands there, site by site."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx_ir as ir

from avatar_export.errors import ModelError
from avatar_export.passes.base import Pass, drop_unused
from avatar_export.passes.goal import FEWEST_MACS, Goal
from avatar_export.passes.names import Names


class RefusedError(Exception):
    """The pattern is there, but the algebra does not hold; the message says why, in a few words."""


@dataclass(frozen=True)
class Proposal:
    """New nodes that would compute what old ones do; nothing is in the graph yet.

    Attributes:
        old: nodes that would go; every reader of their results is among them or in ``stands_for``.
        new: nodes that would come, made by a :class:`Sketch`, in order.
        stands_for: (old value, new value) for each result that others read.
        what: the change in a few words.
        wanted: take one of these whatever it costs and whoever refuses it: the user said so.
    """

    old: tuple[ir.Node, ...]
    new: tuple[ir.Node, ...]
    stands_for: tuple[tuple[ir.Value, ir.Value], ...]
    what: str
    wanted: bool = False


# Nodes made by sketches since the last decision. Those that are not taken must not be left as
# readers of the values they read.
_SKETCHED: list[ir.Node] = []


@dataclass
class Sketch:
    """Makes nodes outside any graph, so that they can be priced before they are written.

    Args:
        origin: the old node whose name and metadata (the PyTorch module) the new ones take over.
    """

    origin: ir.Node
    nodes: list[ir.Node] = field(default_factory=list)

    def put(
        self,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        shape: Sequence[int],
        suffix: str = "",
        **attributes: Any,
    ) -> ir.Value:
        """A new node with one output of this shape, typed as its first input; returns the output.

        ``suffix`` tells the node from others of the same origin.
        """
        return self.split(op_type, inputs, [shape], suffix, **attributes)[0]

    def split(
        self,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        shapes: Sequence[Sequence[int]],
        suffix: str = "",
        **attributes: Any,
    ) -> Sequence[ir.Value]:
        """A new node with one output for each shape; returns the outputs."""
        name = f"{self.origin.name or self.origin.op_type}{suffix}"
        node = ir.node(op_type, inputs, attributes, num_outputs=len(shapes), name=name)
        kind = next((v.type for v in inputs if v is not None and v.type is not None), None)
        for value, shape in zip(node.outputs, shapes, strict=True):
            value.name = name if len(shapes) == 1 else f"{name}_{value.index()}"
            value.shape, value.type = ir.Shape(shape), kind
        self.nodes.append(node)
        _SKETCHED.append(node)
        return node.outputs

    def weight(self, suffix: str, array: np.ndarray) -> ir.Value:
        """A new initializer; registered when the proposal is taken."""
        name = f"{self.origin.name or self.origin.op_type}.{suffix}"
        return ir.val(name, const_value=ir.tensor(np.ascontiguousarray(array), name=name))


class SitePass(Pass):
    """A pass that proposes, and takes what the goal finds cheaper.

    A subclass looks at one node at a time (:meth:`options`) and offers forms that are equal to
    what stands there. The cheapest that the target takes is written, if it is cheaper than the old
    nodes; otherwise ``notes`` say why nothing was done.

    Args:
        goal: prices nodes; without one, multiply-adds count.
    """

    def __init__(self, goal: Goal = FEWEST_MACS) -> None:
        self.goal = goal
        self._declined: set[ir.Node] = set()

    @abstractmethod
    def options(self, node: ir.Node) -> list[Proposal]:
        """Equal forms for the pattern that ends in ``node``; none where there is no such pattern.

        The order decides between equal prices.

        Raises:
            RefusedError: the pattern is there, but no equal form is.
        """

    def apply(self, model: ir.Model) -> list[str]:
        names = Names(model)
        changes: list[str] = []
        while found := self._sweep(model, names):  # what a site leaves may make one before it
            changes += found
        return changes

    def _sweep(self, model: ir.Model, names: Names) -> list[str]:
        """Look at every node once; the notes are on what stays after it."""
        self._declined = set()
        changes, notes = [], []
        waiting = list(model.graph)  # grows by what is written, which may be a site again
        for node in waiting:
            if node.graph is None:
                continue  # an earlier proposal took it
            try:
                chosen = self._decide(node)
            except RefusedError as reason:
                self._declined.add(node)
                notes.append(f"{title(node)} stays: {reason}")
                continue
            if chosen is not None:
                changes.append(f"{title(node)}: {chosen.what}")
                self._take(model, chosen, names)
                waiting += chosen.new
        self.notes = notes
        if changes:
            model.graph.sort()
            drop_unused(model)
        return changes

    def ensures(self, model: ir.Model) -> None:
        for node in model.graph:
            if node not in self._declined and self._would_change(node):
                raise ModelError(f"{self.name}: {title(node)} was left as it was")

    def _would_change(self, node: ir.Node) -> bool:
        try:
            chosen = self._decide(node)
        except RefusedError:
            return False
        _unlink(chosen.new if chosen is not None else ())
        return chosen is not None

    def _decide(self, node: ir.Node) -> Proposal | None:
        """The form to write for the site that ends in ``node``, if it is one.

        Raises:
            RefusedError: it is one, and stays.
        """
        first = len(_SKETCHED)
        taken: tuple[ir.Node, ...] = ()
        try:
            options = self.options(node)
            if not options:
                return None
            chosen = self._choose(options)
            taken = chosen.new
            return chosen
        finally:
            _unlink([made for made in _SKETCHED[first:] if made not in taken])
            del _SKETCHED[first:]

    def _choose(self, options: Sequence[Proposal]) -> Proposal:
        """The cheapest option that the target takes.

        Of what is wanted one is chosen in any case; the first, if all of it is refused.

        Raises:
            RefusedError: there is none, or none is cheaper than what stands there.
        """
        wanted = [option for option in options if option.wanted]
        refusals = [self.goal.refusal(option.old, option.new) for option in wanted or options]
        taken = [o for o, no in zip(wanted or options, refusals, strict=True) if not no]
        if wanted:
            return self._cheapest(taken or wanted[:1])
        if not taken:
            raise RefusedError(f"{self.goal.name} refuses it: {refusals[0]}")
        best = self._cheapest(taken)
        before, after = self.goal.price(best.old), self.goal.price(best.new)
        if after >= before:
            raise RefusedError(
                f"{best.what} would cost {1e3 * after:.3g} ms instead of {1e3 * before:.3g} ms "
                f"({self.goal.name})"
            )
        return best

    def _cheapest(self, options: Sequence[Proposal]) -> Proposal:
        """The first of those that save most; they need not replace the same nodes."""
        return min(options, key=lambda o: self.goal.price(o.new) - self.goal.price(o.old))

    def _take(self, model: ir.Model, proposal: Proposal, names: Names) -> None:
        graph = model.graph
        names.release(proposal.old)
        for node in proposal.new:
            for value in node.inputs:
                if value is not None and _is_new_weight(value):
                    value.name = names.free_value(value.name or "weight")
                    graph.register_initializer(value)
            for value in node.outputs:
                value.name = names.free_value(value.name or node.op_type)
            node.name = names.free_node(node.name or node.op_type)
            self.stamp(node, *proposal.old)
        graph.insert_before(proposal.old[0], proposal.new)
        for old, new in proposal.stands_for:
            name, is_output = old.name, old.is_graph_output()
            old.replace_all_uses_with(new, replace_graph_outputs=True)
            if is_output:
                old.name, new.name = f"{name}.replaced", name
        graph.remove(proposal.old, safe=True)


def _unlink(nodes: Sequence[ir.Node]) -> None:
    """Make nodes that are in no graph read nothing."""
    for node in nodes:
        for slot in range(len(node.inputs)):
            node.replace_input_with(slot, None)


def _is_new_weight(value: ir.Value) -> bool:
    unborn = value.producer() is None and value.graph is None
    return unborn and value.const_value is not None and not value.is_graph_input()


def title(node: ir.Node) -> str:
    """How a node is called in what is said to people."""
    return node.name or f"{node.op_type} -> {node.outputs[0].name}"
