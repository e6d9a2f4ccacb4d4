"""One model, read once and judged for every target; and many models over several processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import onnx

from avatar_export.checking.dlc_model import judge_dlc, read_dlc
from avatar_export.checking.opinion import disagreements, no_answer
from avatar_export.checking.paths import is_dlc
from avatar_export.errors import AvatarExportError, ModelError
from avatar_export.onnx_file import bind, read_model
from avatar_export.whitelist.check import check
from avatar_export.whitelist.finding import Finding
from avatar_export.whitelist.judgement import Judgement
from avatar_export.whitelist.target import Target


@dataclass(frozen=True)
class Judged:
    """One model on one target, before anything is selected.

    Attributes:
        extra: findings of the second opinion.
    """

    judgement: Judgement
    extra: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Question:
    """What is asked of every model.

    Attributes:
        inputs: dimensions by the name of a graph input.
        second_opinion: whether the QNN GPU backend is asked too.
        several: whether other models are asked the same, so that an input may be one of theirs.
    """

    targets: tuple[Target, ...]
    inputs: Mapping[str, tuple[int, ...]]
    second_opinion: bool = False
    several: bool = False


Answer = tuple[Judged, ...] | AvatarExportError


def judge(path: Path, question: Question) -> tuple[Judged, ...]:
    """Judge one file for every target, in their order.

    Raises:
        ModelError: the file is damaged or cannot be analysed.
        UserError: it cannot be read, or a shape does not fit it.
        MissingDependency: the second opinion needs what is not installed.
    """
    if is_dlc(path):
        file = read_dlc(path)
        judgements = [judge_dlc(file, target) for target in question.targets]
        why = "it takes ONNX models only" if question.second_opinion else ""
        return tuple(Judged(j, no_answer(j, path.name, why)) for j in judgements)
    inputs = None if question.several else question.inputs
    model = read_model(path, inputs)
    if question.several:
        own = {value.name for value in model.graph.input}
        bind(model, {name: dims for name, dims in question.inputs.items() if name in own})
    return judge_model(model, question)


def judge_model(model: onnx.ModelProto, question: Question) -> tuple[Judged, ...]:
    """Judge a model in memory for every target, in their order.

    Raises:
        ModelError: it cannot be analysed.
        MissingDependency: the second opinion needs what is not installed.
    """
    judgements = [check(model, target) for target in question.targets]
    if not question.second_opinion:
        return tuple(map(Judged, judgements))
    # Here, not above: only this question needs the backend.
    from avatar_export.dlc.qnngpu import ask

    try:
        opinion = ask(model)
    except ModelError as error:  # the verdict of the tables stands without it
        name = model.graph.name
        return tuple(Judged(j, no_answer(j, name, error.message)) for j in judgements)
    return tuple(Judged(j, disagreements(j, opinion)) for j in judgements)


def judge_all(paths: Sequence[Path], question: Question, jobs: int = 1) -> Iterator[Answer]:
    """The answer of each file in the order given; an error stands in for one that has none.

    Args:
        jobs: processes, each with a model at a time; 0 is one a core.
    """
    ask = partial(_answer, question=question)
    workers = min(jobs or os.cpu_count() or 1, len(paths))
    if workers < 2:
        yield from map(ask, paths)
        return
    with ProcessPoolExecutor(workers, initializer=_leave_interrupts_to_the_parent) as pool:
        try:
            yield from pool.map(ask, paths)
        except BrokenProcessPool as error:
            raise ModelError("a worker process died", "out of memory? try --jobs 1") from error
        except BaseException:
            for worker in multiprocessing.active_children():
                worker.terminate()
            raise


def _answer(path: Path, question: Question) -> Answer:
    try:
        return judge(path, question)
    except AvatarExportError as error:
        if " ".join(str(path).split()) in error.message:
            return error
        return type(error)(f"{path}: {error.message}", error.hint)


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
