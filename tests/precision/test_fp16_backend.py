"""The ONNX project's own node models, some 1900 of them, converted with both kinds of I/O.

Every model either converts to one that passes the full checker (``to_fp16`` runs it), or is
refused with a reason that stands here. What ONNX Runtime can run in float32 it must run in half,
and come close, but for the cases that stand here with their reason.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.backend.test.case.node import collect_testcases

from avatar_export.errors import ModelError
from avatar_export.precision.fp16 import to_fp16
from avatar_export.precision.runner import run_onnx

pytestmark = pytest.mark.slow

REFUSALS = {
    "nothing to convert": "integers, doubles, strings, or half already",
    "which no Cast converts": "a network input or output that is a sequence or an optional",
    "has a type as its attribute": "Optional",
    "has subgraphs of its own kind": "FlexAttention",
    "op_type:MeanVarianceNormalization": "onnx's own full checker rejects this model",
}

# ONNX Runtime's CPU provider has no half for it, and adds no casts of its own.
NOT_IN_ORT = ("test_melweightmatrix",)

NOT_CLOSE = (
    "test_attention_4d_with_past_and_present_qk_matmul_bias",  # prints the mask value, -3.4e38
    "test_training_dropout",  # random
)


@pytest.fixture(scope="module")
def cases() -> list[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return collect_testcases(None)


def convert(model: onnx.ModelProto, io: str) -> onnx.ModelProto | None:
    """The converted model, or None for a refusal that is expected."""
    try:
        half, _ = to_fp16(model, io=io)
    except ModelError as error:
        assert any(reason in error.message for reason in REFUSALS), error.message
        return None
    names = [node.name for node in half.graph.node if node.name]
    assert len(names) == len(set(names))
    return half


def distance(got: Any, expected: Any) -> float:
    """Largest difference relative to 1 + magnitude; sequences value by value."""
    if isinstance(expected, list):
        return max((distance(g, e) for g, e in zip(got, expected, strict=True)), default=0.0)
    assert got.dtype == expected.dtype
    assert got.shape == expected.shape
    if expected.dtype.kind not in "fiub":
        return 0.0
    a, b = np.float64(got), np.float64(expected)
    with np.errstate(all="ignore"):
        error = np.where(a == b, 0.0, np.abs(a - b) / (1 + np.abs(b)))
    return float(np.nanmax(error, initial=0.0))


def test_node_models_with_float_io_convert_and_stay_close(cases):
    ran, wrong = 0, []
    for case in cases:
        half = convert(case.model, "float")
        feeds = dict(
            zip((i.name for i in case.model.graph.input), case.data_sets[0][0], strict=True)
        )
        if half is None or case.name.startswith(NOT_IN_ORT):
            continue
        try:
            expected = run_onnx(case.model, feeds)
        except ModelError:
            continue  # ONNX Runtime does not have it in float32 either
        got = run_onnx(half, feeds)
        ran += 1
        error = max((distance(got[name], expected[name]) for name in expected), default=0.0)
        if not error < 1e-2 and not case.name.startswith(NOT_CLOSE):
            wrong.append((case.name, error))
    assert wrong == []
    assert ran > 1000


def test_node_models_with_half_io_convert(cases):
    assert sum(convert(case.model, "half") is not None for case in cases) > 1000
