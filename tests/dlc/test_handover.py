from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper, parser

from avatar_export.dlc import handover
from avatar_export.errors import ModelError

MODEL = """
<ir_version: 8, opset_import: ["" : 13, "own" : 1]>
g (float[4,4] x) => (float[4,4] y) <float[4] bias = {1, 2, 3, 4}> {
  [first] a = Add(x, bias)
  b = MatMul(a, w)
  y = own.activate(b)
}
<domain: "own", opset_import: ["" : 13]>
activate (t) => (u) { u = Relu(t) }
"""


@pytest.fixture
def model() -> onnx.ModelProto:
    model = parser.parse_model(MODEL)
    weights = numpy_helper.from_array(np.ones((4, 1 << 14), np.float32), "w")
    model.graph.initializer.append(weights)
    return model


def test_nodes_are_numbered_and_functions_inlined(model: onnx.ModelProto, tmp_path: Path) -> None:
    nodes = handover.hand_over(model, tmp_path / "model.onnx")
    assert [(node.name, node.op_type) for node in nodes] == [
        ("first", "Add"),
        ("", "MatMul"),
        ("", "Relu"),
    ]
    written = onnx.load(tmp_path / "model.onnx", load_external_data=False)
    assert [handover.numbers(node.name) for node in written.graph.node] == [[0], [1], [2]]


def test_large_weights_stay_behind_and_small_ones_go_along(
    model: onnx.ModelProto, tmp_path: Path
) -> None:
    before = model.SerializeToString()
    handover.hand_over(model, tmp_path / "model.onnx")
    assert model.SerializeToString() == before
    written = onnx.load(tmp_path / "model.onnx")
    bias, weights = map(numpy_helper.to_array, written.graph.initializer)
    assert bias.tolist() == [1, 2, 3, 4]
    assert weights.shape == (4, 1 << 14)
    assert not weights.any()
    assert (tmp_path / handover.WEIGHTS).stat().st_blocks == 0


def test_external_weights_need_not_be_there(model: onnx.ModelProto, tmp_path: Path) -> None:
    lost = TensorProto(name="w", data_type=TensorProto.FLOAT16, dims=[4, 4])
    lost.data_location = TensorProto.EXTERNAL
    lost.external_data.add(key="location", value="gone.bin")
    model.graph.initializer[1].CopyFrom(lost)
    handover.hand_over(model, tmp_path / "model.onnx")
    weights = onnx.load(tmp_path / "model.onnx").graph.initializer[1]
    assert numpy_helper.to_array(weights).dtype == np.float16


def test_an_initializer_is_no_input(model: onnx.ModelProto, tmp_path: Path) -> None:
    model.graph.input.append(onnx.helper.make_tensor_value_info("bias", TensorProto.FLOAT, [4]))
    handover.hand_over(model, tmp_path / "model.onnx")
    assert [info.name for info in onnx.load(tmp_path / "model.onnx").graph.input] == ["x"]


def test_absurd_weights_are_refused(model: onnx.ModelProto, tmp_path: Path) -> None:
    model.graph.initializer[1].dims[0] = 1 << 40
    with pytest.raises(ModelError, match=r"weights of \d+ bytes"):
        handover.hand_over(model, tmp_path / "model.onnx")


@pytest.mark.parametrize(("dims", "data_type"), [([-4, 4], 1), ([4], 0), ([4], 99), ([4], 8)])
def test_damaged_and_odd_tensors_go_along_as_they_are(
    model: onnx.ModelProto, tmp_path: Path, dims: list[int], data_type: int
) -> None:
    tensor = TensorProto(name="w", dims=dims, data_type=data_type)
    model.graph.initializer[1].CopyFrom(tensor)
    handover.hand_over(model, tmp_path / "model.onnx")
    written = onnx.load(tmp_path / "model.onnx", load_external_data=False)
    assert written.graph.initializer[1] == tensor


def test_a_model_above_2_gb_without_its_weights_is_refused(
    model: onnx.ModelProto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_large(self: onnx.ModelProto) -> bytes:
        raise ValueError("exceeds maximum protobuf size of 2GB")

    model.functions.clear()
    monkeypatch.setattr(handover, "_number_nodes", too_large)
    with pytest.raises(ModelError, match="2GB"):
        handover.hand_over(model, tmp_path / "model.onnx")


def test_numbers_become_names_again() -> None:
    text = "in node_1_of_graph: no node_0_of_graph"
    assert handover.with_names(text, ["first", "MatMul_1"]) == "in MatMul_1: no first"
