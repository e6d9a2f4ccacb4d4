"""Why a generator in the manner of the First Order Motion Model was ruled out for SNPE.

Grid sampling in the middle of the network, 2x2 inverses, and Jacobians of rank 6 times a grid of
coordinates; a few key points and channels instead of ten and 256.
"""

from __future__ import annotations

import pytest

from avatar_export.whitelist.check import check
from avatar_export.whitelist.finding import Verdict
from avatar_export.whitelist.targets import resolve_target
from tests.whitelist.models import model

SIGNATURE = """
    (float[1,3,16,16] source, float[1,2,1,1,2] points, float[1,2,1,1,2] driving,
     float[1,2,2,2] jacobian, float[1,2,2,2] driving_jacobian)
    => (float[1,3,16,16] picture)
"""
GENERATOR = """
    inverse = com.microsoft.Inverse (driving_jacobian)
    change = MatMul (jacobian, inverse)
    six = Constant <value_ints = [1, 2, 1, 1, 2, 2]> ()
    spread = Reshape (change, six)
    moved = Sub (grid, driving)
    last = Constant <value_ints = [5]> ()
    column = Unsqueeze (moved, last)
    turned = MatMul (spread, column)
    row = Squeeze (turned, last)
    motion = Add (row, points)
    squared = Mul (moved, moved)
    inner = Constant <value_ints = [4]> ()
    distance = ReduceSum <keepdims = 0> (squared, inner)
    minus = Constant <value_float = -50.0> ()
    scaled = Mul (distance, minus)
    heat = Exp (scaled)
    mask = Softmax <axis = 1> (heat)
    weight = Unsqueeze (mask, inner)
    weighted = Mul (motion, weight)
    first = Constant <value_ints = [1]> ()
    flow = ReduceSum <keepdims = 0> (weighted, first)
    features = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (source, w1)
    warped = GridSample (features, flow)
    norm = InstanceNormalization (warped, scale, bias)
    relu = Relu (norm)
    rgb = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (relu, w2)
    picture = Sigmoid (rgb)
"""
WEIGHTS = {
    "grid": (1, 1, 16, 16, 2),
    "w1": (8, 3, 3, 3),
    "scale": (8,),
    "bias": (8,),
    "w2": (3, 8, 3, 3),
}


@pytest.fixture(scope="module")
def generator():
    built = model(SIGNATURE, GENERATOR, 16, **WEIGHTS)
    built.opset_import.add(domain="com.microsoft", version=1)
    return built


def reasons(generator, sdk, runtime):
    """Errors by operator, a line each."""
    judgement = check(generator, resolve_target(None, sdk, runtime))
    return {f.operator: f"{f.code} {f.reason}" for f in judgement.errors}


@pytest.mark.parametrize("sdk", ["1.17", "1.43", "2.5"])
def test_no_old_converter_knows_a_grid_sample_or_an_inverse(generator, sdk):
    found = reasons(generator, sdk, "gpu_float16")
    assert found["GridSample"].startswith("AX101")
    assert found["Inverse"] == "AX101 com.microsoft.Inverse lies outside the ONNX operators"


def test_a_new_one_knows_it_but_not_on_the_gpu(generator):
    found = reasons(generator, "2.35", "gpu_float16")
    assert found["GridSample"].startswith("AX103 GridSample on GPU: the table says no")
    assert reasons(generator, "2.35", "cpu").keys() == {"Inverse"}


@pytest.mark.parametrize("sdk", ["2.5", "2.25", "2.35"])
def test_reductions_of_rank_5_are_no_gpu_work(generator, sdk):
    assert "rank 5" in reasons(generator, sdk, "gpu_float16")["ReduceSum"]


def test_the_rest_is_not_blamed(generator):
    judgement = check(generator, resolve_target(None, "2.35", "gpu_float16"))
    fine = {n.operator for n in judgement.node_verdicts if n.verdict is Verdict.SUPPORTED}
    assert {"Conv", "InstanceNormalization", "Sigmoid", "Exp", "Sub"} <= fine
