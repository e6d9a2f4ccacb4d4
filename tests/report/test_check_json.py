from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

import avatar_export
from avatar_export.report.check_json import FORMAT, render, result
from tests.report.check_records import HOSTILE, clean, finding, hostile, model, run, sample, warning
from tests.report.schemas import OURS, complaints, load, renamed


def parse(text: str) -> Any:
    return json.loads(text)


def test_the_sample_fits_the_schema() -> None:
    assert complaints("check", parse(render(sample()))) == []


def test_a_model_with_nothing_to_say_fits_the_schema() -> None:
    assert complaints("check", parse(render(run(clean())))) == []
    assert complaints("check", parse(render(run()))) == []


def paths(content: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where the fields of the objects are, the first element of each list only."""
    if isinstance(content, list):
        return paths(content[0], (*at, 0)) if content else []
    if not isinstance(content, dict):
        return []
    own = [(*at, key) for key in content]
    return own + [p for key, value in content.items() for p in paths(value, (*at, key))]


SAMPLE = parse(render(sample()))


@pytest.mark.parametrize("path", paths(SAMPLE), ids=lambda path: ".".join(map(str, path)))
def test_the_schema_misses_every_field_and_sees_every_new_one(path: tuple[Any, ...]) -> None:
    assert len(complaints("check", renamed(SAMPLE, path))) >= 2


def test_readers_may_meet_new_fields() -> None:
    jsonschema.validate({**SAMPLE, "new": 1}, load(OURS / "check.schema.json"))


def test_the_order_of_the_keys() -> None:
    assert list(SAMPLE) == ["format", "tool", "models", "exit_code"]
    assert list(SAMPLE["models"][0]) == [
        *("path", "target", "verdict", "passed", "findings", "summary", "ports", "nodes"),
        *("fixed", "changes"),
    ]


def test_what_is_told_of_the_run() -> None:
    assert SAMPLE["format"] == FORMAT
    assert SAMPLE["tool"] == {"name": "avatar-export", "version": avatar_export.__version__}
    assert SAMPLE["exit_code"] == 1
    assert result(run(model(warning())))["exit_code"] == 0


def test_what_is_told_of_a_model() -> None:
    full, fine = SAMPLE["models"]
    assert (full["path"], full["verdict"], full["passed"]) == ("frame.onnx", "unsupported", False)
    assert full["target"]["runtime"] == "gpu_float16"
    assert full["fixed"] == "fixed.onnx" and full["changes"] == ["prelu-slope: 1 node"]
    assert full["ports"][1]["shape"] == [1, 3, "H", None]
    assert (fine["verdict"], fine["passed"], fine["findings"]) == ("supported", True, [])


def test_findings_keep_the_order_of_the_model() -> None:
    codes = [f["code"] for f in SAMPLE["models"][0]["findings"]]
    assert codes == ["AX102", "AX108", "AX103", "AX103", "AX205"]


def test_the_summary_adds_up() -> None:
    summary = SAMPLE["models"][0]["summary"]
    assert summary == {
        "errors": 3,
        "warnings": 2,
        "hidden": 3,
        "nodes": 4,
        "nodes_by_verdict": {"supported": 1, "constrained": 1, "unsupported": 1, "unknown": 1},
        "macs": 960_000_000,
        "macs_by_verdict": {
            "supported": 950_000_000,
            "constrained": 0,
            "unsupported": 5_000_000,
            "unknown": 5_000_000,
        },
    }


def test_only_what_is_left_of_the_findings_is_told() -> None:
    judged = model(finding(), warning()).judgement
    told = parse(render(run(model(hidden=2, judged=judged))))["models"][0]
    assert (told["findings"], told["verdict"], told["summary"]["hidden"]) == ([], "supported", 2)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_names_are_kept(text: str) -> None:
    content = parse(render(hostile(text)))
    assert complaints("check", content) == []
    told = content["models"][0]["findings"][0]["node"]
    assert told == text.replace("\udcff", "\\udcff").replace("\ud800", "\\ud800")
