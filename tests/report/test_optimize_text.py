from __future__ import annotations

import pytest

from avatar_export.optimizing.record import Cost
from avatar_export.report.optimize_text import render
from tests.report.check_records import HOSTILE
from tests.report.optimize_records import START, local, sample, step

SAMPLE = """\
pass             changes  nodes     GMAC            estimated ms  difference
fold-batch-norm  2        70 -> 60  4.314           27.1 -> 26    2.5e-07
upsample-conv    1        60 -> 56  4.314 -> 2.494  26 -> 17.3    2.5e-07

left alone: upsample-conv 1, merge-siblings 2; --explain says why

4.314 -> 2.494 GMAC, 70 -> 56 nodes, estimated 27.1 -> 17.3 ms on adreno640
estimates: published figures: +-40 %
findings for SNPE 2.5 gpu_float16 (adreno640): 1 error, 2 warnings -> none
written: out.onnx
"""


def test_the_sample() -> None:
    assert render(sample()) == SAMPLE


def test_explain_lists_every_change_and_note() -> None:
    text = render(sample(), explain=True)
    assert (
        "upsample-conv: why upsample-conv\n"
        "  conv_9: one transposed convolution\n"
        "  note: conv_3 stays: so\n"
        "\n"
        "merge-siblings: why merge-siblings\n"
        "  note: a stays: dearer\n"
        "  note: b stays: dearer\n"
    ) in text
    assert "left alone" not in text and "onnxsim" not in text
    assert text.splitlines()[-4:] == SAMPLE.splitlines()[-4:]


def test_without_a_chip_nothing_is_said_of_findings() -> None:
    text = render(local())
    assert "findings" not in text
    assert "ms on onnxruntime\n" in text


def test_what_was_not_run_and_not_written_says_so() -> None:
    lines = render(local()).splitlines()
    assert lines[1].endswith("not run")
    assert lines[-1] == "nothing written; not verified: the model was not run"


def test_nothing_to_do() -> None:
    text = render(sample(passes=(step("onnxsim", START, START),)))
    assert text.startswith("no pass found anything to change\n\n4.314 GMAC, 70 nodes, estimated")


@pytest.mark.parametrize(
    ("macs", "said"),
    [
        (0, "0.000 kMAC"),
        (1_180_000, "1.180 MMAC"),
        (99_999, "99.999 kMAC"),
        (100_000, "0.100 MMAC"),
        (100_000_000, "0.100 GMAC"),
    ],
)
def test_the_unit_fits_the_model(macs: int, said: str) -> None:
    cost = Cost(1, macs, None)
    text = render(sample(passes=(step("p", cost, cost, ("a",)),)))
    assert f"\n{said}, 1 node\n" in text
    assert f"  {said.split()[1]}  " in text.splitlines()[0]


def test_inputs_that_are_gone_are_named_up_to_five() -> None:
    assert "no input any more: w, b\n" in render(sample(dropped=("w", "b")))
    many = render(sample(dropped=tuple("abcdefg")))
    assert "no input any more: a, b, c, d, e and 2 more\n" in many


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_names_steer_nothing(text: str) -> None:
    passes = (step("p", START, START, (f"{text}: gone",), (f"{text} stays",)),)
    said = render(sample(out=text, passes=passes, dropped=(text,)), explain=True)
    assert len(said.splitlines()) == 12
    assert not any(line.lstrip().startswith("::") for line in said.splitlines())
    assert "\x1b" not in said and "##[" not in said and "##vso[" not in said
