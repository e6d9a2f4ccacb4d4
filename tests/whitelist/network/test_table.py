from __future__ import annotations

import pytest

from avatar_export.errors import ModelError
from avatar_export.resources import layer_whitelist
from avatar_export.whitelist.network.table import load_operation_table, read_operation_table

FILE = layer_whitelist() / "dlc_operations.toml"


def test_rows_say_what_is_particular():
    table = load_operation_table()
    assert table.row("Conv2d").early == "Convolution"
    assert sorted(table.row("Conv2d").weight) == [0, 1, 2, 3]
    assert table.row("Nonsense").attributes == {}


def test_precision_rows_name_their_source():
    assert all(row.source and row.reason for row in load_operation_table().precision)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('early = "ArgMax"', 'erly = "ArgMax"', "erly"),
        ('parameter = "arg_type"', "", "parameter"),
        ('code = "AX107"', 'code = "AX999"', "unknown: AX999"),
        ("[types.Arg]", "[more]\n[types.Arg]", "unknown: more"),
        ("[types.Arg]", "[types.Arg", "dlc_operations.toml"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, old, new, message):
    text = FILE.read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "dlc_operations.toml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ModelError, match=message) as caught:
        read_operation_table(path)
    assert str(path) in caught.value.message


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"gone\.toml"):
        read_operation_table(tmp_path / "gone.toml")
