"""Tensors in other files: small ones come in, and nothing outside the folder is touched."""

from __future__ import annotations

import os
from pathlib import Path

import onnx
import pytest
from onnx import ModelProto, TensorProto

from avatar_export.errors import ModelError
from avatar_export.onnx_file import external, read_model
from tests.onnx_file.models import parsed, written

DATA = bytes(range(32))


def model(**entries: str) -> ModelProto:
    """A model whose weight of 4 floats lies where the entries say."""
    made = parsed("g (float[4] x) => (float[4] y) { y = Add(x, w) }")
    tensor = made.graph.initializer.add(name="w", data_type=1, dims=[4], data_location=1)
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)
    return made


def read(folder: Path, **entries: str) -> TensorProto:
    (folder / "w.bin").write_bytes(DATA)
    return read_model(written(folder, model(**entries))).graph.initializer[0]


@pytest.mark.parametrize(
    ("entries", "start"),
    [({}, 0), ({"offset": "8"}, 8), ({"offset": "16", "length": "16"}, 16), ({"checksum": "x"}, 0)],
)
def test_small_tensors_come_in(tmp_path: Path, entries: dict[str, str], start: int) -> None:
    tensor = read(tmp_path, location="w.bin", **entries)
    assert tensor.raw_data == DATA[start : start + 16]
    assert tensor.data_location == TensorProto.DEFAULT and not tensor.external_data


def test_tensors_of_attributes_come_in(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(DATA)
    made = parsed("g (float[4] x) => (float[4] y) { w = Constant<value=float {1}>() y = Add(x, w)}")
    made.graph.node[0].attribute[0].t.CopyFrom(model(location="w.bin").graph.initializer[0])
    assert read_model(written(tmp_path, made)).graph.node[0].attribute[0].t.raw_data == DATA[:16]


def test_large_tensors_stay_outside(tmp_path: Path) -> None:
    made = model(location="w.bin")
    made.graph.initializer[0].dims[0] = external.SMALL // 4 + 1
    (tmp_path / "w.bin").write_bytes(bytes(external.SMALL + 4))
    tensor = read_model(written(tmp_path, made)).graph.initializer[0]
    assert tensor.data_location == TensorProto.EXTERNAL and not tensor.raw_data


def test_what_comes_in_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of tensors can name the same 64 KiB."""
    monkeypatch.setattr(external, "ALTOGETHER", 40)
    made = model(location="w.bin")
    for index in range(4):
        made.graph.initializer.add().CopyFrom(made.graph.initializer[0])
        made.graph.initializer[-1].name = f"w{index}"
    (tmp_path / "w.bin").write_bytes(DATA)
    tensors = read_model(written(tmp_path, made)).graph.initializer
    assert [bool(tensor.raw_data) for tensor in tensors] == [True, True, False, False, False]


def test_a_missing_file_takes_only_the_values_away(tmp_path: Path) -> None:
    tensor = read(tmp_path, location="elsewhere.bin")
    assert tensor.data_location == TensorProto.EXTERNAL


def test_models_saved_by_onnx_are_read(tmp_path: Path) -> None:
    made = parsed("g (float[4] x) => (float[4] y) { y = Add(x, w) }")
    made.graph.initializer.append(onnx.helper.make_tensor("w", 1, [4], DATA[:16], raw=True))
    path = tmp_path / "saved.onnx"
    onnx.save(made, path, save_as_external_data=True, location="w.data", size_threshold=0)
    assert read_model(path).graph.initializer[0].raw_data == DATA[:16]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({}, "names no file"),
        ({"location": "/etc/passwd"}, "outside its folder"),
        ({"location": "../w.bin"}, "outside its folder"),
        ({"location": "a/../../w.bin"}, "outside its folder"),
        ({"location": "a\\w.bin"}, "outside its folder"),
        ({"location": "."}, "no regular file"),
        ({"location": "a\0b"}, "cannot be read"),
        ({"location": "n" * 5000}, "cannot be read"),
        ({"location": "w.bin", "offset": "-1"}, "bad offset or length"),
        ({"location": "w.bin", "length": "-2"}, "bad offset or length"),
        ({"location": "w.bin", "offset": "many"}, "bad offset or length"),
        ({"location": "w.bin", "offset": "9" * 9999}, "bad offset or length"),
        ({"location": "w.bin", "offset": "17"}, "needs bytes 17 to 33 of 'w.bin', which has 32"),
        ({"location": "w.bin", "offset": str(2**70)}, "which has 32"),
        ({"location": "w.bin", "length": "15"}, "needs 16 bytes and names 15"),
    ],
)
def test_places_that_are_refused(tmp_path: Path, entries: dict[str, str], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        read(tmp_path, **entries)


def test_links_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "inside"
    folder.mkdir()
    (tmp_path / "secret.bin").write_bytes(DATA)
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    with pytest.raises(ModelError, match="links out of its folder"):
        read(folder, location="link.bin")


def test_links_within_the_folder_are_followed(tmp_path: Path) -> None:
    (tmp_path / "link.bin").symlink_to(tmp_path / "w.bin")
    assert read(tmp_path, location="link.bin").raw_data == DATA[:16]


def test_links_in_a_circle_are_refused(tmp_path: Path) -> None:
    (tmp_path / "link.bin").symlink_to(tmp_path / "link.bin")
    with pytest.raises(ModelError, match="cannot be read"):
        read(tmp_path, location="link.bin")


def test_pipes_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ModelError, match="no regular file"):
        read(tmp_path, location="pipe")
