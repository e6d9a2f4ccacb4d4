from __future__ import annotations

import re

from avatar_export.report.markdown import giga, render
from avatar_export.whitelist.finding import Severity
from tests.conversion.converted import sample_conversion
from tests.conversion.records import HALF, conversion, dlc, finding, graph, parity


def tables(text: str) -> list[list[str]]:
    """Blocks of lines that begin with a bar."""
    blocks = re.split(r"\n(?!\|)", text)
    return [
        [line for line in block.splitlines() if line.startswith("|")]
        for block in blocks
        if "\n|" in block or block.startswith("|")
    ]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def section(text: str, title: str) -> str:
    return text.split(f"## {title}\n")[1].split("\n## ")[0]


def test_giga() -> None:
    assert giga(1_234_567_890) == "1.235"


def test_every_table_has_equal_rows() -> None:
    texts = [render(sample_conversion().record), render(conversion(graph()))]
    for text in texts:
        found = tables(text)
        assert len(found) >= 4
        for rows in found:
            assert {len(cells(row)) for row in rows} == {len(cells(rows[0]))}
            assert set(cells(rows[1])) == {"---"}


def test_sections_stand_in_order() -> None:
    text = render(sample_conversion().record)
    titles = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert titles == ["Verdict", "Files", "Parity", "Passes", "Half precision", "DLC"]
    assert text.startswith("# portrait_main, epoch 2225 and portrait_enhancer, epoch 1225\n")
    assert "The per-frame graph fits Snapdragon 855 (SM8150), Adreno 640: SNPE 2.5" in text
    assert "](parity.png)" in text
    assert text.endswith("\n") and not text.endswith("\n\n")


def test_every_graph_has_its_rows() -> None:
    record = sample_conversion().record
    text = render(record)
    for title, column in (("Verdict", 0), ("Files", 0), ("Parity", 1)):
        (rows,) = tables(section(text, title))
        named = {cells(row)[column] for row in rows[2:]}
        judged = {g.file for g in record.graphs if g.judgement is not None}
        assert named == (judged if title == "Verdict" else {g.file for g in record.graphs})


def test_what_does_not_fit_is_said() -> None:
    text = render(conversion(graph("frame.onnx", finding())))
    assert "does **not** fit" in text
    assert "parity.png" not in text


def test_findings_of_a_kind_are_one_line_errors_first() -> None:
    warning = finding("AX102", Severity.WARNING, "Add", "a")
    nodes = [finding(node=f"e{k}") for k in range(3)]
    text = section(render(conversion(graph("frame.onnx", warning, *nodes))), "Verdict")
    lines = [line for line in text.splitlines() if line.startswith("- ")]
    assert lines == [
        "- frame.onnx: AX103 error, 3 x Erf, first e0: no such layer. Fix: avoid it."
        " Source: page 1",
        "- frame.onnx: AX102 warning, 1 x Add, first a: no such layer. Fix: avoid it."
        " Source: page 1",
    ]
    (rows,) = tables(text)
    assert cells(rows[2]) == ["frame.onnx", "gpu_float16", "errors", "3", "1", "7"]


def test_adaptive_parameters_are_one_row() -> None:
    adaptive = [
        parity(output=f"inf_weight_{k:02d}", subject="avatar.onnx", max_abs=k * 1e-6)
        for k in range(4)
    ]
    half = parity("fp16", "image", max_abs=0.01, psnr_db=51.26, tolerance=HALF)
    text = render(conversion(parities=(parity(), *adaptive, half)))
    (rows,) = tables(section(text, "Parity"))
    assert [cells(row)[3] for row in rows[2:]] == ["mask", "image", "4 adaptive parameters"]
    assert cells(rows[3])[4:] == ["0.01", "51.3", "", "PSNR >= 40.0 dB", "passed"]
    assert cells(rows[4])[4] == "3e-06"


def test_a_failed_comparison_is_said() -> None:
    failed = parity(max_abs=1.0)
    adaptive = parity(output="inf_bias_00", max_abs=1.0)
    text = render(conversion(parities=(failed, adaptive)))
    (rows,) = tables(section(text, "Parity"))
    assert [cells(row)[-1] for row in rows[2:]] == ["FAILED", "FAILED"]


def test_reasons_of_passes_may_hold_bars() -> None:
    assert "then \\| fold" in section(render(conversion()), "Passes")


def test_half_precision_graphs_have_no_passes_of_their_own() -> None:
    text = render(conversion(graph(), graph("frame_baked.fp16.onnx", half=True)))
    assert "### frame.onnx" in text
    assert "### frame_baked.fp16.onnx" not in text


def test_dlc_or_the_reason_why_there_is_none() -> None:
    written, missing = graph(), graph("avatar.onnx")
    written.dlc, written.dlc_file = dlc("old format"), "frame_baked.dlc"
    text = section(render(conversion(written, missing)), "DLC")
    assert "- **frame_baked.dlc**, by snpe-onnx-to-dlc 2.5.0: pose [1, 136] (NF)" in text
    assert "  - warning: old format" in text
    assert "- avatar.onnx: no DLC. nothing writes it" in text


def test_notes_come_last() -> None:
    record = conversion()
    record.notes.append("something to know")
    assert render(record).endswith("## Notes\n\n- something to know\n")
