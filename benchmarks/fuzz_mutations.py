"""Hostile models: bytes that are damaged, fields that lie, graphs drawn by lot.

Every function takes its randomness from the generator that it is given, so a number is enough to
make the same bytes again.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache
from pathlib import Path

import onnx
from google.protobuf.message import Message
from onnx import AttributeProto, GraphProto, ModelProto, TensorProto, helper

_LARGEST_SEED = 20_000
_NUMBERS = (0, 1, 2, 3, 7, 64, 65, 4096, -1, -2, -64, 2**16, 2**31 - 1, -(2**31), 2**31, 2**32 + 5)
_NUMBERS += (2**40, 2**62, 2**63 - 1, -(2**63))
_REALS = (0.0, 1.0, -1.0, 0.5, 1e38, -1e38, 1e-45, float("inf"), float("-inf"), float("nan"))
_TEXTS = (
    "",
    "x",
    "y",
    "NOTSET",
    "SAME_UPPER",
    "VALID",
    "linear",
    "reflect",
    "ij,jk->ik",
    "...ab->",
)
_TEXTS += ("ai.onnx", "ai.onnx.ml", "com.example", "é" * 30, "n" * 5000, "a\nb", "../w", "w.bin")

_SEED_TEXTS = (
    """<ir_version: 8, opset_import: ["" : 13]> g (float[1,3,8,8] x) => (float[N,M] y) {
        w = Constant<value = float[2,3,1,1] {1,2,3,4,5,6}>()
        c = Conv<kernel_shape=[1,1], strides=[1,1], group=1>(x, w)
        s = Shape(c) i = Constant<value_int=0>() n = Gather(s, i)
        a = Constant<value_ints=[0]>() u = Unsqueeze(n, a) m = Constant<value_ints=[-1]>()
        t = Concat<axis=0>(u, m) r = Reshape(c, t) y = Softmax<axis=-1>(r) }""",
    """<ir_version: 8, opset_import: ["" : 11]> g (bool b, float[2,4] x) => (float[2,4] y) {
        y = If(b) <then_branch = t () => (float[2,4] p) { p = Relu(x) },
                   else_branch = e () => (float[2,4] q) { k = Neg(x) q = Exp(k) }> }""",
    """<ir_version: 8, opset_import: ["" : 13]>
        g (int64 n, bool b, float[2] x) => (float[2] y, float[K,2] z) {
        y, z = Loop(n, b, x) <body =
            l (int64 i, bool c, float[2] v) => (bool d, float[2] w, float[2] s) {
            d = Identity(c) w = Add(v, v) s = Identity(w) }> }""",
    """<ir_version: 8, opset_import: ["" : 13, "f" : 1]> g (float[1,4] x) => (float[1,4] y) {
        a = f.twice<alpha=0.5>(x) y = f.twice(a) }
        <domain: "f", opset_import: ["" : 13, "f" : 1]> twice<alpha: float = 0.1>(x) => (y) {
            l = LeakyRelu<alpha: float = @alpha>(x) y = f.once(l) }
        <domain: "f", opset_import: ["" : 13]> once(x) => (y) { y = Relu(x) }""",
    """<ir_version: 8, opset_import: ["" : 13]> g (uint8[1,8,8,3] x) => (float[N,3,8,8] y) {
        s = Constant<value = float {0.1}>() z = Constant<value = uint8 {128}>()
        d = DequantizeLinear(x, s, z) t = Transpose<perm=[0,3,1,2]>(d)
        q = QuantizeLinear(t, s, z) e = DequantizeLinear(q, s, z)
        p = MaxPool<kernel_shape=[3,3], strides=[1,1], pads=[1,1,1,1]>(e)
        y = Clip(p) }""",
    """<ir_version: 8, opset_import: ["" : 16]>
        g (float[B,C,4,4] x, float[B,4,4,2] h) => (float[B,C,8,8] y) {
        w = GridSample<mode="bilinear", padding_mode="border">(x, h)
        r = Constant<value_floats: floats = []>() z = Constant<value_floats=[1.0,1.0,2.0,2.0]>()
        u = Resize<mode="nearest", coordinate_transformation_mode="asymmetric">(w, r, z)
        m = ReduceMean<axes=[2,3]>(u) v = Sub(u, m) k = Mul(v, v) j = ReduceMean<axes=[2,3]>(k)
        e = Constant<value_float=0.00001>() a = Add(j, e) f = Sqrt(a) y = Div(v, f) }""",
    """<ir_version: 8, opset_import: ["" : 13]> g (float[3,1,2] x) => (float[3,1,1,1] y) {
        w = Constant<value = float[1,4,2] {1,2,3,4,5,6,7,8}>()
        a = Constant<value_ints=[1,4,1]>() r = ConstantOfShape(a)
        y = LSTM<hidden_size=1>(x, w, r) }""",
)


@cache
def seeds() -> tuple[bytes, ...]:
    """Small sound models: those above, and the files of onnx's own backend tests."""
    import onnx.backend.test

    texts = [onnx.parser.parse_model(text).SerializeToString() for text in _SEED_TEXTS]
    folder = Path(onnx.backend.test.__file__).parent / "data"
    files = sorted(p for p in folder.rglob("*.onnx") if p.stat().st_size <= _LARGEST_SEED)
    return (*texts, *_with_external_data(), *(path.read_bytes() for path in files))


