"""Layers that read one tensor become one, with their activations, where that is cheaper."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar_export.passes.goal import FEWEST_MACS, Goal
from avatar_export.passes.macs import count_macs
from avatar_export.passes.merge_siblings import MergeSiblings
from avatar_export.passes.pipeline import Step, run_pipeline
from tests.passes.models import (
    applied,
    attributes,
    initializers,
    loaded,
    operators,
    parsed,
    rewritten,
    rng,
    stamps,
)

X = rng(1, 8, 6, 5)
HEADS = {"uv": (2, "Tanh"), "rgb": (3, "Tanh"), "mask": (1, "Sigmoid")}


def heads(
    opset: int = 16, conv: str = "Conv<pads = [1,1,1,1]>", **of: tuple[int, str]
) -> onnx.ModelProto:
    """Heads on one tensor: channels and activation ("" for none) by output name."""
    of = of or HEADS
    nodes, weights = "", {}
    for k, (name, (channels, activation)) in enumerate(of.items()):
        weights |= {f"w{k}": rng(channels, 8, 3, 3, seed=k), f"b{k}": rng(channels, seed=9 + k)}
        result = f"c{k}" if activation else name
        nodes += f"[conv_{name}] {result} = {conv}(x, w{k}, b{k}) "
        nodes += f"[act_{name}] {name} = {activation}({result}) " if activation else ""
    outputs = ", ".join(f"float[1,{c},h,w] {name}" for name, (c, _) in of.items())
    return parsed(f"g (float[1,8,6,5] x) => ({outputs}) {{ {nodes} }}", opset, **weights)


def priced(**prices: float) -> Goal:
    """A goal that prices nodes by their operator."""
    return Goal("test", lambda nodes: sum(prices.get(node.op_type, 0.0) for node in nodes))


def packed(nodes: Sequence[ir.Node], lanes: int) -> float:
    """Multiply-adds with the channels written rounded up to ``lanes``, and each other number."""
    total = 0.0
    for node in nodes:
        shape = [v.shape.numpy() for v in node.outputs if v.shape is not None]
        pixels = sum(math.ceil(s[1] / lanes) * lanes * math.prod(s[2:]) for s in shape)
        weight = node.inputs[1].shape if node.op_type == "Conv" and node.inputs[1] else None
        total += pixels * (math.prod(weight.numpy()[1:]) if weight is not None else 1)
    return total


def merged(model: onnx.ModelProto, goal: Goal = FEWEST_MACS) -> onnx.ModelProto:
    return rewritten(MergeSiblings(goal), model, x=X)[0]


@pytest.mark.parametrize("opset", [7, 9, 11, 12, 13, 16, 18, 21])
def test_three_heads_become_one_convolution(opset: int) -> None:
    after, changes = rewritten(MergeSiblings(), heads(opset), x=X)
    assert operators(after) == ["Conv", "Tanh", "Split", "BatchNormalization"]
    assert changes == [
        "conv_mask: one of 3 layers that are merged, one Tanh for the Sigmoid too, then split"
    ]
    assert set(stamps(after).values()) == {"merge-siblings"}
    conv, _, split, norm = after.graph.node
    assert [*split.output[:2], norm.output[0]] == ["uv", "rgb", "mask"]
    assert attributes(conv)["pads"] == [1, 1, 1, 1]
    numbers = initializers(after)
    assert numbers[conv.input[1]].shape == (6, 8, 3, 3)
    sizes = attributes(split)["split"] if opset < 13 else numbers[split.input[1]].tolist()
    assert sizes == [2, 3, 1]


def test_no_multiply_add_is_saved_or_added() -> None:
    before = loaded(heads())
    after, _ = applied(MergeSiblings(), heads())
    assert count_macs(before) == count_macs(loaded(after)) == 6 * 8 * 9 * 30


def test_the_rows_of_the_sigmoid_are_halved() -> None:
    model = heads()
    before, after = initializers(model), initializers(merged(model))
    weight = after["conv_mask.weight"]
    np.testing.assert_array_equal(weight[:5], np.concatenate([before["w0"], before["w1"]]))
    np.testing.assert_array_equal(weight[5:], before["w2"] / 2)
    np.testing.assert_array_equal(after["conv_mask.bias"][5:], before["b2"] / 2)


@pytest.mark.parametrize(
    ("dear", "form"),
    [
        (("BatchNormalization", "Mul"), ["Conv", "Split", "Tanh", "Tanh", "Sigmoid"]),
        (("BatchNormalization", "Sigmoid"), ["Conv", "Tanh", "Split", "Mul", "Add"]),
        (("Mul", "Sigmoid"), ["Conv", "Tanh", "Split", "BatchNormalization"]),
    ],
)
def test_the_price_decides_what_becomes_of_the_activations(
    dear: tuple[str, str], form: list[str]
) -> None:
    goal = priced(Conv=1, **dict.fromkeys(dear, 1.5))
    assert operators(merged(heads(), goal)) == form


def test_channels_in_fours_or_sixteens_make_the_merged_head_cheaper() -> None:
    for lanes, conv in ((4, 2 * 4 / 12), (16, 1 / 3)):
        records = run_pipeline(
            heads(),
            [Step(MergeSiblings(Goal("packed", partial(packed, lanes=lanes))), "test")],
            {"x": X},
            goal=Goal("convolutions", partial(packed_convolutions, lanes=lanes)),
        )[1]
        assert records[0].changes
        assert records[0].seconds_after == conv * records[0].seconds_before


def packed_convolutions(nodes: Sequence[ir.Node], lanes: int) -> float:
    return packed([node for node in nodes if node.op_type == "Conv"], lanes)


def test_a_merge_that_costs_more_is_declined() -> None:
    step = MergeSiblings(priced(Conv=1, Split=10))
    after, changes = rewritten(step, heads(), x=X)
    assert operators(after) == operators(heads())
    assert changes == []
    (note,) = step.notes
    assert note.startswith("conv_mask stays: one of 3 layers that are merged, ")
    assert "instead of" in note


def test_a_refusal_of_the_target_is_said() -> None:
    goal = Goal("old phone", FEWEST_MACS.price, lambda old, new: "no Split")
    step = MergeSiblings(goal)
    assert applied(step, heads())[1] == []
    assert list(step.notes) == ["conv_mask stays: old phone refuses it: no Split"]


@pytest.mark.parametrize("activation", ["Relu", "Sigmoid", "LeakyRelu<alpha = 0.3>"])
def test_one_activation_on_all_stands_before_the_split(activation: str) -> None:
    model = heads(a=(4, activation), b=(8, activation))
    after = merged(model)
    assert operators(after) == ["Conv", activation.partition("<")[0], "Split"]
    assert attributes(after.graph.node[1]) == attributes(model.graph.node[1])


def test_activations_that_differ_in_an_attribute_stay_two() -> None:
    model = heads(a=(4, "LeakyRelu<alpha = 0.3>"), b=(8, "LeakyRelu<alpha = 0.1>"))
    after = merged(model, priced(Conv=1, LeakyRelu=0.1))
    assert operators(after) == ["Conv", "Split", "LeakyRelu", "LeakyRelu"]


def test_heads_without_activation() -> None:
    after = merged(heads(a=(4, ""), b=(3, "Tanh"), c=(2, "")), priced(Conv=1))
    assert operators(after) == ["Conv", "Split", "Tanh"]


def siblings(nodes: str, outputs: str, opset: int = 13, **weights: object) -> onnx.ModelProto:
    weights = {"w": rng(4, 8, 3, 3), "v": rng(3, 8, 3, 3, seed=1), "b": rng(4)} | weights
    return parsed(f"g (float[1,8,6,5] x) => ({outputs}) {{ {nodes} }}", opset, **weights)


def test_a_missing_bias_is_zero() -> None:
    model = siblings("p = Conv(x, v) q = Conv(x, w, b)", "float[1,3,h,k] p, float[1,4,h,k] q")
    after = merged(model, priced(Conv=1))
    conv = after.graph.node[0]
    assert initializers(after)[conv.input[2]].tolist()[:3] == [0, 0, 0]


def test_without_any_bias_there_is_none() -> None:
    model = siblings("p = Conv(x, v) q = Conv(x, w)", "float[1,3,h,k] p, float[1,4,h,k] q")
    assert len(merged(model, priced(Conv=1)).graph.node[0].input) == 2


def test_an_intermediate_value_that_others_read_is_kept() -> None:
    """The activation is not looked at where the result before it is read too."""
    nodes = "p = Conv(x, v) r = Tanh(p) c = Conv(x, w, b) q = Tanh(c) s = Neg(c)"
    outputs = "float[1,3,h,k] p, float[1,3,h,k] r, float[1,4,h,k] q, float[1,4,h,k] s"
    after = merged(siblings(nodes, outputs), priced(Conv=1))
    assert sorted(operators(after)) == ["Conv", "Neg", "Split", "Tanh", "Tanh"]


def test_a_result_that_a_subgraph_reads_is_kept() -> None:
    nodes = """p = Conv(x, v) q = Conv(x, w, b)
        r = If(t) <then_branch = a () => (float[1,3,4,3] y) { y = Tanh(p) },
                   else_branch = e () => (float[1,3,4,3] z) { z = Neg(o) }>"""
    outputs = "float[1,3,4,3] r, float[1,4,4,3] q"
    model = siblings(nodes, outputs, t=np.array(True), o=rng(1, 3, 4, 3))
    assert operators(merged(model, priced(Conv=1))) == ["Conv", "Split", "If"]


@pytest.mark.parametrize(
    "other",
    ["pads = [1,1,1,1]", "strides = [2,1]", "dilations = [2,2]", 'auto_pad = "SAME_UPPER"'],
)
def test_another_geometry_is_no_sibling(other: str) -> None:
    nodes = f"p = Conv<{other}>(x, v) q = Conv(x, w, b)"
    model = siblings(nodes, "float[1,3,h,k] p, float[1,4,l,m] q")
    step = MergeSiblings(priced(Conv=1))
    assert applied(step, model)[1] == []
    assert not step.notes


def test_another_kernel_is_no_sibling() -> None:
    model = siblings(
        "p = Conv(x, w) q = Conv(x, k)",
        "float[1,4,h,k] p, float[1,2,l,m] q",
        k=rng(2, 8, 1, 1),
    )
    assert applied(MergeSiblings(priced(Conv=1)), model)[1] == []


def test_operators_of_other_domains_are_no_siblings() -> None:
    nodes = "p = custom.Conv(x, v) q = custom.Conv(x, w)"
    model = loaded(siblings(nodes, "float[1,3,4,3] p, float[1,4,4,3] q"))
    step = MergeSiblings(priced(Conv=1))
    assert step.apply(model) == []
    assert not step.notes


def test_what_reads_the_tensor_as_its_weight_is_no_sibling() -> None:
    body = """g (float[6,6] x, float[6,6] z) => (float[6,6] p, float[6,6] q)
        { p = MatMul(x, z) q = MatMul(z, x) }"""
    step = MergeSiblings(priced(MatMul=1))
    assert applied(step, parsed(body))[1] == []
    assert not step.notes


def test_what_is_default_need_not_be_written() -> None:
    nodes = "p = Conv<strides = [1,1], group = 1, pads = [0,0,0,0]>(x, v) q = Conv(x, w, b)"
    model = siblings(nodes, "float[1,3,h,k] p, float[1,4,h,k] q")
    assert operators(merged(model, priced(Conv=1))) == ["Conv", "Split"]


REFUSED = {
    "in groups": "p = Conv<group = 2>(x, g) q = Conv<group = 2>(x, g)",
    "its weights are computed": "e = Relu(w) p = Conv(x, e) q = Conv(x, e, b)",
    "its bias is computed": "e = Relu(b) p = Conv(x, w, e) q = Conv(x, w, e)",
}


@pytest.mark.parametrize("reason", REFUSED)
def test_refused_with_a_reason(reason: str) -> None:
    model = siblings(REFUSED[reason], "float[1,4,h,k] p, float[1,4,h,k] q", g=rng(4, 4, 3, 3))
    step = MergeSiblings(priced(Conv=1))
    assert applied(step, model)[1] == []
    (note,) = step.notes
    assert reason in note


def test_unknown_size_is_refused() -> None:
    body = """g (float[1,8,h,w] x) => (float[1,4,a,b] p, float[1,4,a,b] q)
        { p = Conv(x, w) q = Conv(x, w) }"""
    step = MergeSiblings(priced(Conv=1))
    assert applied(step, parsed(body, w=rng(4, 8, 3, 3)))[1] == []
    assert list(step.notes) == ["Conv -> q stays: its shape is not known"]


def test_those_with_constant_weights_are_merged_all_the_same() -> None:
    nodes = "e = Relu(w) r = Conv(x, e) p = Conv(x, v) q = Conv(x, w, b)"
    model = siblings(nodes, "float[1,3,h,k] p, float[1,4,h,k] q, float[1,4,h,k] r")
    assert sorted(operators(merged(model, priced(Conv=1)))) == ["Conv", "Conv", "Relu", "Split"]


A = rng(5, 6)
GEMMS = {
    "as PyTorch writes it": ("transB = 1", (3, 6), (4, 6), (3,), (4,)),
    "weights by columns": ("transB = 0", (6, 3), (6, 4), (3,), (1, 4)),
    "with factors": ("alpha = 0.5, beta = 3.0", (6, 3), (6, 4), (1,), ()),
    "of the transposed input": ("transA = 1", (5, 3), (5, 4), (1, 1), (4,)),
}


@pytest.mark.parametrize("name", GEMMS)
def test_matrix_products_with_bias(name: str) -> None:
    how, w, v, b, c = GEMMS[name]
    rows = 6 if "transA" in how else 5
    body = f"""g (float[5,6] x) => (float[{rows},3] p, float[{rows},4] q)
        {{ p = Gemm<{how}>(x, w, b) q = Gemm<{how}>(x, v, c) }}"""
    numbers = {k: rng(*s, seed=i) for i, (k, s) in enumerate({"w": w, "v": v, "b": b}.items())}
    model = parsed(body, 13, **numbers, c=rng(*c, seed=7))
    after, _ = rewritten(MergeSiblings(priced(Gemm=1)), model, x=A)
    assert operators(after) == ["Gemm", "Split"]


@pytest.mark.parametrize(
    ("first", "second", "merges"),
    [
        ("alpha = 1.0, beta = 1.0, transA = 0", "transB = 0", True),
        ("alpha = 2.0", "transB = 0", False),
        ("beta = 2.0", "transB = 0", False),
        ("transA = 1", "transB = 0", False),
    ],
)
def test_other_factors_are_no_siblings(first: str, second: str, merges: bool) -> None:
    body = f"""g (float[6,6] x) => (float[6,3] p, float[6,3] q)
        {{ p = Gemm<{first}>(x, w, b) q = Gemm<{second}>(x, w, b) }}"""
    model = parsed(body, 13, w=rng(6, 3), b=rng(3))
    _, changes = rewritten(MergeSiblings(priced(Gemm=1)), model, x=rng(6, 6))
    assert bool(changes) == merges


def test_computed_matrices_are_refused() -> None:
    body = """g (float[5,6] x) => (float[5,3] p, float[5,3] q)
        { e = Relu(w) p = MatMul(x, e) q = MatMul(x, e) r = MatMul(x, w) }"""
    step = MergeSiblings(priced(MatMul=1))
    assert applied(step, parsed(body, 13, w=rng(6, 3)))[1] == []
    assert list(step.notes) == ["MatMul -> q stays: its weights are computed"]


def test_stacks_of_matrices_are_left_alone() -> None:
    body = """g (float[2,5,6] x) => (float[2,5,3] p, float[2,5,3] q)
        { p = MatMul(x, w) q = MatMul(x, w) }"""
    assert applied(MergeSiblings(priced(MatMul=1)), parsed(body, 13, w=rng(2, 6, 3)))[1] == []


def test_weights_in_two_orders_are_turned() -> None:
    body = """g (float[5,6] x) => (float[5,3] p, float[5,4] q)
        { p = Gemm<transB = 1>(x, w) q = Gemm(x, v) }"""
    model = parsed(body, 13, w=rng(3, 6), v=rng(6, 4))
    after, _ = rewritten(MergeSiblings(priced(Gemm=1)), model, x=A)
    assert operators(after) == ["Gemm", "Split"]


def test_a_bias_by_rows_is_refused() -> None:
    body = """g (float[5,6] x) => (float[5,3] p, float[5,3] q)
        { p = Gemm(x, w, b) q = Gemm(x, w, b) }"""
    step = MergeSiblings(priced(Gemm=1))
    assert applied(step, parsed(body, 13, w=rng(6, 3), b=rng(5, 1)))[1] == []
    assert list(step.notes) == ["Gemm -> q stays: its bias differs from row to row"]


@pytest.mark.parametrize("shape", [(6,), (5, 6), (2, 5, 6), (1, 2, 5, 6)])
def test_matrix_products_without_bias(shape: tuple[int, ...]) -> None:
    dims = [str(d) for d in shape[:-1]]
    x, p, q = (",".join([*dims, str(n)]) for n in (6, 3, 4))
    body = f"""g (float[{x}] x) => (float[{p}] p, float[{q}] q)
        {{ c = MatMul(x, w) p = Tanh(c) d = MatMul(x, v) q = Sigmoid(d) }}"""
    model = parsed(body, 13, w=rng(6, 3), v=rng(6, 4, seed=1))
    goal = priced(MatMul=1, Sigmoid=1, BatchNormalization=1)
    after, _ = rewritten(MergeSiblings(goal), model, x=rng(*shape))
    assert operators(after) == ["MatMul", "Tanh", "Split", "Mul", "Add"]


@pytest.mark.parametrize("dtype", ["float16", "double"])
def test_other_precisions_keep_their_type(dtype: str) -> None:
    kind = np.dtype(dtype)
    body = f"""g ({dtype}[1,8,6,5] x) => ({dtype}[1,4,h,k] p, {dtype}[1,3,h,k] q)
        {{ c = Conv(x, w) p = Tanh(c) d = Conv(x, v, b) q = Sigmoid(d) }}"""
    weights = {"w": rng(4, 8, 3, 3), "v": rng(3, 8, 3, 3), "b": rng(3)}
    model = parsed(body, 16, **{name: w.astype(kind) for name, w in weights.items()})
    after, changes = applied(MergeSiblings(priced(Conv=1, Sigmoid=1)), model)
    assert len(changes) == 1
    assert {a.dtype for a in initializers(after).values()} == {kind, np.dtype(np.int64)}


@settings(deadline=None, max_examples=25)
@given(
    channels=st.lists(st.integers(1, 9), min_size=2, max_size=4),
    activations=st.lists(st.sampled_from(["", "Relu", "Tanh", "Sigmoid"]), min_size=4),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    pads=st.tuples(*[st.integers(0, 2)] * 4),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
)
def test_any_geometry(
    channels: list[int],
    activations: list[str],
    kernel: tuple[int, int],
    pads: tuple[int, ...],
    strides: tuple[int, int],
) -> None:
    geometry = f"Conv<pads = [{','.join(map(str, pads))}], strides = [{strides[0]},{strides[1]}]>"
    of = {f"y{k}": (c, activations[k]) for k, c in enumerate(channels)}
    model = heads(conv=geometry, **of)
    for k, weight in enumerate(w for w in model.graph.initializer if w.name.startswith("w")):
        numbers = rng(channels[k], 8, *kernel, seed=k)
        weight.CopyFrom(onnx.numpy_helper.from_array(numbers, weight.name))
    assert operators(merged(model, priced(Conv=1))).count("Conv") == 1
