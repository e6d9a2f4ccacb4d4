from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from avatar_export.dlc import interface
from avatar_export.dlc.netd import DlcGraph, DlcTensor
from avatar_export.errors import ModelError, UserError


def graph_of(inputs: dict[str, tuple[int, ...]], outputs: dict[str, tuple[int, ...]]) -> DlcGraph:
    def tensors(shapes: dict[str, tuple[int, ...]]) -> tuple[DlcTensor, ...]:
        return tuple(
            DlcTensor(name, shape, "NHWC" if shape[-1:] == (4,) else "", "float32")
            for name, shape in shapes.items()
        )

    return DlcGraph((), tensors(inputs), tensors(outputs))


@pytest.fixture
def model(save_model: Callable[..., Path]) -> onnx.ModelProto:
    path = save_model("""
    <ir_version: 8, opset_import: ["" : 13]>
    g (float[1,4,8,8] x, float[2] spare) => (float[1,4,8,8] a, float[1,4,8,8] b) {
      a = Relu(x)
      b = Tanh(x)
    }
    """)
    return interface.load_onnx(path, weights=True)


def test_tensors_come_in_onnx_order_with_stored_shape_and_layout(model: onnx.ModelProto) -> None:
    nhwc, nchw = (1, 8, 8, 4), (1, 4, 8, 8)
    io, warnings = interface.match_io(model, graph_of({"x": nhwc}, {"b": nchw, "a": nhwc}))
    assert [(t.direction, t.name, t.shape, t.layout) for t in io] == [
        ("input", "x", nhwc, "NHWC"),
        ("output", "a", nhwc, "NHWC"),
        ("output", "b", nchw, "as ONNX"),
    ]
    assert warnings == ["input 'spare' feeds no node and is not in the DLC"]


def test_names_may_differ_in_punctuation(model: onnx.ModelProto) -> None:
    model.graph.output[0].name = "head/a:0"
    model.graph.node[0].output[0] = "head/a:0"
    shape = (1, 4, 8, 8)
    io, _ = interface.match_io(model, graph_of({"x": shape}, {"head_a_0": shape, "b": shape}))
    assert (io[1].name, io[1].onnx_name) == ("head_a_0", "head/a:0")


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [
        (["x"], ["a"], "lacks 'b'"),
        ([], ["a", "b"], "lacks 'x'"),
        (["x"], ["a", "b", "c"], "has the output 'c'"),
        (["x", "z"], ["a", "b"], "has the input 'z'"),
    ],
)
def test_anything_cut_or_new_is_an_error(
    model: onnx.ModelProto, inputs: list[str], outputs: list[str], message: str
) -> None:
    graph = graph_of(dict.fromkeys(inputs, (1,)), dict.fromkeys(outputs, (1,)))
    with pytest.raises(ModelError, match=message):
        interface.match_io(model, graph)


def test_nodes_get_names_of_their_own(model: onnx.ModelProto) -> None:
    model.graph.node[0].name = "Tanh_1"
    interface.name_nodes(model)
    assert [node.name for node in model.graph.node] == ["Tanh_1", "Tanh_1_"]


def test_a_missing_file_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read"):
        interface.load_onnx(tmp_path / "none.onnx", weights=True)


@pytest.mark.parametrize("content", [b"", b"not a protobuf", b"\x08\x08"])
def test_another_file_is_a_model_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="no ONNX"):
        interface.load_onnx(path, weights=True)


def test_weights_that_are_not_where_the_model_says(tmp_path: Path) -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 13]> g (float[9] x) => (y) { y = Add(x, w) }'
    )
    tensor = model.graph.initializer.add(name="w", dims=[9], data_type=1, data_location=1)
    tensor.external_data.add(key="location", value="lost.bin")
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    assert interface.load_onnx(path, weights=False).graph.initializer[0].name == "w"
    with pytest.raises(ModelError, match="cannot read the weights"):
        interface.load_onnx(path, weights=True)
