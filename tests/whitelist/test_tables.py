from __future__ import annotations

import shutil

import pytest

from avatar_export.errors import ModelError, UserError
from avatar_export.resources import layer_whitelist
from avatar_export.whitelist.tables import load_sdk, read_sdk
from avatar_export.whitelist.targets import load_targets, read_targets, resolve_target


def test_adreno640_is_the_default_target():
    target = resolve_target()
    assert (target.name, target.sdk, target.runtime) == ("adreno640", "2.5", "gpu_float16")
    assert target.max_image_width == 16384
    assert "inferred" in target.source
    assert target == load_targets()["adreno640"]


def test_sdk_and_runtime_can_be_replaced():
    target = resolve_target("adreno630", sdk="2.35", runtime="cpu")
    assert (target.sdk, target.runtime, target.column) == ("2.35", "cpu", "cpu")


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [({"name": "adreno1"}, "adreno640"), ({"sdk": "3"}, "2.25"), ({"runtime": "npu"}, "cpu")],
)
def test_unknown_names_list_the_known_ones(arguments, hint):
    with pytest.raises(UserError) as caught:
        resolve_target(**arguments)
    assert hint in caught.value.hint
    with pytest.raises(UserError):
        load_sdk("0.1")


@pytest.mark.parametrize(
    ("sdk", "runtime"), [("1.17", "aip"), ("1.17", "htp"), ("1.43", "htp"), ("2.5", "htp")]
)
def test_a_runtime_that_the_sdk_does_not_know_is_refused(sdk, runtime):
    with pytest.raises(UserError, match=f"SNPE {sdk} has no runtime '{runtime}'") as caught:
        resolve_target(None, sdk, runtime)
    assert "gpu_float16, dsp" in caught.value.hint
    assert resolve_target(None, "2.35", runtime).column == runtime


LAYER = "Relu,yes,yes,yes,yes,yes,,page\n"
OPERATOR = "Relu,yes,1 6,Relu,,,,page\n"
LIMIT = "X1,operation,Relu,gpu,,rank(0 4 4),AX105,error,why,,,page\n"
FUSION = "M99,Relu(@Abs(x)),,Relu,what it is,,page\n"
FAULT = "F99,operator,Relu,*,,rank(0 4 4),AX201,error,why,,,page\n"


@pytest.mark.parametrize(
    ("file", "line", "message"),
    [
        ("layers.csv", LAYER, "two rows for Relu"),
        ("layers.csv", LAYER.replace("yes", "maybe", 1).replace("Relu", "New"), "cpu is 'maybe'"),
        ("layers.csv", LAYER.replace("page", ""), "source is ''"),
        ("layers.csv", "New,yes\n", "expected 8 cells"),
        ("layers.csv", LAYER.replace("page", "page,more"), "expected 8 cells"),
        ("onnx_ops.csv", OPERATOR, "two rows for Relu"),
        ("onnx_ops.csv", OPERATOR.replace("Relu,yes", "New,yes").replace("1 6", "1,6"), "expected"),
        ("onnx_ops.csv", "New,yes,one,Relu,,,,page\n", "versions is 'one'"),
        ("onnx_ops.csv", "New,yes,1,Relu,rnak(0 1 2),,,page\n", "row New: unknown rule"),
        ("onnx_ops.csv", "New,yes,1,A if rank else B,,,,page\n", "row New: rule 'rank'"),
        ("limits.csv", LIMIT.replace("AX105", "AX199"), "row X1: code 'AX199'"),
        ("limits.csv", LIMIT.replace("AX105,error", "AX105,note"), "row X1: code"),
        ("limits.csv", LIMIT.replace("error", "fatal"), "severity is 'fatal'"),
        ("limits.csv", LIMIT.replace("AX105", "AX201"), "code is 'AX201'"),
        ("limits.csv", LIMIT.replace("why,,,", "why,,Pass,"), "cure is 'Pass'"),
        ("limits.csv", LIMIT.replace("operation", "layer"), "kind is 'layer'"),
        ("limits.csv", LIMIT.replace("X1,", "limit,"), "id is 'limit'"),
        ("limits.csv", LIMIT.replace("why", ""), "reason is ''"),
        ("limits.csv", LIMIT + LIMIT, "two rows for X1"),
        ("limits.csv", LIMIT.replace("rank(0 4 4)", "rank(0 4"), "row X1: unknown rule"),
        ("faults.csv", FAULT + FAULT, "two rows for F99"),
        ("faults.csv", FAULT.replace("AX201", "AX105"), "code is 'AX105'"),
        ("faults.csv", FAULT.replace("AX201", "AX299"), "row F99: code 'AX299'"),
        ("faults.csv", FAULT.replace("operator", "operation"), "kind is 'operation'"),
        ("faults.csv", FAULT.replace("rank(0 4 4)", "never(1)"), "row F99: rule 'never(1)'"),
        ("fusions.csv", FUSION + FUSION, "two rows for M99"),
        ("fusions.csv", FUSION.replace("Relu(@Abs(x))", "Relu(@Abs(x)"), "row M99"),
        ("fusions.csv", FUSION.replace("Relu,", "Relu Abs,"), "operations is 'Relu Abs'"),
    ],
)
def test_damaged_rows_are_named(tmp_path, file, line, message):
    folder = shutil.copytree(layer_whitelist() / "2.35", tmp_path / "2.35")
    path = folder / file
    path.write_text(path.read_text() + line)
    with pytest.raises(ModelError) as caught:
        read_sdk(folder)
    assert file in caught.value.message
    assert message in caught.value.message