def _with_external_data() -> list[bytes]:
    """A model whose weights lie in ``w.bin``; see ``WEIGHTS``."""
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 13]> g (float[4] x) => (float[4] y) { y = Add(x, w) }'
    )
    tensor = model.graph.initializer.add(name="w", data_type=1, dims=[4], data_location=1)
    for key, value in (("location", "w.bin"), ("offset", "16"), ("length", "16")):
        tensor.external_data.add(key=key, value=value)
    return [model.SerializeToString()] * 3


WEIGHTS = bytes(range(64))
"""Content of ``w.bin``, the file of external data that lies beside every hostile model."""


def hostile(number: int, seed: int = 0) -> tuple[str, bytes]:
    """(kind of mutation, bytes) of one input."""
    rng = random.Random(f"{seed}/{number}")
    kind = rng.choice(sorted(_KINDS))
    return kind, _KINDS[kind](rng)


# Damage to the bytes.


def _truncated(rng: random.Random) -> bytes:
    data = rng.choice(seeds())
    return data[: rng.randrange(len(data))]


def _flipped(rng: random.Random) -> bytes:
    data = bytearray(rng.choice(seeds()))
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def _spliced(rng: random.Random) -> bytes:
    """Bytes inserted, removed, repeated, or taken from another model."""
    data, other = rng.choice(seeds()), rng.choice(seeds())
    a, b = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    c = rng.randrange(len(other))
    inserted = rng.choice((rng.randbytes(rng.randrange(9)), data[a:b], other[c : c + 64], b""))
    return data[:a] + inserted + data[rng.choice((a, b)) :]


def _garbage(rng: random.Random) -> bytes:
    start = rng.choice((b"", b"PK\x03\x04", b"\x80\x02", b"{", b"\x08\x08\x3a", b"<"))
    return start + rng.randbytes(rng.randrange(400))


# Lies in the fields.


def _mutated(rng: random.Random) -> bytes:
    """One to eight random fields of random messages set, cleared, copied or reordered."""
    model = ModelProto.FromString(rng.choice(seeds()))
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        messages = _messages(model)
        _mutate(rng, rng.choice(messages), messages)
    return model.SerializeToString()


def _messages(root: Message) -> list[Message]:
    found = [root]
    for message in found:
        for field, value in message.ListFields():
            if field.message_type:
                found += [value] if isinstance(value, Message) else list(value)
    return found


def _mutate(rng: random.Random, message: Message, messages: list[Message]) -> None:
    field = rng.choice(message.DESCRIPTOR.fields)
    present = [f for f, _ in message.ListFields()]
    if present and rng.random() < 0.7:
        field = rng.choice(present)
    value = getattr(message, field.name)
    if field.is_repeated:
        _mutate_list(rng, field, value, messages)
    elif field.message_type:
        _replace(rng, value, messages)
    elif rng.random() < 0.2:
        message.ClearField(field.name)
    else:
        setattr(message, field.name, _scalar(rng, field, messages))


