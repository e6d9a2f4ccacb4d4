from __future__ import annotations

from avatar_export.report.markdown_table import table


def test_bars_are_escaped() -> None:
    assert table(["a", "b"], [["x|y", 3]]) == "| a | b |\n| --- | --- |\n| x\\|y | 3 |"


def test_no_rows() -> None:
    assert table(["a"], []) == "| a |\n| --- |"
