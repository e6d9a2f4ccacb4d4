from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

import avatar_export
from avatar_export.optimizing.record import Optimization
from avatar_export.report.optimize_json import FORMAT, render
from tests.report.check_records import HOSTILE
from tests.report.optimize_records import local, sample, step
from tests.report.schemas import OURS, complaints, load, renamed
from tests.report.test_check_json import paths


def parse(result: Optimization) -> Any:
    return json.loads(render(result))


SAMPLE = parse(sample())


@pytest.mark.parametrize("result", [sample(), local(), sample(dropped=("w",))])
def test_results_fit_the_schema(result: Optimization) -> None:
    assert complaints("optimize", parse(result)) == []


@pytest.mark.parametrize("path", paths(SAMPLE), ids=lambda path: ".".join(map(str, path)))
def test_the_schema_misses_every_field_and_sees_every_new_one(path: tuple[Any, ...]) -> None:
    assert len(complaints("optimize", renamed(SAMPLE, path))) >= 2


def test_readers_may_meet_new_fields() -> None:
    jsonschema.validate({**SAMPLE, "new": 1}, load(OURS / "optimize.schema.json"))


def test_what_is_told() -> None:
    assert SAMPLE["format"] == FORMAT
    assert SAMPLE["tool"] == {"name": "avatar-export", "version": avatar_export.__version__}
    assert (SAMPLE["model"], SAMPLE["out"]) == ("m.onnx", "out.onnx")
    assert SAMPLE["target"] == {"name": "adreno640", "sdk": "2.5", "runtime": "gpu_float16"}
    assert SAMPLE["nodes"] == {"before": 70, "after": 56}
    assert SAMPLE["macs"] == {"before": 4_314_000_000, "after": 2_494_000_000}
    assert SAMPLE["estimated_ms"] == {"before": 27.14, "after": 17.3}
    assert SAMPLE["worst"] == 2.5e-7
    assert SAMPLE["findings"] == {
        "before": {"errors": 1, "warnings": 2},
        "after": {"errors": 0, "warnings": 0},
    }


def test_what_is_told_of_a_pass() -> None:
    assert [one["name"] for one in SAMPLE["passes"]] == [
        "onnxsim", "fold-batch-norm", "upsample-conv", "merge-siblings",
    ]  # fmt: skip
    assert SAMPLE["passes"][2] == {
        "name": "upsample-conv",
        "why": "why upsample-conv",
        "changes": ["conv_9: one transposed convolution"],
        "notes": ["conv_3 stays: so"],
        "nodes": {"before": 60, "after": 56},
        "macs": {"before": 4_314_000_000, "after": 2_494_000_000},
        "estimated_ms": {"before": 26.0, "after": 17.3},
        "worst": 2.5e-7,
    }


def test_without_a_chip() -> None:
    content = parse(local())
    assert content["target"] == {"name": "onnxruntime", "sdk": None, "runtime": None}
    assert content["findings"] == {"before": None, "after": None}
    assert (content["worst"], content["verified"], content["out"]) == (None, False, "")


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_names_are_kept(text: str) -> None:
    passes = (step("p", sample().before, sample().after, (text,)),)
    content = parse(sample(passes=passes))
    assert complaints("optimize", content) == []
    told = content["passes"][0]["changes"][0]
    assert told == text.replace("\udcff", "\\udcff").replace("\ud800", "\\ud800")