def _mutate_list(rng: random.Random, field, values, messages: list[Message]) -> None:  # type: ignore[no-untyped-def]
    action = rng.choice(("add", "set", "remove", "repeat", "move"))
    if action == "add" or not values:
        if field.message_type:
            _replace(rng, values.add(), messages)
        else:
            values.extend([_scalar(rng, field, messages)] * rng.choice((1, 1, 2, 70)))
        return
    index = rng.randrange(len(values))
    if action == "set" and not field.message_type:
        values[index] = _scalar(rng, field, messages)
    elif action == "repeat":
        values.extend([values[index]] * rng.choice((1, 1, 40)))
    else:
        taken = values.pop(index)
        if action == "move":
            values.insert(rng.randrange(len(values) + 1), taken)


def _replace(rng: random.Random, message: Message, messages: list[Message]) -> None:
    """Make a message a copy of one of its type, wherever that lies, or leave it empty."""
    same = [m for m in messages if m.DESCRIPTOR is message.DESCRIPTOR and m is not message]
    copy = type(message)()
    if same and rng.random() < 0.8:
        copy.CopyFrom(rng.choice(same))
    message.CopyFrom(copy)
    message.SetInParent()


def _scalar(rng: random.Random, field, messages: list[Message]):  # type: ignore[no-untyped-def]
    """A value that the field can hold: an extreme one, or one that is used elsewhere."""
    if field.enum_type:
        return rng.choice(field.enum_type.values).number
    if field.cpp_type == field.CPPTYPE_STRING:
        text = rng.choice((*_TEXTS, *_names(rng.choice(messages))))
        return text.encode() if field.type == field.TYPE_BYTES else text
    if field.cpp_type in (field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE):
        return rng.choice(_REALS)
    number = rng.choice(_NUMBERS)
    if field.cpp_type == field.CPPTYPE_INT32:
        return max(min(number, 2**31 - 1), -(2**31))
    return abs(number) if field.cpp_type == field.CPPTYPE_UINT64 else number


def _names(message: Message) -> list[str]:
    """Names in a message, for wires that end where they should not."""
    names = [getattr(message, field, "") for field in ("name", "op_type", "domain")]
    names += [name for field in ("input", "output") for name in getattr(message, field, ())]
    return [name for name in names if isinstance(name, str)]


# Graphs by lot: operators of any version on operands of any type, rank and value.


def _drawn(rng: random.Random) -> bytes:
    """A graph of one to six random operators, each with about the operands it wants."""
    opset = rng.choice(
        (7, 9, 10, 11, 12, 13, 14, 16, 17, 18, 20, 21, 23, onnx.defs.onnx_opset_version())
    )
    graph = GraphProto(name="g")
    names: list[str] = []
    for index in range(rng.randint(2, 6)):
        names.append(_operand(rng, graph, f"t{index}"))
    for index in range(rng.randint(1, 6)):
        names += _node(rng, graph, opset, names, index)
    graph.output.add(name=names[-1])
    if rng.random() < 0.5:
        graph.output[0].type.tensor_type.elem_type = rng.choice((0, 1, 7))
    imports = [helper.make_opsetid(d, v) for d, v in (("", opset), ("ai.onnx.ml", 3))]
    return helper.make_model(graph, opset_imports=imports, ir_version=8).SerializeToString()


def _operand(rng: random.Random, graph: GraphProto, name: str) -> str:
    """A graph input of a random shape, or a small constant of odd values."""
    rank = rng.choice((0, 1, 1, 2, 3, 4, 4, 5, 6))
    if rng.random() < 0.5:
        dims = [rng.choice((1, 2, 3, 4, 8, 0, 2**31, 2**40, "N", None)) for _ in range(rank)]
        kind = rng.choice((1, 1, 1, 6, 7, 9, 10, 11, 2, 8, 22))
        shape = None if rng.random() < 0.1 else dims
        graph.input.append(helper.make_tensor_value_info(name, kind, shape))
        return name
    dims = [rng.choice((1, 2, 3, 4, 0)) for _ in range(min(rank, 4))]
    count = 1
    for dim in dims:
        count *= dim
    values = [rng.choice((*_NUMBERS, 1, 1, 2, 2, 3, 4, 0, -1)) for _ in range(count)]
    kind = rng.choice((7, 7, 7, 6, 1))
    if kind == 6:
        values = [max(min(v, 2**31 - 1), -(2**31)) for v in values]
    graph.initializer.append(helper.make_tensor(name, kind, dims, values))
    return name


