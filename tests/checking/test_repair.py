from __future__ import annotations

import onnx
import pytest

from avatar_export.checking import repair
from avatar_export.checking.counting import Counting
from avatar_export.checking.judging import Question
from avatar_export.checking.repair import mend, named_cures, plan, told
from avatar_export.checking.selection import read_selection
from avatar_export.errors import UserError
from avatar_export.whitelist.tables import load_sdk
from avatar_export.whitelist.targets import resolve_target
from tests.onnx_file.models import with_weight_file

from .judged import GOOD, checked, finding, write


def test_cures_are_named_once_with_all_their_places():
    cured = [finding("AX205", node, cure="prelu-slope") for node in ("a", "b", "a")]
    models = [checked(*cured, finding("AX101")), checked(finding("AX102", "c", cure="lower"))]
    cures = named_cures(models)
    assert cures == {"prelu-slope": ("AX205 at a", "AX205 at b"), "lower": ("AX102 at c",)}
    assert plan(cures) == (
        "would apply prelu-slope: AX205 at a, AX205 at b",
        "would apply lower: AX102 at c",
    )


def test_the_lowest_opset_of_the_targets_is_asked_for(monkeypatch):
    asked = []

    def apply_cures(model, names, *, opset, verify):
        asked.append((tuple(names), opset))
        return model, []

    monkeypatch.setattr("avatar_export.passes.cures.order.apply_cures", apply_cures)
    targets = [resolve_target(None, sdk) for sdk in ("2.35", "1.43")]
    mend(onnx.ModelProto(), ["a"], targets)
    opsets = [load_sdk(target.sdk).facts.export_opset for target in targets]
    assert asked == [(("a",), min(opsets))]


def test_what_was_done_is_told_line_by_line():
    applied = {"a": ("n became m", "k stays"), "b": ()}
    assert told(applied, verified=True) == ("a: n became m", "a: k stays")
    assert told(applied, verified=False)[2].startswith("not verified")
    assert told({}, verified=False) == ()


def test_a_dlc_is_refused(tmp_path):
    (tmp_path / "m").write_bytes(b"PK\x03\x04")
    with pytest.raises(UserError, match="is a DLC"):
        repair.refuse_dlc(tmp_path / "m")
    repair.refuse_dlc(write(tmp_path / "m.onnx", GOOD))


def test_the_weights_of_the_model_are_not_written_over(tmp_path):
    path = with_weight_file(tmp_path)
    before = (tmp_path / "w.data").read_bytes()
    question = Question((resolve_target(None, "2.25"),), {})
    counting = Counting(False, read_selection((), ()), None)
    for out in ("w.data", "w"):  # "w" would put large weights into w.data
        with pytest.raises(UserError, match="already in use"):
            repair.repair(path, tmp_path / out, question, counting)
    assert (tmp_path / "w.data").read_bytes() == before
