from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from avatar_export.errors import ModelError, UserError
from avatar_export.onnx_file import read_model, write
from avatar_export.onnx_file.write import load_weights, weight_files, write_model
from tests.onnx_file.models import parsed, relu, with_weight_file


def test_weights_in_other_files_come_along(tmp_path: Path) -> None:
    path = with_weight_file(tmp_path / "a")
    model = read_model(path)
    load_weights(model, path.parent)
    write_model(tmp_path / "b" / "out.onnx", model)
    (weight,) = onnx.load(tmp_path / "b" / "out.onnx").graph.initializer
    assert onnx.numpy_helper.to_array(weight)[-1] == 99_999


def test_missing_weights_are_an_error(tmp_path: Path) -> None:
    path = with_weight_file(tmp_path)
    model = read_model(path)
    (tmp_path / "w.data").unlink()
    with pytest.raises(ModelError, match="cannot read the weights"):
        load_weights(model, tmp_path)


def test_weight_files_are_those_of_every_tensor(tmp_path: Path) -> None:
    model = read_model(with_weight_file(tmp_path))
    constant = parsed("g () => (y) { y = Constant <value = float[1] {1.0}> () }").graph.node[0]
    tensor = constant.attribute[0].t
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="c.data")
    model.graph.node.append(constant)
    assert weight_files(model, tmp_path) == {tmp_path / "w.data", tmp_path / "c.data"}


def test_what_protobuf_cannot_hold_goes_into_a_file_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = onnx.load(with_weight_file(tmp_path / "a"))
    monkeypatch.setattr(write, "_WEIGHTS_AT_MOST", 10)
    write_model(tmp_path / "b" / "out.onnx", model)
    files = sorted(p.name for p in (tmp_path / "b").iterdir())
    assert files == ["out.onnx", "out.onnx.data"]
    assert onnx.load(tmp_path / "b" / "out.onnx").graph.initializer[0].dims == [100_000]


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write"):
        write_model(tmp_path / "file" / "out.onnx", relu())