@cache
def _schemas(opset: int) -> list[onnx.defs.OpSchema]:
    names = sorted({s.name for s in onnx.defs.get_all_schemas() if s.domain == ""})
    found = []
    for name in names:
        try:
            found.append(onnx.defs.get_schema(name, opset, ""))
        except onnx.defs.SchemaError:
            continue
    return found


def _node(
    rng: random.Random, graph: GraphProto, opset: int, names: list[str], index: int
) -> list[str]:
    schema = rng.choice(_schemas(opset))
    most = min(schema.max_input, schema.min_input + 3)
    count = rng.randint(schema.min_input, most) if rng.random() < 0.95 else rng.randrange(6)
    inputs = [rng.choice(names) if rng.random() < 0.95 else "" for _ in range(count)]
    outputs = [f"n{index}_{i}" for i in range(rng.randint(1, min(max(schema.max_output, 1), 4)))]
    node = graph.node.add(op_type=schema.name, name=f"n{index}", input=inputs, output=outputs)
    for name, attribute in sorted(schema.attributes.items()):
        if attribute.required or rng.random() < 0.5:
            node.attribute.append(_attribute(rng, name, attribute.type.value, graph))
    return outputs


def _attribute(rng: random.Random, name: str, kind: int, graph: GraphProto) -> AttributeProto:
    """Of the type that the operator wants, and mostly of a value that it does not."""
    if rng.random() < 0.03:
        kind = rng.choice(AttributeProto.AttributeType.values()[1:])
    found = AttributeProto(name=name, type=kind)
    number = rng.choice((*_NUMBERS, 0, 1, 1, 2, 2, 3, -1))
    found.i, found.f = number, rng.choice(_REALS)
    found.s = rng.choice(_TEXTS).encode()
    found.ints.extend(rng.choice((*_NUMBERS, 0, 1, 1, 2, 2)) for _ in range(rng.randrange(6)))
    found.floats.extend(rng.choice(_REALS) for _ in range(rng.randrange(4)))
    found.strings.extend(rng.choice(_TEXTS).encode() for _ in range(rng.randrange(4)))
    if kind == AttributeProto.TENSOR:
        found.t.CopyFrom(helper.make_tensor("v", TensorProto.INT64, [1], [number]))
    if kind == AttributeProto.GRAPH:
        body = found.g
        body.name = "body"
        wire = rng.choice([value.name for value in graph.input] or ["t0"])
        body.node.add(op_type="Identity", input=[wire], output=[f"{name}_{len(graph.node)}"])
        body.output.add(name=f"{name}_{len(graph.node)}")
    return found


def _grown(rng: random.Random) -> bytes:
    """A chain that may grow: joined, gathered, nested or reshaped by what went before it."""
    opset = rng.choice((11, 13, 18))
    graph = GraphProto(name="g")
    names = [_operand(rng, graph, f"t{i}") for i in range(3)]
    names.append(graph.node.add(op_type="Shape", input=["t0"], output=["s"]).output[0])
    operators = ("Concat", "Gather", "Reshape", "Expand", "Tile", "Unsqueeze", "ConstantOfShape")
    operators += (
        "Mul",
        "Range",
        "GatherND",
        "OneHot",
        "Pad",
        "Slice",
        "Shape",
        "SequenceConstruct",
    )
    chosen = rng.sample(operators, rng.randint(1, 3))
    for index in range(rng.choice((5, 20, 60))):
        name = rng.choice(chosen)
        count = onnx.defs.get_schema(name, opset, "").min_input
        inputs = [rng.choice(names[-2:]) for _ in range(max(count, 1 + (name == "Concat")))]
        node = graph.node.add(op_type=name, input=inputs, output=[f"g{index}"])
        if name in ("Concat", "Unsqueeze") and (opset < 13 or name == "Concat"):
            axis = {"axis": 0} if name == "Concat" else {"axes": [0]}
            node.attribute.extend(helper.make_attribute(key, v) for key, v in axis.items())
        names.append(f"g{index}")
    graph.output.add(name=names[-1])
    imports = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8).SerializeToString()


_KINDS: dict[str, Callable[[random.Random], bytes]] = {
    "bits flipped": _flipped,
    "bytes spliced": _spliced,
    "fields mutated": _mutated,
    "garbage": _garbage,
    "graph drawn by lot": _drawn,
    "graph that grows": _grown,
    "truncated": _truncated,
}
