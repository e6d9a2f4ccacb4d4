from __future__ import annotations

import html
import re

import pytest

from avatar_export.report.check_escape import printable
from avatar_export.report.check_markdown import LONGEST_COMMENT, code, plain, render
from avatar_export.report.check_summary import LEVELS
from tests.report.check_records import (
    HOSTILE,
    clean,
    finding,
    hostile,
    judgement,
    model,
    run,
    sample,
    warning,
)
from tests.report.log_readers import commands, old_commands, unprintable


def rows(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]


def shown(cell: str) -> str:
    """What a reader sees of a cell."""
    return html.unescape(re.sub(r"</?code>", "", cell)).replace("\u200b", "")


def test_the_summary_has_a_row_for_each_model() -> None:
    text = render(sample())
    summary = rows(text.partition("<details")[0])
    assert [shown(cell) for cell in summary[2]] == [
        "frame.onnx",
        "SNPE 2.5 gpu_float16 (adreno640)",
        "**3 errors, 2 warnings (1 unknown)**",
        "25 % of 4 nodes and 98 % of 0.96 GMAC are fine",
        "3",
    ]
    assert [shown(cell) for cell in summary[3]][2:] == ["fine", "all 1 node, 0.95 GMAC", "0"]


def test_findings_are_tables_by_code_worst_first() -> None:
    text = render(sample())
    heads = re.findall(r"^\*\*(\w+) (AX\d+)", text, re.MULTILINE)
    assert heads == [
        ("error", "AX103"),
        ("error", "AX205"),
        ("unknown", "AX108"),
        ("warning", "AX102"),
    ]
    row = next(r for r in rows(text) if "/warp/GridSample" in shown(r[0]))
    assert [shown(cell) for cell in row] == [
        "/warp/GridSample",
        "GridSample",
        "generator.warp",
        "gpu_float16 has no such layer",
        "keep the warp outside the network",
        "layers.html, SNPE 2.5.0.4052",
    ]


def test_models_with_errors_are_unfolded() -> None:
    assert "<details open><summary><code>frame.onnx</code>" in render(sample())
    assert "<details><summary>" in render(run(model(warning())))
    assert "<details" not in render(run(clean()))


def test_ports_and_fixes_are_told() -> None:
    text = render(sample())
    assert ["output", "image", "[1, 3, H, ?]", "[1, H, ?, 3]", "NCHW -> NHWC"] in [
        [shown(cell) for cell in row] for row in rows(text)
    ]
    assert "**Fixed:** <code>fixed.onnx</code>\n\n- prelu-slope: 1 node\n" in text


def test_long_lists_are_cut() -> None:
    text = render(run(model(*(finding(node=f"n{k}") for k in range(12)))))
    assert text.count("<code>n") == 10
    assert "\nand 2 more\n" in text


def test_a_comment_that_would_be_too_long_lists_less() -> None:
    def crowd(models: int, length: int) -> str:
        findings = [finding(node=f"n{k}", reason="r" * length) for k in range(10)]
        return render(run(*(model(*findings) for _ in range(models))))

    assert len(crowd(3, 900)) <= LONGEST_COMMENT
    assert crowd(3, 900).count("<code>n") == 30
    assert len(crowd(12, 900)) <= LONGEST_COMMENT
    assert crowd(12, 900).count("<code>n") == 36
    assert len(crowd(60, 900)) <= LONGEST_COMMENT
    assert crowd(60, 900).count("**error AX103") == 60


def test_plain_text_has_no_syntax_and_mentions_nobody() -> None:
    assert plain("a_b *c* [d](e)") == "a&#95;b &#42;c&#42; &#91;d&#93;(e)"
    assert plain("@team #1") == "&#64;&#8203;team &#35;&#8203;1"
    assert plain("<b>&amp;") == "&#60;b&#62;&#38;amp;"
    assert code("a|`b`") == "<code>a&#124;&#96;b&#96;</code>"
    assert code("") == ""


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_texts_come_out_as_they_went_in(text: str) -> None:
    for written in (plain(text), code(text)):
        assert shown(written) == printable(text)
        inner = written.removeprefix("<code>").removesuffix("</code>")
        assert re.sub(r"&#\d+;", "", inner).translate(dict.fromkeys(map(ord, "`|*_[]<>&@#"))) == (
            re.sub(r"&#\d+;", "", inner)
        )


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_names(text: str) -> None:
    page = render(hostile(text))
    assert unprintable(page) == commands(page) == old_commands(page) == []
    usual = render(hostile("x"))
    assert len(page.splitlines()) == len(usual.splitlines())
    assert [len(row) for row in rows(page)] == [len(row) for row in rows(usual)]
    tags = r"</?\w+[^>]*>"
    assert re.findall(tags, page) == re.findall(tags, usual)


def test_every_level_has_its_word() -> None:
    judged = judgement(finding(), warning())
    page = render(run(model(*judged.findings, judged=judged)))
    assert {word for word in LEVELS if f"**{word} AX" in page} == {"error", "warning"}
