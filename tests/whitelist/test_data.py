"""What the tables of every version say together; how a file is read is in test_tables.py."""

from __future__ import annotations

import re

import pytest

from avatar_export.resources import layer_whitelist
from avatar_export.whitelist.check import check
from avatar_export.whitelist.rows import read_rows, read_toml, schema
from avatar_export.whitelist.tables import known_sdks, load_sdk
from avatar_export.whitelist.targets import known_runtimes, resolve_target
from tests.whitelist.models import model

SDKS = ("1.17", "1.43", "2.5", "2.25", "2.35")
FILES = ("faults", "fusions", "layers", "limits", "onnx_ops")

# Operations that operators become although no layer table has a row for them: the verdict is
# unknown (AX108). RNN, If and the like are refused or disputed before it comes to that.
UNLISTED = {
    "1.17": {"Clip", "ThresholdedRelu"},
    "1.43": {"ArgMin", "Clip", "GRU", "RNN", "RoiPooling", "ThresholdedRelu"},
    "2.5": {
        *("ArgMin", "Cast", "Clip", "CumulativeSum", "Dequantize", "ElementWiseAnd"),
        *("ElementWiseAtan", "ElementWiseEqual", "ElementWiseGreater", "ElementWiseGreaterEqual"),
        *("ElementWiseLess", "ElementWiseLessEqual", "ElementWiseNot", "ElementWiseOr"),
        *("ElementWiseSelect", "ElementWiseSoftplus", "Erf", "Expand", "GRU", "GatherElements"),
        *("GatherNd", "L2Pool2d", "MultiClassNms", "OneHot", "Quantize", "RNN", "ReduceL2"),
        *("Resize", "RoiAlign", "ScatterNd", "ThresholdedRelu", "TopK"),
    },
    "2.25": {"RNN"},
    "2.35": {"If", "IsInf", "IsNaN", "RNN"},
}

# A document or tool, and its version or date.
DOCUMENT = re.compile(r"\b(SNPE|QAIRT|QNN|80-63442-2|converter source|snpe-onnx-to-dlc)\b.*\d")


def made(version: str) -> set[str]:
    """Operations that operators and merged patterns of a version become."""
    tables = load_sdk(version)
    outcomes = [o for row in tables.operators.values() for b in row.becomes for o in b.operations]
    merged = [o for row in tables.fusions for o in row.operations or ()]
    return {*outcomes, *merged}


def test_the_versions_are_those_of_the_list():
    assert known_sdks() == SDKS


@pytest.mark.parametrize("version", SDKS)
def test_every_file_is_there_and_no_other(version):
    folder = layer_whitelist() / version
    assert sorted(p.name for p in folder.iterdir()) == [*(f"{f}.csv" for f in FILES), "sdk.toml"]
    tables = load_sdk(version)
    assert len(tables.layers) > 40
    assert len(tables.operators) > 30
    assert len(tables.limits) > 40


@pytest.mark.parametrize("version", SDKS)
@pytest.mark.parametrize("file", FILES)
def test_every_row_names_document_and_version(version, file):
    for row in read_rows(layer_whitelist() / version / f"{file}.csv"):
        for source in row["source"].split("; "):
            assert DOCUMENT.search(source), row
        assert row["source"] == row["source"].strip(), row


def test_layouts_name_document_and_version():
    for row in read_rows(layer_whitelist() / "layouts.csv"):
        assert DOCUMENT.search(row["source"]), row


@pytest.mark.parametrize("version", SDKS)
def test_operations_have_a_row_or_are_left_out_on_purpose(version):
    assert made(version) - set(load_sdk(version).layers) == UNLISTED[version]


@pytest.mark.parametrize("version", SDKS)
def test_rules_speak_of_what_exists(version):
    tables = load_sdk(version)
    operations = made(version) | set(tables.layers)
    known = {"operator": set(tables.operators), "operation": operations}
    for row in (*tables.limits, *tables.faults):
        assert row.subjects - {"*"} <= known.get(row.kind, set()), row.id


@pytest.mark.parametrize("version", SDKS)
def test_rules_bind_columns_of_the_layer_table(version):
    columns = set(next(iter(load_sdk(version).layers.values())).cells)
    for row in (*load_sdk(version).limits, *load_sdk(version).faults):
        assert row.runtimes - {"*"} <= columns, row.id


@pytest.mark.parametrize("version", SDKS)
def test_conflicts_carry_a_note_and_two_sources(version):
    tables = load_sdk(version)
    operators = [r for r in tables.operators.values() if r.listed == "conflict"]
    layers = [r for r in tables.layers.values() if "conflict" in r.cells.values()]
    limits = [r for r in tables.limits if r.code == "AX107" and r.id != "A1-scalar"]
    assert all(row.note and "; " in row.source for row in (*operators, *layers))
    assert all("; " in row.source for row in limits)


