"""The pattern language of ``fusions.csv``: several operators that the converter merges into one.

``Div(x, Sqrt(Add(@ReduceMean(Mul(x, x)), c)))`` reads like a call, the last operator outermost.

- a small letter is a tensor; the same letter is the same tensor. What begins with ``c`` is a
  constant, with ``s`` a constant of one element, with ``u`` one of equal elements; a number is a
  constant of that value;
- ``A|B`` is either operator; ``A?`` may be missing, then its first argument stands in its place;
- ``d=Sub(x, y)`` gives the result of an inner operator a letter, for another place;
- ``@`` marks the operator whose attributes and shapes the merged operation has;
- arguments of operators that commute match in either order; inputs beyond those written must be
  constants, as a clip's bounds are;
- a pattern that begins with ``~`` goes from one operator to its only reader, wherever that stands.
  Else the operators follow each other in the graph as they are written, inner ones and those to
  the left first, with nothing but folded nodes between: the converter compares stretches of its
  list of nodes.

All operators but the outermost must be read inside the pattern only, or they would stay.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import permutations
from math import isclose

import numpy as np
from numpy.typing import NDArray

from avatar_export.errors import ModelError
from avatar_export.whitelist.view import ModelView, NodeView, UndeterminedError

_COMMUTATIVE = frozenset(("Add", "Mul", "Max", "Min", "Sum"))
_NEAR = 1e-4  # sqrt(2) is written with 5 to 8 digits
_TOKEN = re.compile(r"\s*([(),]|[@\w|?=.-]+)")
_WORD = re.compile(r"(?:([a-z]\w*)=)?(@)?([\w.-]+(?:\|\w+)*)(\?)?")


@dataclass(frozen=True)
class Tensor:
    """A letter of a pattern."""

    letter: str

    def admits(self, view: ModelView, name: str) -> bool:
        """Whether the tensor may stand for the letter."""
        if self.letter[0] in "xyzd":
            return True
        if name not in view.constants:
            return False
        if self.letter[0] == "c":
            return True
        if self.letter[0] == "s":
            return _is_single(view, name)
        try:
            if self.letter[0] == "u":
                return is_uniform(view.value(name))
            return _is_single(view, name) and isclose(
                float(view.value(name).item()), float(self.letter), rel_tol=_NEAR
            )
        except (UndeterminedError, TypeError, ValueError):  # not known, or no number
            return False


def _is_single(view: ModelView, name: str) -> bool:
    """Whether a tensor has one element; asked of the shape, for weights are large."""
    dims = view.dims(name)
    return dims is not None and all(dim == 1 for dim in dims)


def is_uniform(value: NDArray[np.generic]) -> bool:
    """Whether there are elements, and all are equal."""
    return value.size > 0 and bool((value == value.ravel()[0]).all())


@dataclass(frozen=True)
class Call:
    """An operator of a pattern; ``scattered`` when other nodes may stand between the operators."""

    operators: tuple[str, ...]
    arguments: tuple[Call | Tensor, ...]
    optional: bool = False
    anchor: bool = False
    letter: str = ""
    scattered: bool = False


@dataclass(frozen=True)
class Match:
    """Nodes that a pattern covers.

    Attributes:
        nodes: outermost first.
        anchor: the node marked with ``@``, else the outermost.
        letters: tensor names by letter.
        order: the same nodes as a graph lists them, inner ones and those to the left first.
    """

    nodes: tuple[NodeView, ...] = ()
    anchor: NodeView | None = None
    letters: dict[str, str] = field(default_factory=dict)
    order: tuple[NodeView, ...] = ()

    def with_node(self, node: NodeView, call: Call) -> Match:
        """This match and one node more."""
        anchor = node if call.anchor or not self.nodes else self.anchor
        letters = {**self.letters, call.letter: node.outputs[0]} if call.letter else self.letters
        return replace(self, nodes=(*self.nodes, node), anchor=anchor, letters=letters)


def parse_pattern(text: str) -> Call:
    """Read a pattern.

    Raises:
        ModelError: it is malformed, or no call.
    """
    written = text.removeprefix("~")
    tokens = _TOKEN.findall(written)
    if "".join(tokens) != re.sub(r"\s", "", written):
        raise ModelError(f"pattern {text!r} holds a character that means nothing")
    pattern = _argument(tokens, text)
    if tokens or not isinstance(pattern, Call):
        raise ModelError(f"pattern {text!r} is not one call")
    return replace(pattern, scattered=written != text)


def _argument(tokens: list[str], text: str) -> Call | Tensor:
    word = _WORD.fullmatch(tokens.pop(0) if tokens else "")
    if word is None:
        raise ModelError(f"pattern {text!r} lacks a name, or has a malformed one")
    letter, anchor, names, optional = word.groups(default="")
    if not tokens or tokens[0] != "(":
        return Tensor(names)
    arguments: list[Call | Tensor] = []
    while tokens.pop(0) in "(,":
        arguments.append(_argument(tokens, text))
        if not tokens:
            raise ModelError(f"pattern {text!r} is not closed")
    return Call(tuple(names.split("|")), tuple(arguments), bool(optional), bool(anchor), letter)


def match(pattern: Call, node: NodeView) -> Match | None:
    """The nodes that the pattern covers when it ends in this node, or None."""
    for found in _match_node(pattern, node, Match()):
        if _is_closed(found) and (pattern.scattered or _is_stretch(found)):
            return found
    return None


def _match_node(call: Call, node: NodeView, found: Match) -> Iterator[Match]:
    if node.operator not in call.operators or node.domain or node.is_folded:
        return
    if len(node.inputs) < len(call.arguments):
        return
    if any(i not in node.model.constants for i in node.inputs[len(call.arguments) :] if i):
        return
    written = node.inputs[: len(call.arguments)]
    orders = permutations(written) if node.operator in _COMMUTATIVE else [tuple(written)]
    for names in orders:
        for done in _match_all(call.arguments, names, node.model, found.with_node(node, call)):
            yield replace(done, order=(*done.order, node))


def _match_all(
    arguments: tuple[Call | Tensor, ...], names: tuple[str, ...], view: ModelView, found: Match
) -> Iterator[Match]:
    if not arguments:
        yield found
        return
    for first in _match_tensor(arguments[0], names[0], view, found):
        yield from _match_all(arguments[1:], names[1:], view, first)


def _match_tensor(
    argument: Call | Tensor, name: str, view: ModelView, found: Match
) -> Iterator[Match]:
    if isinstance(argument, Tensor):
        if found.letters.get(argument.letter, name) == name and argument.admits(view, name):
            yield replace(found, letters={**found.letters, argument.letter: name})
        return
    writer = view.producers.get(name)
    if writer is not None and writer.outputs[0] == name:
        yield from _match_node(argument, writer, found)
    if argument.optional:
        yield from _match_tensor(argument.arguments[0], name, view, found)


def _is_closed(found: Match) -> bool:
    """Whether all nodes but the outermost are read by nodes of the match only."""
    members = set(map(id, found.nodes))
    view = found.nodes[0].model
    for node in found.nodes[1:]:
        for name in node.outputs:
            if name in view.outputs:
                return False
            if any(id(reader) not in members for reader in view.consumers.get(name, ())):
                return False
    return True


def _is_stretch(found: Match) -> bool:
    """Whether the nodes follow each other in the graph in this order, folded ones aside."""
    places = found.nodes[0].model.places
    first = places[id(found.order[0])]
    return all(places.get(id(node)) == first + i for i, node in enumerate(found.order))
