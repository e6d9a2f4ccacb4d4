from __future__ import annotations

import json
import math
from typing import Any

import pytest

from avatar_export.report.json_report import FORMAT, render, report
from tests.conversion.converted import sample_conversion
from tests.conversion.records import HALF, conversion, dlc, finding, graph, parity


def refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")


def parse(text: str) -> Any:
    return json.loads(text, parse_constant=refuse)


def test_the_file_is_the_record() -> None:
    made = sample_conversion()
    text = (made.folder / "report.json").read_text()
    assert text == render(made.record)
    assert text.endswith("}\n")
    content = parse(text)
    assert content["format"] == FORMAT
    assert content["fits"] is True
    assert {g["file"] for g in content["graphs"]} == {g.file for g in made.record.graphs}
    assert len(content["parity"]) == len(made.record.parity)


def test_every_pass_tells_what_it_changed() -> None:
    for entry in parse(render(sample_conversion().record))["graphs"]:
        for step in entry["passes"]:
            assert step["name"] and step["why"]
            assert all(isinstance(change, str) for change in step["changes"])
            assert step["nodes_before"] > 0 and step["macs_before"] > 0


def test_findings_are_listed_one_by_one() -> None:
    content = parse(render(conversion(graph("frame.onnx", finding(), finding(node="m")))))
    assert content["fits"] is False
    judged = content["graphs"][0]["judgement"]
    assert [f["node"] for f in judged["findings"]] == ["n", "m"]
    assert judged["findings"][0]["severity"] == "error"
    assert judged["target"]["runtime"] == "gpu_float16"


def test_equal_images_have_an_infinite_psnr_as_text() -> None:
    same = parity("fp16", "image", max_abs=0.0, psnr_db=math.inf, tolerance=HALF)
    broken = parity(max_abs=math.nan)
    first, second = parse(render(conversion(parities=(same, broken))))["parity"]
    assert (first["psnr_db"], first["passed"]) == ("inf", True)
    assert (second["max_abs"], second["passed"]) == ("nan", False)


def test_a_number_that_is_no_json_is_never_written() -> None:
    entry = graph()
    object.__setattr__(entry.passes[0], "worst", math.nan)
    try:
        with pytest.raises(ValueError, match="JSON compliant"):
            render(conversion(entry))
    finally:
        object.__setattr__(entry.passes[0], "worst", 0.0)


def test_half_precision_and_dlc() -> None:
    written, half = graph(), graph("frame_baked.fp16.onnx", half=True)
    written.dlc, written.dlc_file = dlc(), "frame_baked.dlc"
    one, two = parse(render(conversion(written, half)))["graphs"]
    assert (one["dlc"], one["fp16"]) == ("frame_baked.dlc", None)
    assert (two["dlc"], two["judgement"], two["dlc_note"]) == (None, None, "nothing writes it")
    assert two["fp16"]["bytes_after"] == 600


def test_keys_are_a_contract() -> None:
    content = report(conversion())
    assert list(content) == [
        *("format", "run", "enhancer", "target", "fits", "tools", "graphs", "parity", "notes")
    ]