@pytest.mark.parametrize("version", SDKS)
def test_a_limit_binds_somebody(version):
    """A rule that gives a finding has a demand; a note has none to be forgotten."""
    for row in load_sdk(version).limits:
        assert bool(row.requires.parts) == (row.severity is not None), row.id


def test_every_column_has_a_meaning():
    tables = read_toml(layer_whitelist() / "schema.toml")
    assert set(schema()) == set(tables)
    for name, table in schema().items():
        assert set(table.key) <= set(table.columns), name
        assert all(column.about for column in table.columns.values()), name


def test_runtimes_speak_through_columns_of_the_layer_table():
    runtimes = read_toml(layer_whitelist() / "targets.toml")["runtimes"]
    assert isinstance(runtimes, dict)
    columns = {entry["column"] for entry in runtimes.values()}
    assert columns == set(load_sdk("2.35").layers["Relu"].cells)
    assert {"cpu", "gpu", "gpu_float16", "dsp", "aip", "htp"} == set(known_runtimes())


@pytest.mark.parametrize("version", SDKS)
def test_every_sdk_names_runtimes_that_its_layer_table_speaks_of(version):
    tables = load_sdk(version)
    assert set(tables.facts.runtimes) <= set(known_runtimes())
    stated = {c for row in tables.layers.values() for c, cell in row.cells.items() if cell}
    columns = {resolve_target(None, version, name).column for name in tables.facts.runtimes}
    assert columns == stated


IMAGE = "(float[1,8,16,16] x) => (y)"
TOP = "k = Constant <value = int64[1] {2}> () y, i = TopK <axis = 1> (x, k)"
SUM = "a = Constant <value = int64[1] {1}> () y = ReduceSum (x, a)"
SHAPE = "s = Constant <value = int64[2] {1, 2048}> () y = Reshape (x, s)"


@pytest.mark.parametrize(
    ("sdk", "runtime", "body", "opset", "found"),
    [
        # 1.17: its converter reads what set 4 writes; ONNX infers some shapes from set 6 on only.
        ("1.17", "gpu", "y = Relu (x)", 6, set()),
        ("1.17", "gpu", SHAPE, 9, {"AX105", "AX107"}),
        ("1.17", "gpu", "y = Softmax <axis = 1> (x)", 4, {"AX105"}),
        ("1.17", "cpu", "y = LRN <size = 4> (x)", 4, set()),
        ("1.17", "gpu", "y = LRN <size = 4> (x)", 4, {"AX105"}),
        ("1.17", "gpu", "y = LRN <size = 5> (x)", 4, set()),
        ("1.17", "cpu", "y = AveragePool <kernel_shape=[3,3], pads=[1,1,1,1]> (x)", 4, set()),
        ("1.17", "gpu", "y = AveragePool <kernel_shape=[3,3], pads=[1,1,1,1]> (x)", 4, {"AX105"}),
        ("1.17", "gpu", "y = Slice <starts = [0], ends = [4], axes = [2]> (x)", 4, {"AX107"}),
        ("1.17", "gpu", "y = LeakyRelu <alpha = 0.2> (x)", 6, {"AX107"}),
        ("1.17", "gpu", "y = Clip (x)", 11, {"AX105", "AX108"}),
        ("1.17", "gpu", "y = Pad <pads = [0,0,1,1,0,0,1,1]> (x)", 4, {"AX101"}),
        # 1.43
        ("1.43", "gpu", "y = ArgMax <axis = 1, keepdims = 0> (x)", 9, {"AX105", "AX107"}),
        ("1.43", "cpu", "y = ArgMax <axis = 1, keepdims = 0> (x)", 9, {"AX107"}),
        # 2.5: what its converter does outweighs its page.
        ("2.5", "cpu", "y = Split <axis = 1> (x)", 11, set()),
        ("2.5", "cpu", TOP, 11, {"AX105", "AX108"}),
        ("2.5", "cpu", SUM, 13, {"AX105"}),
        ("2.5", "cpu", "y = Softmax <axis = 2> (x)", 11, {"AX107"}),
        ("2.5", "cpu", "y = Softmax <axis = 0> (x)", 11, {"AX105", "AX107"}),
        ("2.5", "cpu", "y = Cast <to = 6> (x)", 9, {"AX107", "AX108"}),
        ("2.5", "dsp", "y = Pad <pads = [0,0,1,1,0,0,1,1]> (x)", 10, set()),
        ("2.5", "dsp", "y = Pad <pads = [1,0,1,1,0,0,1,1]> (x)", 10, {"AX105"}),
        ("2.5", "dsp", "y = Pad <pads = [0,1,1,1,0,0,1,1]> (x)", 10, set()),
        ("2.5", "aip", "y = Relu (x)", 9, set()),
    ],
)
def test_rows_say_what_their_source_says(sdk, runtime, body, opset, found):
    judgement = check(model(IMAGE, body, opset), resolve_target(None, sdk, runtime))
    assert {f.code for f in judgement.findings} - {"AX102"} == found
