from __future__ import annotations

from pathlib import Path

from avatar_export.report.text import render
from avatar_export.whitelist.finding import Severity
from tests.conversion.converted import sample_conversion
from tests.conversion.records import HALF, conversion, finding, graph, parity

OUT = Path("build")


def test_the_sample_in_a_few_lines() -> None:
    record = sample_conversion().record
    lines = render(record, OUT).splitlines()
    assert lines[0] == (
        "frame_baked.onnx fits Adreno 640 (Snapdragon 855 (SM8150)), SNPE 2.5, gpu_float16"
    )
    assert [line.split()[0] for line in lines[2:7]] == [g.file for g in record.graphs]
    assert lines[-2].startswith(f"parity: {len(record.parity)} comparisons passed, worst diff")
    assert lines[-2].endswith(" dB")
    assert lines[-1] == f"report: {OUT / 'report.md'}"
    assert all(len(line) <= 120 for line in lines)


def test_explain_lists_every_pass_and_change() -> None:
    record = sample_conversion().record
    text = render(record, OUT, explain=True)
    for made in record.graphs:
        for step in made.passes:
            assert f"    {step.name}: {step.nodes_before} -> {step.nodes_after} nodes" in text
            assert all(f"      {change}\n" in text for change in step.changes)
    assert set(render(record, OUT).splitlines()) <= set(text.splitlines())


def test_findings_are_counted() -> None:
    warned = graph("frame.onnx", finding(), finding("AX102", Severity.WARNING))
    lines = render(conversion(warned), OUT).splitlines()
    assert lines[0].startswith("frame.onnx does NOT fit Adreno 640")
    assert lines[2].endswith("1 errors, 1 warnings on gpu_float16")
    assert render(conversion(graph()), OUT).splitlines()[2].endswith("clean on gpu_float16")


def test_dlc_stands_beside_its_graph() -> None:
    entry = graph()
    entry.dlc_file = "frame_baked.dlc"
    assert render(conversion(entry), OUT).splitlines()[2].endswith("  + frame_baked.dlc")


def test_the_worst_of_each_kind_of_parity() -> None:
    exact = [parity(max_abs=3e-6), parity(max_abs=2e-6)]
    half = [
        parity("fp16 picture", "image", max_abs=0.3, psnr_db=db, tolerance=HALF)
        for db in (52.0, 47.5)
    ]
    text = render(conversion(parities=(*exact, *half)), OUT)
    assert "parity: 4 comparisons passed, worst difference 3.0e-06; float16 47.5 dB\n" in text
    assert "; float16" not in render(conversion(parities=tuple(exact)), OUT)


def test_notes_are_told() -> None:
    record = conversion()
    record.notes.append("something to know")
    assert "\nnote: something to know\n" in render(record, OUT)
