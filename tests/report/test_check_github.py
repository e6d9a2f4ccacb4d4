from __future__ import annotations

import pytest

from avatar_export.checking.record import CheckRun
from avatar_export.report.check_github import LISTED, SHOWN, render
from avatar_export.whitelist.codes import known_codes
from tests.report.check_records import (
    HOSTILE,
    clean,
    finding,
    hostile,
    model,
    run,
    sample,
    unknown,
    warning,
)
from tests.report.log_readers import Command, commands, old_commands, unprintable

CODES = list(known_codes())


def told(checked: CheckRun) -> list[Command]:
    return commands(render(checked))


def test_an_annotation_for_each_code_worst_first() -> None:
    found = told(sample())
    assert [(c.name, c.properties["title"].split(":")[0]) for c in found] == [
        ("error", "AX103"),
        ("error", "AX205"),
        ("warning", "AX108"),
        ("warning", "AX102"),
    ]
    assert found[0].properties == {
        "file": "frame.onnx",
        "title": "AX103: the runtime has no such layer",
    }
    assert found[0].message == (
        "2 findings on SNPE 2.5 gpu_float16 (adreno640)\n"
        "GridSample /warp/GridSample (generator.warp): gpu_float16 has no such layer; "
        "fix: keep the warp outside the network\n"
        "GridSample /warp_1/GridSample: gpu_float16 has no such layer; "
        "fix: keep the warp outside the network"
    )


def test_exact_escapes() -> None:
    text = render(run(model(finding(reason="50% of\n4", fix=""), path="a,b:c.onnx")))
    assert text.splitlines()[0] == (
        "::error file=a%2Cb%3Ac.onnx,title=AX103%3A the runtime has no such layer"
        "::1 finding on SNPE 2.5 gpu_float16 (adreno640)"
        "%0AGridSample /warp/GridSample: 50%25 of\\n4"
    )


def test_each_model_has_its_line_after_the_annotations() -> None:
    lines = render(sample()).splitlines()
    assert lines[-2].startswith("frame.onnx: 3 errors, 2 warnings (1 unknown) for SNPE 2.5")
    assert lines[-1].startswith("clean.onnx: fine for SNPE 2.5")


def test_a_clean_run_annotates_nothing() -> None:
    assert told(run(clean())) == []
    assert render(run(clean())).startswith("clean.onnx: fine")


def test_long_lists_are_cut() -> None:
    (one,) = told(run(model(*(finding(node=f"n{k}") for k in range(LISTED + 3)))))
    assert one.message.count("GridSample n") == LISTED
    assert one.message.endswith("\nand 3 more")


def test_no_more_than_github_shows() -> None:
    """Errors of all models, then warnings, ten of each; a notice tells of the rest."""
    errors = [finding(code) for code in CODES[:8]]
    warnings = [warning(code) for code in CODES[:7]]
    found = told(run(*(model(*warnings, *errors, unknown(), path=f"{k}.onnx") for k in range(2))))
    assert [c.name for c in found] == ["error"] * SHOWN + ["warning"] * SHOWN + ["notice"]
    # 16 annotations of errors and 2 + 14 of warnings.
    assert found[-1].message == "12 more annotations left out: GitHub shows 10 of a kind"
    assert [c.properties["title"][:5] for c in found if c.name == "warning"][:2] == ["AX108"] * 2


def test_exactly_as_many_as_github_shows_need_no_notice() -> None:
    found = told(run(model(*(finding(code) for code in CODES[:SHOWN]))))
    assert [c.name for c in found] == ["error"] * SHOWN


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_names(text: str) -> None:
    page = render(hostile(text))
    assert unprintable(page) == old_commands(page) == []
    assert len(page.splitlines()) == 2
    (one,) = commands(page)
    assert one.name == "error"
    assert list(one.properties) == ["file", "title"]
    assert one.properties["title"] == "AX103: the runtime has no such layer"
    assert len(one.message.splitlines()) == 2
