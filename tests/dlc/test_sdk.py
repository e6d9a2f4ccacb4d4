from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from avatar_export.dlc import sdk
from avatar_export.dlc.record import DlcWriter
from avatar_export.errors import MissingDependency, ModelError

SdkMaker = Callable[..., Path]


def find(root: Path) -> DlcWriter:
    writer = sdk.find({"SNPE_ROOT": str(root)})
    assert writer is not None
    return writer


def convert(root: Path, model: Path, timeout: float = 60.0) -> tuple[bytes, tuple[str, ...]]:
    work = root / "work"
    work.mkdir()
    return sdk.convert(find(root), model, work, "toynet.dlc", environ=os.environ, timeout=timeout)


# Discovery


def test_snpe_root_comes_first(make_sdk: SdkMaker) -> None:
    old, new = make_sdk("1.43.0"), make_sdk("2.25.0")
    writer = sdk.find({"QAIRT_SDK_ROOT": str(new), "SNPE_ROOT": str(old)})
    assert writer == DlcWriter("snpe-onnx-to-dlc", "1.43.0", old, f"SNPE_ROOT={old}")


@pytest.mark.parametrize("variable", sdk.VARIABLES)
def test_every_variable_is_heard(make_sdk: SdkMaker, variable: str) -> None:
    writer = sdk.find({variable: str(make_sdk())})
    assert writer is not None
    assert writer.version == "2.25.0"


def test_no_variable_is_no_sdk() -> None:
    assert sdk.find({}) is None
    assert sdk.find({"SNPE_ROOT": ""}) is None


@pytest.mark.parametrize("variable", ["SNPE_ROOT", "QAIRT_SDK_ROOT"])
def test_a_wrong_root_is_said(tmp_path: Path, variable: str) -> None:
    with pytest.raises(MissingDependency, match="holds no bin/") as caught:
        sdk.find({variable: str(tmp_path)})
    assert variable in caught.value.hint


def test_a_qnn_sdk_without_snpe_tools_is_passed_over(tmp_path: Path) -> None:
    assert sdk.find({"QNN_SDK_ROOT": str(tmp_path)}) is None


def test_version_sources_in_their_order(tmp_path: Path) -> None:
    root = tmp_path / "snpe-1.43.0.2307"
    root.mkdir()
    assert sdk.read_version(root) == "1.43.0.2307"
    (root / "ReleaseNotes.txt").write_text("SNPE SDK\n\nSNPE is a kit.\n\nSNPE 2.5.0\n\n2.4.1\n")
    assert sdk.read_version(root) == "2.5.0"
    (root / "sdk.yaml").write_text("product: QAIRT\nversion: 2.25.0\nonnx: 1.12.0\n")
    assert sdk.read_version(root) == "2.25.0"


def test_an_unknown_version_is_empty(tmp_path: Path) -> None:
    assert sdk.read_version(tmp_path / "sdk") == ""


# Conversion


@pytest.mark.parametrize("version", ["1.17.0", "1.31.0", "1.32.0", "1.43.0", "2.5.0", "2.25.0"])
def test_each_release_is_called_by_its_own_options(
    make_sdk: SdkMaker, conv_model: Path, golden: Callable[[str], bytes], version: str
) -> None:
    data, warnings = convert(make_sdk(version), conv_model)
    assert data == golden("conv_3x3_s1_p1.sdk.dlc")
    assert warnings == (
        "WARNING_OP_VERSION_NOT_SUPPORTED: Operation Relu Not Supported. Expected operator"
        " version: [1, 6], instead got version: [14]",
    )


def test_wrong_option_spelling_is_told_in_the_tools_words(
    make_sdk: SdkMaker, conv_model: Path
) -> None:
    with pytest.raises(ModelError, match=r"status 2: .*required: --model_path"):
        convert(make_sdk("2.5.0", old_options=True), conv_model)


