from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from avatar_export.bench.estimate.work import Work
from avatar_export.passes.macs import count_macs
from avatar_export.passes.site import Sketch
from avatar_export.passes.works import works
from tests.passes.models import loaded, parsed

HEAD = "g (float[1,4,6,6] x, float[1,8,6,6] z) => (float[a,b,c,d] y)"


def noise(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


def nodes(body: str, opset: int = 13, head: str = HEAD, **weights: object) -> list[ir.Node]:
    return list(loaded(parsed(f"{head} {{ {body} }}", opset, **weights)).graph)


def work(body: str, opset: int = 13, **weights: object) -> Work:
    """Of the last node."""
    return works(nodes(body, opset, **weights))[-1]


def test_a_convolution() -> None:
    found = work("y = Conv<pads = [1,1,1,1]> (x, w, b)", w=noise(8, 4, 3, 3), b=noise(8))
    assert found == Work(
        kind="Conv",
        inputs=((1, 4, 6, 6),),
        outputs=((1, 8, 6, 6),),
        weights=8 * 4 * 9 + 8,
        macs=8 * 36 * 4 * 9,
        channels=(4, 8),
    )


def test_a_convolution_in_groups() -> None:
    found = work("y = Conv<group = 2> (x, w)", w=noise(6, 2, 1, 1))
    assert (found.kind, found.channels, found.groups) == ("Conv", (2, 3), 2)
    assert found.macs == 6 * 36 * 2


def test_a_depthwise_convolution_is_a_kind_of_its_own() -> None:
    found = work("y = Conv<group = 4> (x, w)", w=noise(8, 1, 1, 1))
    assert (found.kind, found.channels, found.groups) == ("DepthwiseConv", (1, 2), 4)


def test_a_convolution_of_one_channel_is_not_depthwise() -> None:
    head = "g (float[1,1,6,6] x) => (float[a,b,c,d] y)"
    (node,) = nodes("y = Conv (x, w)", head=head, w=noise(8, 1, 1, 1))
    assert works([node])[0].kind == "Conv"


def test_a_transposed_convolution_spreads_each_pixel() -> None:
    kernel = "pads = [1,1,1,1], strides = [2,2]"
    found = work(f"y = ConvTranspose<{kernel}> (x, w)", w=noise(4, 5, 4, 4))
    assert (found.channels, found.outputs) == ((4, 5), ((1, 5, 12, 12),))
    assert found.spread == 5 * 16 * 36
    assert found.macs == 4 * found.spread
    grouped = work(f"y = ConvTranspose<{kernel}, group = 2> (x, w)", w=noise(4, 5, 4, 4))
    assert (grouped.channels, grouped.spread) == ((2, 5), 2 * 5 * 16 * 36)


def test_weights_may_be_constant_nodes_and_stand_in_front() -> None:
    (_, first) = works(nodes("c = Constant<value = float[4,1,1] {1.,2.,3.,4.}>() y = Mul(c, x)"))
    assert (first.weights, first.inputs) == (4, ((1, 4, 6, 6),))
    assert work("y = Mul(w, x)", w=noise(4, 1, 1)) == first


def test_a_weight_that_is_an_input_is_fed() -> None:
    model = parsed("g (float[1,4,6,6] x, float[4,1,1] w) => (float[1,4,6,6] y) { y = Mul(x, w) }")
    model.graph.initializer.append(parsed("g () => () {}", w=noise(4, 1, 1)).graph.initializer[0])
    (found,) = works(list(loaded(model).graph))
    assert (found.weights, found.inputs) == (0, ((1, 4, 6, 6), (4, 1, 1)))


def test_a_split_writes_several_and_a_sum_reads_several() -> None:
    split = works(nodes("a, y = Split<axis = 1> (x)", 11))[0]
    assert split.outputs == ((1, 2, 6, 6), (1, 2, 6, 6))
    assert work("y = Concat<axis = 1> (x, z)").inputs == ((1, 4, 6, 6), (1, 8, 6, 6))


@pytest.mark.parametrize(("mode", "kind"), [("nearest", "Resize"), ("linear", "LinearResize")])
def test_upsampling_by_either_operator(mode: str, kind: str) -> None:
    scales = {"s": np.array([1, 1, 2, 2], np.float32)}
    for body, opset in ((f'y = Resize<mode = "{mode}"> (x, , s)', 13), ("Upsample", 9)):
        text = f'y = Upsample<mode = "{mode}"> (x, s)' if body == "Upsample" else body
        found = work(text, opset, **scales)
        assert (found.kind, found.outputs) == (kind, ((1, 4, 12, 12),))


def test_unknown_shapes_count_nothing() -> None:
    head = "g (float[1,4,H,W] x) => (float[a,b,c,d] y)"
    conv, relu = works(nodes("k = Conv(x, w) y = Relu(k)", head=head, w=noise(8, 4, 3, 3)))
    assert (conv.inputs, conv.outputs, conv.macs) == (((0,),), ((0,),), 0)
    assert relu.inputs == ((0,),)


def test_a_transposed_convolution_of_unknown_size_counts_nothing() -> None:
    head = "g (float[1,4,H,W] x) => (float[a,b,c,d] y)"
    (found,) = works(nodes("y = ConvTranspose(x, w)", head=head, w=noise(4, 8, 3, 3)))
    assert (found.spread, found.macs) == (0, 0)


# What ends in y, and the layer that may take over its last node.
FOLLOWERS = {
    "k = Conv(x, w) y = Relu(k)": "Conv",
    "k = Conv(x, w) y = LeakyRelu(k)": "Conv",
    "k = Conv(x, w) y = Clip(k, lo, hi)": "Conv",
    "k = Conv(x, w) y = PRelu(k, s)": "Conv",
    "k = ConvTranspose(x, w) y = Tanh(k)": "ConvTranspose",
    "k = BatchNormalization(x, s, s, s, s) y = Sigmoid(k)": "BatchNormalization",
    "k = Add(x, x) y = Relu(k)": "Add",
    "k = Mul(x, x) y = Relu(k)": "",
    "y = Relu(x)": "",
    "k = Conv(x, w) y = Exp(k)": "",
    "k = Conv(x, w) l = Relu(k) y = Add(k, l)": "",
    "k = Conv(x, w) y = Add(k, x)": "Conv",
    "k = Conv(x, w) y = Add(x, k)": "Conv",
    "k = Conv(x, w) y = Add(k, k)": "",
    "k = Conv(x, w) y = Add(k, c)": "",  # a constant is folded into a bias, not read
    "k = Conv(x, w) m = GlobalAveragePool(x) y = Add(k, m)": "",
    "k = Conv(x, w) y = Mul(k, x)": "",
}


@pytest.mark.parametrize("body", FOLLOWERS)
def test_what_a_layer_may_take_over(body: str) -> None:
    weights = {"w": noise(4, 4, 1, 1), "s": noise(4), "lo": 0, "hi": 6, "c": noise(1, 4, 6, 6)}
    used = {name: w for name, w in weights.items() if f" {name}" in body}
    if "PRelu" in body:
        used["s"] = noise(4, 1, 1)
    assert work(body, **used).follows == FOLLOWERS[body]


def test_a_product_may_take_over_too() -> None:
    head = "g (float[2,4] x) => (float[a,b] y)"
    found = works(nodes("k = Gemm(x, w) y = Relu(k)", head=head, w=noise(4, 4)))
    assert found[-1].follows == "Gemm"


def test_a_second_reader_or_an_output_keeps_the_activation_apart() -> None:
    both = nodes("k = Conv(x, w) l = Relu(k) y = Mul(l, k)", w=noise(4, 4, 1, 1))
    assert works(both)[1].follows == ""
    head = "g (float[1,4,6,6] x) => (float[a,b,c,d] y, float[e,f,g,h] k)"
    output = nodes("k = Conv(x, w) y = Relu(k)", head=head, w=noise(4, 4, 1, 1))
    assert works(output)[1].follows == ""


def test_proposed_nodes_are_priced_as_they_will_stand() -> None:
    conv, relu = nodes("k = Conv(x, w) y = Relu(k)", w=noise(4, 4, 1, 1))
    sketch = Sketch(relu)
    sketch.put("LeakyRelu", [conv.outputs[0]], (1, 4, 6, 6))
    wide = sketch.put("Conv", [conv.inputs[0], sketch.weight("w", noise(8, 4, 1, 1))], (1, 8, 6, 6))
    sketch.put("Relu", [wide], (1, 8, 6, 6))
    leaky, other, after = works(sketch.nodes)
    assert leaky.follows == "Conv"  # it comes instead of the reader that is there
    assert (other.weights, other.macs, other.channels) == (32, 8 * 36 * 4, (4, 8))
    assert after.follows == "Conv"
    assert works([relu])[0].follows == "Conv"  # what is only proposed does not disturb it


def test_a_proposed_node_does_not_take_over_what_others_keep_reading() -> None:
    conv, relu, _ = nodes("k = Conv(x, w) l = Relu(k) y = Mul(l, k)", w=noise(4, 4, 1, 1))
    sketch = Sketch(relu)
    sketch.put("LeakyRelu", [conv.outputs[0]], (1, 4, 6, 6))
    assert works(sketch.nodes)[0].follows == ""


def test_a_proposed_sum_of_a_tensor_with_itself_is_not_taken_over() -> None:
    conv, relu = nodes("k = Conv(x, w) y = Relu(k)", w=noise(4, 4, 1, 1))
    sketch = Sketch(relu)
    sketch.put("Add", [conv.outputs[0]] * 2, (1, 4, 6, 6))
    assert works(sketch.nodes)[0].follows == ""


def test_two_proposed_readers_keep_each_other_apart() -> None:
    conv, relu = nodes("k = Conv(x, w) y = Relu(k)", w=noise(4, 4, 1, 1))
    sketch = Sketch(relu)
    wide = sketch.put("Conv", [conv.inputs[0], conv.inputs[1]], (1, 4, 6, 6))
    left = sketch.put("Relu", [wide], (1, 4, 6, 6), ".l")
    sketch.put("Add", [left, wide], (1, 4, 6, 6), ".a")
    assert works(sketch.nodes)[1].follows == ""


def test_works_of_a_graph_are_in_order_and_have_its_multiply_adds() -> None:
    body = "k = Conv(x, w) r = Relu(k) u = ConvTranspose(r, v) y = Identity(u)"
    model = loaded(parsed(f"{HEAD} {{ {body} }}", w=noise(8, 4, 1, 1), v=noise(8, 2, 2, 2)))
    found = works(list(model.graph))
    assert [w.kind for w in found] == ["Conv", "Relu", "ConvTranspose", "Identity"]
    assert sum(w.macs for w in found) == count_macs(model) > 0
