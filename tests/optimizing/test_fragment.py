from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir

from avatar_export.optimizing.fragment import fragment
from avatar_export.passes.site import Sketch
from tests.optimizing.small import upsampled
from tests.passes.models import loaded, parsed


def nodes(proto: onnx.ModelProto) -> list[ir.Node]:
    return list(loaded(proto).graph)


def test_what_goes_in_and_out_and_stays_inside() -> None:
    model = fragment(nodes(upsampled())[:2], 16)
    onnx.checker.check_model(model, full_check=True)
    graph = model.graph
    assert [len(values) for values in (graph.input, graph.output, graph.value_info)] == [1, 1, 1]
    dims = [d.dim_value for d in graph.output[0].type.tensor_type.shape.dim]
    assert dims == [1, 4, 32, 32]
    assert [(t.dims, t.data_type) for t in graph.initializer][1] == ([4, 8, 3, 3], 1)
    assert [o.version for o in model.opset_import] == [16]


def test_attributes_and_left_out_inputs_are_kept() -> None:
    (resize, conv) = fragment(nodes(upsampled())[:2], 16).graph.node
    assert resize.input[1] == "" and len(resize.input) == 3
    assert onnx.helper.get_node_attr_value(conv, "pads") == [1, 1, 1, 1]


def test_large_weights_are_named_and_not_held() -> None:
    model = parsed("g (float[1,2048] x) => (float[1,2048] y) { y = Mul (x, w) }", w=np.ones(2048))
    (weight,) = fragment(nodes(model), 13).graph.initializer
    assert weight.dims == [2048] and not weight.raw_data
    assert weight.data_location == onnx.TensorProto.EXTERNAL


def test_small_constants_keep_their_numbers() -> None:
    scales = fragment(nodes(upsampled())[:1], 16).graph.initializer[0]
    assert onnx.numpy_helper.to_array(scales).tolist() == [1, 1, 2, 2]


def test_equal_nodes_give_equal_models_whatever_their_names() -> None:
    first = "g (float[4] x) => (float[4] y) { [a] t = Relu (x) [b] y = Neg (t) }"
    second = "h (float[4] in) => (float[4] out) { [c] mid = Relu (in) [d] out = Neg (mid) }"
    assert fragment(nodes(parsed(first)), 13) == fragment(nodes(parsed(second)), 13)


def test_detached_nodes_of_one_name_are_told_apart() -> None:
    (relu,) = nodes(parsed("g (float[4] x) => (float[4] y) { [a] y = Relu (x) }"))
    sketch = Sketch(relu)
    middle = sketch.put("Neg", [relu.inputs[0]], (4,))
    sketch.put(
        "Abs",
        [
            middle,
        ],
        (4,),
    )
    graph = fragment(sketch.nodes, 13).graph
    assert graph.node[1].input[0] == graph.node[0].output[0] != graph.node[1].output[0]


def test_an_unknown_shape_stays_unknown() -> None:
    model = parsed("g (float[N,4] x) => (float[N,4] y) { y = Relu (x) }")
    dims = fragment(nodes(model), 13).graph.input[0].type.tensor_type.shape.dim
    assert [dim.dim_value for dim in dims] == [0, 4] and not dims[0].HasField("dim_value")


def test_an_input_with_a_default_is_no_constant() -> None:
    text = "g (float[4] x, float[1] w) => (float[4] y) { y = Mul (x, w) }"
    graph = fragment(nodes(parsed(text, 13, w=[2.0])), 13).graph
    assert len(graph.input) == 2 and not graph.initializer
