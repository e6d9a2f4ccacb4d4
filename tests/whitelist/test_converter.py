"""The verdict against what a real converter and a real GPU validator said of small models."""

from __future__ import annotations

import gc
import json
import re
from collections import Counter
from functools import cache
from pathlib import Path

import onnx
import pytest

from avatar_export.whitelist.check import check
from avatar_export.whitelist.judgement import Judgement
from avatar_export.whitelist.targets import resolve_target
from avatar_export.whitelist.view import ModelView

DATA = Path(__file__).parent.parent / "data" / "converter" / "cases.jsonl"
DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "agreement.md"
MOVES = {"Transpose", "Reshape"}  # put in and taken out wherever the order of axes changes


@cache
def cases() -> dict[str, dict]:
    return {case["id"]: case for case in map(json.loads, DATA.read_text().splitlines())}


@cache
def judged(runtime: str) -> dict[str, Judgement]:
    target = resolve_target(None, "2.25", runtime)
    return {
        name: check(onnx.parser.parse_model(case["model"]), target)
        for name, case in cases().items()
    }


def refused(judgement: Judgement) -> bool:
    """Whether the converter is said to stop."""
    return any(f.code.startswith("AX1") for f in judgement.errors)


def silently_wrong(judgement: Judgement) -> bool:
    return any(f.code.startswith("AX2") for f in judgement.findings)


def documented(heading: str) -> set[str]:
    """Names of the cases in the table below a heading of the document."""
    section = DOCUMENT.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))


def test_refusals_agree_with_the_converter():
    wrong = {n for n, j in judged("cpu").items() if refused(j) == cases()[n]["converted"]}
    assert wrong == documented("Taken or refused")
    assert len(wrong) <= 0.03 * len(cases())


def test_models_that_become_others_are_found():
    differ = {n for n, case in cases().items() if case["numbers"] == "differ"}
    missed = {n for n in differ if not silently_wrong(judged("cpu")[n])}
    assert len(differ) > 30
    assert missed == documented("Faults that are not found")
    assert len(missed) <= 0.05 * len(differ)


def test_models_that_stay_what_they_are_are_left_alone():
    others = {n for n, c in cases().items() if c["converted"] and c["numbers"] != "differ"}
    flagged = {n for n in others if silently_wrong(judged("cpu")[n])}
    assert flagged == documented("Faults without a difference")
    assert len(flagged) <= 0.02 * len(others)


def test_what_is_supported_on_the_gpu_is_taken_by_a_newer_validator():
    clean = {n for n, judgement in judged("gpu").items() if judgement.clean}
    asked = {n for n in clean if cases()[n]["gpu"] in ("accepted", "refused")}
    wrong = {n for n in asked if cases()[n]["gpu"] == "refused"}
    assert len(asked) > 300
    assert wrong == documented("Supported, yet refused by the GPU validator")
    assert len(wrong) <= 0.02 * len(asked)


def test_operations_are_those_of_the_dlc():
    wrong = set()
    for name, judgement in judged("cpu").items():
        if not cases()[name]["converted"]:
            continue
        said = Counter(op for node in judgement.node_verdicts for op in node.operations)
        if set(said) - MOVES != set(cases()[name]["operations"]) - MOVES:
            wrong.add(name)
    assert wrong == documented("Other operations")


@pytest.mark.parametrize("runtime", ["cpu", "gpu"])
def test_every_case_has_a_verdict_for_every_node(runtime):
    for name, judgement in judged(runtime).items():
        assert judgement.node_verdicts, name


def as_nodes(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same model with Constant nodes for initializers, as PyTorch writes many."""
    nodes = [
        onnx.helper.make_node("Constant", [], [tensor.name], value=tensor)
        for tensor in model.graph.initializer
    ]
    nodes += model.graph.node
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def test_constants_may_be_initializers_or_nodes():
    target = resolve_target(None, "2.25", "cpu")
    for name, case in cases().items():
        node_form = check(as_nodes(onnx.parser.parse_model(case["model"])), target)
        plain = judged("cpu")[name]
        assert [(f.code, f.rule) for f in node_form.findings] == [
            (f.code, f.rule) for f in plain.findings
        ], name
        assert node_form.ports == plain.ports, name


def views() -> int:
    gc.collect()
    return sum(type(thing) is ModelView for thing in gc.get_objects())


def test_judged_models_do_not_stay_in_memory():
    model = onnx.parser.parse_model(cases()["pixelnorm"]["model"])
    before = views()
    for _ in range(5):
        check(model, resolve_target(None, "2.25", "cpu"))
    assert views() <= before + 2  # those that two small caches of rules look at


def test_the_numbers_of_the_document_are_those_found_here():
    taken = [refused(j) != cases()[n]["converted"] for n, j in judged("cpu").items()]
    differ = [n for n, case in cases().items() if case["numbers"] == "differ"]
    others = [n for n, c in cases().items() if c["converted"] and c["numbers"] != "differ"]
    wrong = {n: silently_wrong(judged("cpu")[n]) for n in (*differ, *others)}
    clean = [n for n, judgement in judged("gpu").items() if judgement.clean]
    asked = [n for n in clean if cases()[n]["gpu"] in ("accepted", "refused")]
    converted = sum(case["converted"] for case in cases().values())
    found = [
        (sum(taken), len(taken)),
        (sum(wrong[n] for n in differ), len(differ)),
        (sum(not wrong[n] for n in others), len(others)),
        (sum(cases()[n]["gpu"] == "accepted" for n in asked), len(asked)),
        (converted - len(documented("Other operations")), converted),
    ]
    head = DOCUMENT.read_text().split("\n## ")[0]
    told = re.findall(r"\| (\d+) of (\d+) \|$", head, re.MULTILINE)
    assert [(int(a), int(b)) for a, b in told] == found