@pytest.mark.parametrize("header", ["operation,cpu", "colour,cpu,gpu,dsp,aip,htp,note,source", ""])
def test_unexpected_columns_are_refused(tmp_path, header):
    folder = shutil.copytree(layer_whitelist() / "2.35", tmp_path / "2.35")
    (folder / "layers.csv").write_text(header + "\n")
    with pytest.raises(ModelError, match="unexpected columns"):
        read_sdk(folder)


@pytest.mark.parametrize("file", ["faults", "fusions", "layers", "limits", "onnx_ops"])
def test_a_column_more_or_a_file_less_is_refused(tmp_path, file):
    folder = shutil.copytree(layer_whitelist() / "2.35", tmp_path / "2.35")
    path = folder / f"{file}.csv"
    path.write_text(path.read_text().replace(",source\n", ",source,colour\n", 1))
    with pytest.raises(ModelError, match=f"{file}.csv:1: unexpected columns"):
        read_sdk(folder)
    path.unlink()
    with pytest.raises(ModelError, match=f"{file}.csv"):
        read_sdk(folder)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("dlc_generation = 2", "", "the keys must be"),
        ("dlc_generation = 2", "dlc_generation = 2\ncolour = 1", "the keys must be"),
        ("dlc_generation = 2", 'dlc_generation = "2"', "dlc_generation must be of type int"),
        ("export_reason = ", "export_reason = 1 #", "export_reason must be of type str"),
        ("export_opset = ", "export_opset", "sdk.toml"),
        ("runtimes = [", 'runtimes = "cpu" # [', "runtimes must be of type list"),
    ],
)
def test_damaged_facts_are_named(tmp_path, old, new, message):
    folder = shutil.copytree(layer_whitelist() / "2.35", tmp_path / "2.35")
    path = folder / "sdk.toml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ModelError, match=message):
        read_sdk(folder)


def test_missing_file_is_a_model_error(tmp_path):
    with pytest.raises(ModelError, match="onnx_ops"):
        read_sdk(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("default =", "preferred =", "the file"),
        ('gpu = "Adreno 640"', 'gpu = "Adreno 640"\ncolour = 1', "target adreno640"),
        ("max_image_width = 8192", "max_image_width = true", "max_image_width"),
        ("max_image_width = 8192", "", "target adreno330"),
        ('column = "cpu", ', "", "runtime cpu"),
        ('runtime = "gpu_float16"', 'runtime = "npu"', "runtime 'npu'"),
        ('default = "adreno640"', 'default = "adreno1"', "default 'adreno1'"),
        ("[runtimes]", "[runtimes", "targets.toml"),
    ],
)
def test_damaged_targets_are_named(tmp_path, old, new, message):
    text = (layer_whitelist() / "targets.toml").read_text()
    path = tmp_path / "targets.toml"
    path.write_text(text.replace(old, new))
    with pytest.raises(ModelError, match=message):
        read_targets(path)
