from __future__ import annotations

import json
from pathlib import Path

import pytest

from avatar_export.checking import repair
from avatar_export.checking.options import Options
from avatar_export.checking.run import run_checks
from avatar_export.checking.selection import Selection
from avatar_export.errors import ModelError, UserError
from avatar_export.whitelist.finding import Severity

from .judged import BAD, GOOD, OPEN, write

# Of SNPE 2.25: a slope of one dimension is lost without an error, and a pass mends it.
LOST = """(float[1,4,8,4] x) => (float[1,4,8,4] y)
    <float[4] s = {0.1, 0.2, 0.3, 0.4}> { y = PRelu (x, s) }"""


@pytest.fixture
def models(tmp_path, monkeypatch):
    """good.onnx, bad.onnx, open.onnx and junk.onnx in the current folder."""
    monkeypatch.chdir(tmp_path)
    for name, text in {"good": GOOD, "bad": BAD, "open": OPEN}.items():
        write(tmp_path / f"{name}.onnx", text)
    Path("junk.onnx").write_bytes(b"junk")
    return tmp_path


def run(*names, **given):
    return run_checks(Options(tuple(map(Path, names)), **given))


def codes(model):
    return {finding.code for finding in model.findings}


def test_every_model_on_every_target_in_order(models):
    outcome = run("good.onnx", "bad.onnx", sdks=("2.5", "2.25"))
    found = [(m.path, m.judgement.target.sdk, m.passed) for m in outcome.run.models]
    assert found == [
        ("good.onnx", "2.5", True),
        ("good.onnx", "2.25", True),
        ("bad.onnx", "2.5", False),
        ("bad.onnx", "2.25", False),
    ]
    assert outcome.exit_code == 1


def test_processes_change_nothing(models):
    paths = [write(models / f"{i}.onnx", BAD if i % 2 else GOOD) for i in range(4)]
    assert run(*paths, sdks=("2.5", "2.25"), jobs=2) == run(*paths, sdks=("2.5", "2.25"))


def test_an_unreadable_model_does_not_hide_the_others(models):
    outcome = run("bad.onnx", "junk.onnx", "good.onnx")
    assert [model.path for model in outcome.run.models] == ["bad.onnx", "good.onnx"]
    (failure,) = outcome.failures
    assert "junk.onnx" in failure.message
    assert outcome.exit_code == 2


def test_selection_decides_the_exit_code_and_counts_what_it_hides(models):
    outcome = run("bad.onnx", selection=Selection(ignore=("AX101",)))
    (model,) = outcome.run.models
    assert (codes(model), model.hidden, outcome.exit_code) == (set(), 1, 0)
    assert "AX101" in {f.code for f in model.judgement.findings}


def test_strict(models):
    lenient = run("open.onnx", selection=Selection(ignore=("AX106",)))
    strict = run("open.onnx", selection=Selection(ignore=("AX106",)), strict=True)
    assert (lenient.exit_code, strict.exit_code) == (0, 1)
    assert "AX110" in codes(strict.run.models[0])


def test_progress_names_each_model(models):
    lines: list[str] = []
    run_checks(Options((Path("good.onnx"), Path("bad.onnx"))), lines.append)
    assert lines == ["good.onnx", "bad.onnx"]


def test_a_baseline_excuses_and_complains_when_idle(models):
    file = models / "baseline.json"
    written = run("bad.onnx", "good.onnx", write_baseline=file)
    assert (written.exit_code, written.run.models[0].hidden) == (0, 1)
    assert run("bad.onnx", baseline=file).exit_code == 0
    write(models / "bad.onnx", GOOD)
    mended = run("bad.onnx", baseline=file)
    assert (codes(mended.run.models[0]), mended.exit_code) == ({"AX301"}, 1)
    assert run("good.onnx", baseline=file).exit_code == 0
    (models / "bad.onnx").unlink()
    assert codes(run("good.onnx", baseline=file).run.models[0]) == {"AX301"}


def test_no_baseline_is_written_when_a_model_cannot_be_read(models):
    outcome = run("bad.onnx", "junk.onnx", write_baseline=models / "b.json")
    assert not (models / "b.json").exists()
    assert (outcome.exit_code, codes(outcome.run.models[0])) == (2, {"AX101"})


def test_a_damaged_baseline_is_found_before_any_model_is_read(models):
    Path("b.json").write_text("{")
    with pytest.raises(UserError, match="is no baseline"):
        run("junk.onnx", baseline=Path("b.json"))


@pytest.mark.parametrize("option", ["fix", "out", "write_baseline"])
def test_no_model_is_written_over(models, option):
    before = Path("good.onnx").read_bytes()
    with pytest.raises(UserError, match="already in use"):
        run(".", **{option: Path("good.onnx")})
    assert Path("good.onnx").read_bytes() == before


