"""From a path to a model: files that cannot be read, and files that are no model."""

from __future__ import annotations

import os
from pathlib import Path

import onnx
import pytest

from avatar_export.errors import ModelError, UserError
from avatar_export.onnx_file import read, read_model
from tests.onnx_file.models import parsed, relu, written


def test_a_model_comes_back_as_it_was_written(tmp_path: Path) -> None:
    assert read_model(written(tmp_path, relu())) == relu()


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot read .*none\.onnx: No such file"):
        read_model(tmp_path / "none.onnx")


def test_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a folder"):
        read_model(tmp_path)


def test_a_path_that_no_system_takes() -> None:
    with pytest.raises(UserError, match="cannot read"):
        read_model(Path("a\0b"))


def test_an_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(self: Path) -> bytes:  # root, as which CI often runs, may read everything
        raise PermissionError(13, "Permission denied")

    path = written(tmp_path, relu())
    monkeypatch.setattr(Path, "read_bytes", denied)
    with pytest.raises(UserError, match="Permission denied"):
        read_model(path)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="no regular file"):
        read_model(tmp_path / "pipe")


def test_a_device_is_not_read() -> None:
    with pytest.raises(UserError, match="no regular file"):
        read_model(Path("/dev/zero"))


def test_beyond_the_limit_of_protobuf(tmp_path: Path) -> None:
    path = tmp_path / "large.onnx"
    with path.open("wb") as stream:
        stream.truncate(read.LARGEST + 1)
    with pytest.raises(ModelError, match="larger than 2 GB") as caught:
        read_model(path)
    assert "external data" in caught.value.hint


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"\x08\x08", "no ONNX model: it is damaged"),
        (relu().SerializeToString()[:-2], "2 bytes are missing"),
        (b'{"graph": {}}', "looks like JSON"),
        (b"PK\x03\x04" + bytes(26) + b"model", "looks like a DLC"),
        (onnx.TensorProto(dims=[3], data_type=1).SerializeToString(), "no ONNX model"),
        (onnx.ModelProto(ir_version=8, graph=onnx.GraphProto()), "holds no ONNX node"),
    ],
)
def test_what_is_no_model(tmp_path: Path, content: bytes | onnx.ModelProto, message: str) -> None:
    path = written(tmp_path, content)
    with pytest.raises(ModelError, match=message) as caught:
        read_model(path)
    assert caught.value.message.startswith(str(path))


def test_what_is_wrong_inside_names_the_file(tmp_path: Path) -> None:
    model = relu()
    model.graph.node[0].input[0] = "z"
    path = written(tmp_path, model)
    with pytest.raises(ModelError) as caught:
        read_model(path)
    assert caught.value.message == f"{path}: node '' ('Relu') reads 'z', which nothing writes"


def test_shapes_given_for_inputs_are_set(tmp_path: Path) -> None:
    path = written(tmp_path, parsed("g (float[N,3] x) => (float[N,3] y) { y = Relu(x) }"))
    dims = read_model(path, {"x": (5, 3)}).graph.input[0].type.tensor_type.shape.dim
    assert [dim.dim_value for dim in dims] == [5, 3]
