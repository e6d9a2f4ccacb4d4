from __future__ import annotations

import re

import pytest

from avatar_export.report.check_text import LISTED, dims, render
from tests.report.check_records import (
    HOSTILE,
    PORTS,
    clean,
    finding,
    hostile,
    judgement,
    model,
    run,
    sample,
)
from tests.report.log_readers import commands, old_commands, unprintable

SAMPLE = """\
frame.onnx for SNPE 2.5 gpu_float16 (adreno640)

error AX103: the runtime has no such layer (2 findings)
  AX103 GridSample /warp/GridSample (generator.warp): gpu_float16 has no such layer
  AX103 GridSample /warp_1/GridSample: gpu_float16 has no such layer
    fix: keep the warp outside the network
    source: layers.html, SNPE 2.5.0.4052

error AX205: slopes of a PRelu are lost (1 finding)
  AX205 PRelu /act/PRelu: slope [64] keeps 1 of 64 values
    fix: check --fix applies prelu-slope
    source: layers.html, SNPE 2.5.0.4052

unknown AX108: no document says whether the runtime has the layer (1 finding)
  AX108 Div /norm/Div: gpu_float16 has no such layer
    source: layers.html, SNPE 2.5.0.4052

warning AX102: the operator's version is outside the converter's list (1 finding)
  AX102 Resize /up/Resize: version 18 is outside 10 to 13
    source: layers.html, SNPE 2.5.0.4052

inputs and outputs that change their layout:
  output image: f32 [1, 3, H, ?] -> [1, H, ?, 3], NCHW -> NHWC

fixed: fixed.onnx
  prelu-slope: 1 node

frame.onnx: 3 errors, 2 warnings (1 unknown) for SNPE 2.5 gpu_float16 (adreno640); \
25 % of 4 nodes and 98 % of 0.96 GMAC are fine; 3 findings hidden

clean.onnx: fine for SNPE 2.5 gpu_float16 (adreno640); all 1 node, 0.95 GMAC
2 checked, 1 with errors
"""


def test_the_whole_sample() -> None:
    assert render(sample()) == SAMPLE


def test_a_clean_model_is_one_line() -> None:
    assert render(run(clean())) == (
        "clean.onnx: fine for SNPE 2.5 gpu_float16 (adreno640); all 1 node, 0.95 GMAC\n"
    )


def test_the_ports_of_a_clean_model_are_told() -> None:
    text = render(run(model(judged=judgement(ports=PORTS))))
    assert "  output image: f32 [1, 3, H, ?] -> [1, H, ?, 3], NCHW -> NHWC\n" in text
    assert "pose" not in text


def test_many_findings_of_a_code_are_cut() -> None:
    crowd = run(model(*(finding(node=f"n{k}", reason=f"{k} > 4") for k in range(17))))
    text = render(crowd)
    assert text.count("  AX103 GridSample ") == LISTED
    assert "  and 12 more of AX103; --verbose lists all\n" in text
    every = render(crowd, verbose=True)
    assert every.count("  AX103 GridSample ") == 17
    assert "more of" not in every


def test_verbose_lists_every_port() -> None:
    text = render(sample(), verbose=True)
    assert "inputs and outputs:\n  input  pose: f32 [1, 136]\n  output image" in text


def test_fix_and_source_stand_once_for_neighbours() -> None:
    alike = [finding(node=f"n{k}") for k in range(3)]
    text = render(run(model(*alike, finding(node="other", source="page 2"))))
    assert text.count("    source: ") == text.count("    fix: ") == 2


def test_colours_are_only_added() -> None:
    plain, coloured = render(sample()), render(sample(), colour=True)
    assert "\x1b" not in plain
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == plain
    assert "\x1b[1;31merror AX103" in coloured and "\x1b[1;32mclean.onnx" in coloured
    assert all(line.count("\x1b[") in (0, 2) for line in coloured.splitlines())


def test_dims() -> None:
    assert dims((1, "N", None)) == "[1, N, ?]"
    assert dims(()) == "[]"


@pytest.mark.parametrize("verbose", [False, True])
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_names(text: str, verbose: bool) -> None:
    shown = render(hostile(text), verbose=verbose)
    assert unprintable(shown) == commands(shown) == old_commands(shown) == []
    assert len(shown.splitlines()) == len(render(hostile("x"), verbose=verbose).splitlines())
    assert shown.encode("utf-8")