UNKNOWN_OP = """
log(183, "ERROR", "Node erf: 'No translation registered for op type onnx_erf.'")
sys.exit(-1)
"""
UNKNOWN_OP_1X = """
raise KeyError("No translation registered for op type onnx_erf.")
"""
ERF = """
<ir_version: 8, opset_import: ["" : 9]>
g (float[1,4] x) => (float[1,4] y) {
  [act] t = Erf(x)
  y = Erf(t)
}
"""


@pytest.mark.parametrize("behaviour", [UNKNOWN_OP, UNKNOWN_OP_1X])
def test_an_unknown_operator_is_named_with_its_nodes(
    make_sdk: SdkMaker, save_model: Callable[..., Path], behaviour: str
) -> None:
    with pytest.raises(ModelError, match=r"2\.5\.0 ended .* no translation for erf \(act, y\)"):
        convert(make_sdk("2.5.0", behaviour), save_model(ERF))


def test_other_errors_are_passed_on(make_sdk: SdkMaker, conv_model: Path) -> None:
    behaviour = 'print("Encountered Error: ERROR_PADDING_TYPE: bad pads")\nsys.exit(1)'
    with pytest.raises(ModelError, match="status 1: Encountered Error: ERROR_PADDING_TYPE"):
        convert(make_sdk("2.25.0", behaviour), conv_model)


def test_a_crash_is_one_clear_error(make_sdk: SdkMaker, conv_model: Path) -> None:
    with pytest.raises(ModelError, match=r"snpe-onnx-to-dlc 2\.25\.0 crashed with SIGABRT"):
        convert(make_sdk("2.25.0", "os.abort()"), conv_model)


def test_a_hang_is_one_clear_error(make_sdk: SdkMaker, conv_model: Path) -> None:
    with pytest.raises(ModelError, match="did not finish in time"):
        convert(make_sdk("2.25.0", "time.sleep(60)"), conv_model, timeout=1.0)


def test_success_without_a_file_is_a_failure(make_sdk: SdkMaker, conv_model: Path) -> None:
    with pytest.raises(ModelError, match="reported success but wrote no file"):
        convert(make_sdk("2.25.0", 'log(1, "INFO", "INFO_CONVERSION_SUCCESS: done")'), conv_model)


def test_a_truncated_file_is_a_failure(make_sdk: SdkMaker, conv_model: Path) -> None:
    behaviour = 'open(args.out, "wb").write(open(golden, "rb").read()[:-100])'
    with pytest.raises(ModelError, match=r"wrote a file that is no DLC: .*truncated"):
        convert(make_sdk("2.25.0", behaviour), conv_model)


def test_a_converter_without_its_packages_is_a_missing_dependency(
    make_sdk: SdkMaker, conv_model: Path
) -> None:
    root = make_sdk("2.5.0")
    (root / "lib" / "python" / "qti_stand_in.py").unlink()
    with pytest.raises(MissingDependency, match="does not run in its Python") as caught:
        convert(root, conv_model)
    assert "SNPE_PYTHON" in caught.value.hint


def test_a_converter_without_its_interpreter_is_a_missing_dependency(
    make_sdk: SdkMaker, conv_model: Path
) -> None:
    root = make_sdk("1.17.0")
    converter = root / "bin" / "x86_64-linux-clang" / "snpe-onnx-to-dlc"
    converter.write_text(f"#!/usr/bin/env python2.7-absent\n{converter.read_text()}")
    with pytest.raises(MissingDependency, match=r"python2\.7-absent"):
        convert(root, conv_model)


def test_an_interpreter_can_be_named(make_sdk: SdkMaker, conv_model: Path) -> None:
    root = make_sdk()
    work = root / "work"
    work.mkdir()
    environ = {**os.environ, "SNPE_PYTHON": "/nonexistent/python3.6"}
    with pytest.raises(MissingDependency, match=r"cannot start /nonexistent/python3\.6"):
        sdk.convert(find(root), conv_model, work, "toynet.dlc", environ=environ)
