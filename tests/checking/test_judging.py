from __future__ import annotations

import pytest

from avatar_export.checking import judging
from avatar_export.checking.judging import Question, judge, judge_all
from avatar_export.dlc.qnngpu import NodeOpinion, SecondOpinion
from avatar_export.errors import ModelError, UserError
from avatar_export.whitelist.judgement import Judgement
from avatar_export.whitelist.targets import resolve_target

from .judged import BAD, GOOD, OPEN, write

TARGETS = (resolve_target(None, "2.25", "gpu"), resolve_target(None, "2.5", "cpu"))
PLAIN = Question(TARGETS, {})


def codes(judged):
    return [finding.code for finding in judged.judgement.findings]


def test_a_model_is_judged_for_every_target_and_read_once(tmp_path, monkeypatch):
    reads = []
    read = judging.read_model
    monkeypatch.setattr(judging, "read_model", lambda *a: reads.append(a) or read(*a))
    answers = judge(write(tmp_path / "m.onnx", BAD), PLAIN)
    assert [answer.judgement.target for answer in answers] == list(TARGETS)
    assert all("AX101" in codes(answer) for answer in answers)
    assert len(reads) == 1


def test_a_dlc_is_known_by_its_content(tmp_path, monkeypatch):
    (tmp_path / "m.onnx").write_bytes(b"PK\x03\x04")
    said = [Judgement(target, (), ()) for target in TARGETS]
    monkeypatch.setattr(judging, "read_dlc", lambda path: path)
    monkeypatch.setattr(judging, "judge_dlc", lambda _, target: said[TARGETS.index(target)])
    assert [answer.judgement for answer in judge(tmp_path / "m.onnx", PLAIN)] == said


def test_shapes_are_given_to_the_reader(tmp_path):
    path = write(tmp_path / "m.onnx", OPEN)
    assert all(codes(answer) for answer in judge(path, PLAIN))
    fixed = judge(path, Question(TARGETS, {"x": (1, 4, 8, 8)}))
    assert not any(codes(answer) for answer in fixed)


def test_a_second_opinion_is_asked_once_and_added_for_the_gpu(tmp_path, monkeypatch):
    refusal = NodeOpinion("Relu_0", "Relu", "refused", "3110")
    asked = []
    opinion = SecondOpinion("2.51", (refusal,))
    monkeypatch.setattr("avatar_export.dlc.qnngpu.ask", lambda m: asked.append(m) or opinion)
    path = write(tmp_path / "m.onnx", GOOD)
    gpu, cpu = judge(path, Question(TARGETS, {}, second_opinion=True))
    assert [f.code for f in gpu.extra] == ["AX302"]
    assert cpu.extra == ()
    assert len(asked) == 1


def test_without_a_second_opinion_the_first_one_stands(tmp_path, monkeypatch):
    def fail(_):
        raise ModelError("cannot load it")

    monkeypatch.setattr("avatar_export.dlc.qnngpu.ask", fail)
    monkeypatch.setattr(judging, "read_dlc", lambda path: path)
    monkeypatch.setattr(judging, "judge_dlc", lambda _, target: Judgement(target, (), ()))
    (tmp_path / "m.dlc").write_bytes(b"PK\x03\x04")
    asked = Question(TARGETS, {}, second_opinion=True)
    reasons = {
        "m.onnx": "no second opinion: cannot load it",
        "m.dlc": "no second opinion: it takes",
    }
    write(tmp_path / "m.onnx", GOOD)
    for name, reason in reasons.items():
        gpu, cpu = judge(tmp_path / name, asked)
        (told,) = gpu.extra
        assert (told.code, told.severity) == ("AX305", "warning")
        assert told.reason.startswith(reason) and cpu.extra == ()


@pytest.mark.parametrize("jobs", [1, 2, 0])
def test_answers_come_in_order_and_errors_stand_for_models(tmp_path, jobs):
    paths = [write(tmp_path / f"{i}.onnx", BAD if i % 2 else GOOD) for i in range(5)]
    (tmp_path / "2.onnx").write_bytes(b"junk")
    answers = list(judge_all(paths, PLAIN, jobs))
    assert isinstance(answers.pop(2), ModelError)
    found = ["AX101" in codes(answer[0]) for answer in answers]
    assert found == [False, True, True, False]


def test_every_error_names_its_file_and_keeps_its_hint(tmp_path):
    path = write(tmp_path / "m.onnx", GOOD)
    (error,) = judge_all([path], Question(TARGETS, {"nobody": (1,)}))
    assert isinstance(error, UserError)
    assert error.message.startswith(f"{path}: ") and "nobody" in error.message
    assert error.hint


def test_a_worker_that_dies_is_one_error(tmp_path, monkeypatch):
    paths = [write(tmp_path / f"{i}.onnx", GOOD) for i in range(2)]
    monkeypatch.setattr(judging, "read_model", lambda *_: __import__("os")._exit(9))
    with pytest.raises(ModelError, match="worker process died"):
        list(judge_all(paths, PLAIN, 2))
