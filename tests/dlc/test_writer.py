from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from avatar_export.dlc import IoTensor, find_writer, write_dlc
from avatar_export.errors import MissingDependency, ModelError, UserError

SdkMaker = Callable[..., Path]


def test_an_sdk_is_preferred(make_sdk: SdkMaker) -> None:
    assert find_writer({"SNPE_ROOT": str(make_sdk())}).name == "snpe-onnx-to-dlc"


def test_without_an_sdk_the_wheel_writes() -> None:
    assert find_writer({}).name == "qnnir"


def test_with_neither_the_hint_says_what_to_install(without_qnn: None) -> None:
    with pytest.raises(MissingDependency) as caught:
        find_writer({})
    assert caught.value.exit_code == 3
    assert "pip install 'avatar-export[dlc]'" in caught.value.hint
    assert "SNPE_ROOT" in caught.value.hint


def test_record_of_a_qnnir_file(conv_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out" / "frame.dlc"
    record = write_dlc(conv_model, out, find_writer({}), sdk_wanted="2.5")
    shape = (1, 4, 8, 8)
    assert record.writer == "qnnir"
    assert record.format_version == "4.1"
    assert record.converter_version.startswith("2.")
    assert record.nodes == 3
    assert record.io == (
        IoTensor("input", "x", "x", shape, "as ONNX", "float32"),
        IoTensor("output", "y", "y", shape, "as ONNX", "float32"),
    )
    assert len(record.warnings) == 1
    assert "2.5 runtime" in record.warnings[0]
    with zipfile.ZipFile(out) as archive:
        assert archive.testzip() is None


def test_the_same_model_gives_the_same_bytes(conv_model: Path, tmp_path: Path) -> None:
    writer = find_writer({})
    for name in ("a.dlc", "b.dlc"):
        write_dlc(conv_model, tmp_path / name, writer)
    assert (tmp_path / "a.dlc").read_bytes() == (tmp_path / "b.dlc").read_bytes()


def test_record_of_an_sdk_file(make_sdk: SdkMaker, conv_model: Path, tmp_path: Path) -> None:
    writer = find_writer({"SNPE_ROOT": str(make_sdk("2.25.0"))})
    record = write_dlc(conv_model, tmp_path / "frame.dlc", writer, sdk_wanted="1.43")
    shape = (1, 8, 8, 4)
    assert (record.writer, record.writer_version) == ("snpe-onnx-to-dlc", "2.25.0")
    assert record.converter_version == "2.25.0.240728104910_97711"
    assert record.io == (
        IoTensor("input", "x", "x", shape, "NHWC", "float32"),
        IoTensor("output", "y", "y", shape, "NHWC", "float32"),
    )
    assert "WARNING_OP_VERSION_NOT_SUPPORTED" in record.warnings[0]
    assert "do not mix" in record.warnings[1]


def test_the_format_of_1x_is_passed_through_with_a_warning(
    make_sdk: SdkMaker, conv_model: Path, tmp_path: Path
) -> None:
    # The golden file with the major format number 3 in its model member; checksums 0.
    behaviour = r"""
import zipfile
with zipfile.ZipFile(golden) as old, zipfile.ZipFile(args.out, "w") as new:
    for name in old.namelist():
        content = old.read(name)
        if name == "model":
            content = content[:2] + b"\x03" + content[3:]
        new.writestr(name, content)
"""
    writer = find_writer({"SNPE_ROOT": str(make_sdk("1.43.0", behaviour))})
    record = write_dlc(conv_model, tmp_path / "frame.dlc", writer)
    assert (record.format_version, record.io, record.nodes) == ("3.0", (), None)
    assert record.warnings == ("DLC format 3.0 is not decoded here: its content was not checked",)


def test_an_sdk_file_of_another_model_is_refused(
    make_sdk: SdkMaker, save_model: Callable[..., Path], tmp_path: Path
) -> None:
    writer = find_writer({"SNPE_ROOT": str(make_sdk())})
    text = '<ir_version: 8, opset_import: ["" : 13]> g (float[1,4] x) => (float[1,4] z) {'
    with pytest.raises(ModelError, match="has the output 'y'"):
        write_dlc(save_model(text + " z = Relu(x) }"), tmp_path / "frame.dlc", writer)
    assert not (tmp_path / "frame.dlc").exists()


def test_a_failure_leaves_the_old_file(save_model: Callable[..., Path], tmp_path: Path) -> None:
    out = tmp_path / "frame.dlc"
    out.write_bytes(b"old")
    text = '<ir_version: 8, opset_import: ["" : 13]> g (float[1,4] x) => (float[1,4] y) {'
    with pytest.raises(ModelError, match="Erf"):
        write_dlc(save_model(text + " y = Erf(x) }"), out, find_writer({}))
    assert out.read_bytes() == b"old"


def test_the_model_is_not_overwritten(conv_model: Path) -> None:
    with pytest.raises(UserError, match="would replace the model"):
        write_dlc(conv_model, conv_model, find_writer({}))


def test_a_missing_model_is_a_user_error(make_sdk: SdkMaker, tmp_path: Path) -> None:
    writer = find_writer({"SNPE_ROOT": str(make_sdk())})
    with pytest.raises(UserError, match="no such file"):
        write_dlc(tmp_path / "none.onnx", tmp_path / "frame.dlc", writer)