def test_fix_writes_a_mended_model_and_judges_that(models):
    path = write(models / "prelu.onnx", LOST, opset=9)
    assert "AX205" in codes(run(path, sdks=("2.25",)).run.models[0])
    fixed = run(path, sdks=("2.25",), fix=Path("out.onnx"))
    (model,) = fixed.run.models
    assert (model.path, model.fixed, fixed.exit_code) == (str(path), "out.onnx", 0)
    assert "AX205" not in codes(model) and model.changes
    again = run("out.onnx", sdks=("2.25",))
    assert codes(again.run.models[0]) == codes(model)


def test_a_cure_that_brings_another_finding_to_light_is_followed_by_its_cure(models, monkeypatch):
    """The findings of each round name the cures of the next; none is applied twice."""
    path = write(models / "prelu.onnx", LOST, opset=9)
    rounds = [["prelu-slope"], ["prelu-slope", "drop-identity"], ["drop-identity"]]
    asked = []

    def mend(model, cures, targets, verify):
        asked.append(cures)
        return model, {}

    monkeypatch.setattr(repair, "named_cures", lambda _: rounds.pop(0))
    monkeypatch.setattr(repair, "mend", mend)
    run(path, fix=Path("out.onnx"))
    assert asked == [["prelu-slope"], ["drop-identity"]]


def test_what_cannot_be_proved_is_not_written_unless_asked_for(models):
    path = write(models / "prelu.onnx", LOST, opset=6)  # ONNX Runtime has no PRelu of that set
    with pytest.raises(ModelError) as error:
        run(path, sdks=("2.25",), fix=Path("out.onnx"))
    assert "--no-verify" in error.value.hint and not Path("out.onnx").exists()
    (model,) = run(path, sdks=("2.25",), fix=Path("out.onnx"), verify=False).run.models
    assert "AX205" not in codes(model) and model.changes[-1].startswith("not verified")


def test_a_dry_run_names_the_cures_and_writes_nothing(models):
    path = write(models / "prelu.onnx", LOST, opset=9)
    outcome = run(path, sdks=("2.25",), fix=Path("out.onnx"), dry_run=True)
    (model,) = outcome.run.models
    assert model.fixed == "" and not Path("out.onnx").exists()
    assert model.changes[0].startswith("would apply prelu-slope: AX205 at ")
    assert outcome.exit_code == 1


def test_what_has_no_cure_is_left_and_decides_the_exit_code(models):
    outcome = run("bad.onnx", fix=Path("out.onnx"))
    (model,) = outcome.run.models
    assert ("AX101" in codes(model), model.changes, outcome.exit_code) == (True, (), 1)
    assert Path("out.onnx").is_file()


def test_fix_mends_one_onnx_model(models):
    with pytest.raises(UserError, match="mends one model, and 2 are given"):
        run("good.onnx", "bad.onnx", fix=Path("out.onnx"))
    Path("m.dlc").write_bytes(b"PK\x03\x04")
    with pytest.raises(UserError, match="is a DLC"):
        run("m.dlc", fix=Path("out.onnx"))


def test_a_second_opinion_adds_warnings_only(models, monkeypatch):
    from avatar_export.dlc.qnngpu import NodeOpinion, SecondOpinion

    opinion = SecondOpinion("2.51", (NodeOpinion("Relu_0", "Relu", "refused", "3110"),))
    monkeypatch.setattr("avatar_export.dlc.qnngpu.ask", lambda _: opinion)
    outcome = run("good.onnx", second_opinion=True)
    (said,) = outcome.run.models[0].findings
    assert (said.code, said.severity, outcome.exit_code) == ("AX302", Severity.WARNING, 0)
    file = models / "b.json"
    run("good.onnx", second_opinion=True, write_baseline=file)
    assert [entry["code"] for entry in json.loads(file.read_text())["entries"]] == ["AX302"]


def test_an_input_is_given_to_the_models_that_have_it(models):
    write(models / "other.onnx", "(float[2,3] z) => (float[2,3] y) { y = Relu (z) }")
    shape = {"x": (1, 4, 8, 8)}
    before = run("open.onnx", "other.onnx").run.models
    opened, other = run("open.onnx", "other.onnx", inputs=shape).run.models
    assert codes(opened) < codes(before[0])
    assert other.judgement == before[1].judgement


def test_an_input_that_no_model_has_is_an_error(models):
    with pytest.raises(UserError, match="no model has an input 'q'"):
        run("good.onnx", "open.onnx", inputs={"q": (1,)})
    (failure,) = run("open.onnx", inputs={"q": (1,)}).failures
    assert "no input" in failure.message
