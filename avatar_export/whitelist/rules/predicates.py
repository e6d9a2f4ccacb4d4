"""Named rules that the tables refer to.

Each takes a node, the target and the arguments of the table cell as strings, and returns why the
node breaks the rule, or an empty string. Which operator a rule applies to, and from what document
it comes, stands in the tables; nothing here knows an operator, save for the weight layouts of
ONNX: a convolution's weight is [out, in/groups, *kernel], a transposed one's [in, out/groups,
*kernel]. Tensors are NCHW. Rules about sizes are in ``sizes.py``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass

from avatar_export.whitelist.target import Target
from avatar_export.whitelist.view import NodeView, UndeterminedError

Rule = Callable[..., str]


@dataclass(frozen=True)
class Predicate:
    """A rule and the number of arguments it takes in a table cell."""

    function: Rule
    least: int
    most: int


PREDICATES: dict[str, Predicate] = {}


def predicate(function: Rule) -> Rule:
    """Register a rule under its own name."""
    extra = list(inspect.signature(function).parameters.values())[2:]
    rest = any(p.kind is p.VAR_POSITIONAL for p in extra)
    named = [p for p in extra if p.kind is not p.VAR_POSITIONAL]
    least = sum(p.default is p.empty for p in named)
    PREDICATES[function.__name__] = Predicate(function, least, 99 if rest else len(named))
    return function


def _indices(node: NodeView, text: str) -> list[int]:
    """Input indices of an argument: one number, or ``*`` for all inputs that are there."""
    if text == "*":
        return node.operands()
    return [int(text)] if node.has(int(text)) else []


def _spelled(value: object) -> str:
    """An attribute as the tables spell it: 1, 0.5, nearest, 0,2,1."""
    if isinstance(value, bytes):
        return value.decode(errors="replace").replace(" ", "")
    if isinstance(value, (list, tuple)):
        return ",".join(_spelled(v) for v in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


@predicate
def never(node: NodeView, target: Target) -> str:
    """No form of the operator is free of what the row says."""
    return "whatever its attributes"


@predicate
def constant(node: NodeView, target: Target, *indices: str) -> str:
    """The inputs, where present, are known at conversion."""
    for index in (i for text in indices for i in _indices(node, text)):
        if not node.is_constant(index):
            return f"input {index} ({node.inputs[index]}) must be a constant"
    return ""


@predicate
def present(node: NodeView, target: Target, index: str) -> str:
    """The optional input is given."""
    return "" if node.has(int(index)) else f"input {index} must be given"


@predicate
def attr(node: NodeView, target: Target, name: str, *allowed: str) -> str:
    """The attribute, or its default, is one of the values; an absent one passes."""
    value = node.attribute(name)
    if value is None or _spelled(value) in allowed:
        return ""
    return f"{name} is {_spelled(value)}, only {' or '.join(allowed)} is accepted"


@predicate
def unset(node: NodeView, target: Target, *names: str) -> str:
    """None of the attributes is given."""
    given = [name for name in names if node.attribute(name) is not None]
    return f"attribute {given[0]} is not accepted" if given else ""


@predicate
def each(node: NodeView, target: Target, name: str, allowed: str) -> str:
    """Every element of the list attribute has the value; an absent one passes."""
    values = node.ints(name) or []
    bad = any(v != int(allowed) for v in values)
    return f"{name} is {values}, every element must be {allowed}" if bad else ""


@predicate
def outputs(node: NodeView, target: Target, most: str) -> str:
    """No output beyond the first few is used."""
    view = node.model
    beyond = [name for name in node.proto.output[int(most) :] if name]
    used = [name for name in beyond if name in view.outputs or view.consumers.get(name)]
    return f"output {used[0]} does not exist after conversion" if used else ""


@predicate
def inputs(node: NodeView, target: Target, least: str, most: str = "99") -> str:
    """The number of inputs lies in the range."""
    count = len(node.operands())
    return "" if int(least) <= count <= int(most) else f"{count} inputs are not accepted"


@predicate
def rank(node: NodeView, target: Target, index: str, least: str, most: str) -> str:
    """The rank of the inputs lies in the range."""
    for i in _indices(node, index):
        if not int(least) <= node.rank(i) <= int(most):
            span = least if least == most else f"{least} to {most}"
            return f"input {i} has rank {node.rank(i)}, not {span}"
    return ""


@predicate
def runtime_rank(node: NodeView, target: Target, least: str) -> str:
    """Operands that are not constant have at least this rank."""
    for i in node.operands():
        if not node.is_constant(i) and node.rank(i) < int(least):
            return f"input {i} has rank {node.rank(i)}, at least {least} is needed"
    return ""


@predicate
def dtype(node: NodeView, target: Target, index: str, *allowed: str) -> str:
    """The data type of the inputs is one of these."""
    for i in _indices(node, index):
        found = node.dtype(i)
        if found not in allowed:
            return f"input {i} is {found}, only {' '.join(allowed)} is accepted"
    return ""


@predicate
def output_dtype(node: NodeView, target: Target, *allowed: str) -> str:
    """The data type of the first output is one of these."""
    found = node.output_dtype()
    return "" if found in allowed else f"the output is {found}, only {' '.join(allowed)} is given"


@predicate
def integer_broadcasts(node: NodeView, target: Target) -> str:
    """An int32 element-wise operation has operands of different shapes."""
    shapes = {node.shape(i) for i in node.operands()}
    whole = node.dtype() == "i32"
    return f"int32 operands of one shape {list(*shapes)}" if whole and len(shapes) == 1 else ""


@predicate
def per_channel(node: NodeView, target: Target) -> str:
    """Operands have one shape, or the smaller is a scalar or one value a channel."""
    shapes = sorted((node.shape(i) for i in node.operands()), key=len)
    widest = max(shapes, key=lambda s: (len(s), sum(s)))
    for shape in shapes:
        full = (1,) * (len(widest) - len(shape)) + shape
        channel = len(widest) < 2 or full[1] in (1, widest[1])
        vector = channel and all(d == 1 for d in (*full[:1], *full[2:]))
        if shape != widest and not vector:
            return f"{list(shape)} is broadcast to {list(widest)}"
    return ""


@predicate
def constant_follows(node: NodeView, target: Target, *producers: str) -> str:
    """A constant operand is there only right after one of these operators."""
    runtime = [i for i in node.operands() if not node.is_constant(i)]
    if len(runtime) != 1 or node.producer(runtime[0]) in producers:
        return ""
    return f"a constant operand after {node.producer(runtime[0]) or 'a graph input'}"


@predicate
def fed_by(node: NodeView, target: Target, index: str, *operators: str) -> str:
    """The input is written by one of these operators."""
    found = node.producer(int(index))
    return "" if found in operators else f"input {index} comes from {found or 'outside'}"


@predicate
def feeds(node: NodeView, target: Target, *operators: str) -> str:
    """Every reader of the result is one of these operators, and there is one."""
    found = node.feeds()
    if found and all(name in operators for name in found):
        return ""
    return f"the result goes to {', '.join(found) or 'the graph output'}"


@predicate
def inner(node: NodeView, target: Target) -> str:
    """No result is a graph output."""
    shown = [name for name in node.outputs if name in node.model.outputs]
    return f"{shown[0]} is a graph output" if shown else ""


@predicate
def unique_name(node: NodeView, target: Target) -> str:
    """No other node has the name; unnamed nodes pass."""
    name = node.proto.name
    return f"the name {name} is used again" if node.model.names[name] > 1 and name else ""


@predicate
def no_negative(node: NodeView, target: Target, name: str, index: str) -> str:
    """No element of the list, an attribute or (later opsets) an input, is negative."""
    values = node.listed(name, int(index))
    return f"{name} {values} has a negative amount" if any(v < 0 for v in values or ()) else ""


@predicate
def begin_pads_zero(node: NodeView, target: Target) -> str:
    """Pads are symmetric, or those at the beginning are zero."""
    pads = node.ints("pads") or []
    begin, end = pads[: len(pads) // 2], pads[len(pads) // 2 :]
    return f"pads {pads} are asymmetric at the beginning" if begin != end and any(begin) else ""


@predicate
def last_dim(node: NodeView, target: Target, index: str) -> str:
    """The last dimension of the input, where present, is that of the output."""
    if not node.has(int(index)):
        return ""
    found, wanted = node.shape(int(index))[-1:], node.output_shape()[-1:]
    return "" if found == wanted else f"input {index} ends in {list(found)}, not {list(wanted)}"


@predicate
def equal_strides(node: NodeView, target: Target) -> str:
    """All strides are the same."""
    strides = node.ints("strides") or []
    return f"strides {strides} differ" if len(set(strides)) > 1 else ""


@predicate
def batch_dims_match(node: NodeView, target: Target) -> str:
    """Batch dimensions of the second operand equal those of the first, or are 1 or absent."""
    first, second = node.shape(0)[:-2], node.shape(1)[:-2]
    padded = (1,) * (len(first) - len(second)) + second
    matches = len(padded) == len(first) and all(
        b in (a, 1) for a, b in zip(first, padded, strict=True)
    )
    return "" if matches else f"batch dimensions {list(second)} do not fit {list(first)}"


@predicate
def static_inputs(node: NodeView, target: Target) -> str:
    """Every input has a fixed shape."""
    try:
        for i in node.operands():
            node.shape(i)
    except UndeterminedError as error:
        return str(error)
    return ""


@predicate
def known_shape(node: NodeView, target: Target) -> str:
    """The first output has a fixed shape of positive dimensions."""
    try:
        dims = node.output_shape()
    except UndeterminedError as error:
        return str(error)
    return f"dimension 0 in {list(dims)}" if 0 in dims else ""
