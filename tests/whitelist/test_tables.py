from __future__ import annotations

import shutil

import pytest

from avatar_export.errors import ModelError, UserError
from avatar_export.resources import layer_whitelist
from avatar_export.whitelist.tables import (
    known_sdks,
    load_sdk,
    load_targets,
    read_sdk,
    read_targets,
    resolve_target,
)

SDKS = ("1.43", "2.5", "2.25", "2.35")


def test_known_sdks_are_sorted_by_version():
    assert known_sdks() == SDKS


@pytest.mark.parametrize("version", SDKS)
def test_every_version_loads_and_names_its_sources(version):
    tables = load_sdk(version)
    rows = (*tables.operators.values(), *tables.layers.values(), *tables.limits)
    assert len(rows) > 150
    assert all(row.source for row in rows)


@pytest.mark.parametrize("version", SDKS)
def test_limits_speak_of_operators_and_operations_that_exist(version):
    tables = load_sdk(version)
    made = {o for r in tables.operators.values() for b in r.becomes for o in b.operations}
    known = {"operator": set(tables.operators), "operation": made | set(tables.layers), "input": ()}
    for limit in tables.limits:
        assert limit.subjects - {"*"} <= set(known[limit.kind]), limit.id


@pytest.mark.parametrize("version", SDKS)
def test_conflicts_carry_a_note_and_two_sources(version):
    tables = load_sdk(version)
    operators = [r for r in tables.operators.values() if r.listed == "conflict"]
    layers = [r for r in tables.layers.values() if "conflict" in r.cells.values()]
    assert all(row.note and "; " in row.source for row in (*operators, *layers))


def test_listed_versions():
    assert load_sdk("2.5").listed_versions("Upsample") == (1, 7, 9)
    assert load_sdk("2.25").listed_versions("RNN") == ()
    assert load_sdk("2.35").listed_versions("NoSuchOperator") == ()


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


LAYER = "Relu,yes,yes,yes,yes,yes,,page\n"
OPERATOR = "Relu,yes,1 6,Relu,,,page\n"
LIMIT = "X1,operation,Relu,gpu,,rank(0 4 4),AX105,error,why,,page\n"


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
        ("onnx_ops.csv", "New,yes,one,Relu,,,page\n", "versions is 'one'"),
        ("onnx_ops.csv", "New,yes,1,Relu,rnak(0 1 2),,page\n", "row New: unknown rule"),
        ("onnx_ops.csv", "New,yes,1,A if rank else B,,,page\n", "row New: rule 'rank'"),
        ("limits.csv", LIMIT.replace("AX105", "AX199"), "row X1: code 'AX199'"),
        ("limits.csv", LIMIT.replace("AX105,error", "AX105,note"), "row X1: code"),
        ("limits.csv", LIMIT.replace("error", "fatal"), "severity is 'fatal'"),
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
