"""What half cannot hold: an error or a finding, never a silent clamp."""

from __future__ import annotations

import numpy as np
import pytest

from avatar_export.errors import ModelError
from avatar_export.precision.fp16 import to_fp16
from tests.precision.fp16_models import HALF, converted, parsed, rng, types, with_weights


def test_a_value_beyond_half_is_an_error_that_names_tensor_node_and_value():
    body = "g (float[2] x) => (float[2] y) <float[2] big = {-70000, 1}> { [mul] y = Mul(x, big) }"
    with pytest.raises(ModelError, match=r"'big' of node 'mul' holds -70000") as raised:
        to_fp16(parsed(body))
    assert "rescale" in raised.value.hint


@pytest.mark.parametrize(("value", "fits"), [(65504.0, True), (65505.0, False)])
def test_the_limit_is_65504(value, fits):
    model = with_weights(parsed("g (float[1] x) => (float[1] y) { y = Add(x, b) }"), b=[value])
    if fits:
        assert to_fp16(model)[1].tensors_converted == 1
    else:
        with pytest.raises(ModelError, match="beyond the largest half"):
            to_fp16(model)


def test_small_values_are_counted_with_their_error():
    small = [0.0, 1.0, 6.2e-5, 3e-5, 1e-8, -2e-9]
    model = with_weights(parsed("g (float[6] x) => (float[6] y) { y = Mul(x, w) }"), w=small)
    _, report = to_fp16(model)
    (finding,) = report.findings
    assert (finding.kind, finding.name, finding.operator) == ("subnormal", "w", "Mul")
    assert finding.numbers["count"] == 3
    assert finding.numbers["zero"] == 2
    assert finding.numbers["share"] == 0.5
    assert finding.numbers["max_relative_error"] == 1.0
    assert finding.numbers["smallest"] == pytest.approx(2e-9)


def test_infinity_is_kept_and_reported():
    model = with_weights(parsed("g (float[2] x) => (float[2] y) { y = Add(x, m) }"), m=[0, -np.inf])
    half, report = converted(model, x=rng(2))
    assert [(f.kind, f.name) for f in report.findings] == [("non_finite", "m")]
    assert report.tensors_converted == 1
    assert types(half)["m"] == HALF


def test_a_clip_bound_beyond_half_is_no_bound():
    body = """g (float[3] x) => (float[3] y) <float lo = {0}, float hi = {3.4e38}>
              { y = Clip(x, lo, hi) }"""
    _, report = converted(parsed(body), x=np.float32([-1, 2, 60000]))
    assert [(f.kind, f.name) for f in report.findings] == [("unbounded", "hi")]


def test_a_clip_bound_that_is_also_a_weight_is_an_error():
    body = """g (float[3] x) => (float[3] y) <float hi = {70000}>
              { c = Min(x, hi) y = Clip(c, , hi) }"""
    with pytest.raises(ModelError, match="'hi'"):
        to_fp16(parsed(body))


@pytest.mark.parametrize(("epsilon", "told"), [("1e-7", True), ("1e-5", True), ("1e-3", False)])
def test_an_epsilon_below_the_normal_range_is_a_risk(epsilon, told):
    body = f"""g (float[1,2,4] x) => (float[1,2,4] y) <float[2] s = {{1,1}}, float[2] b = {{0,0}}>
               {{ [norm] y = InstanceNormalization<epsilon = {epsilon}>(x, s, b) }}"""
    _, report = converted(parsed(body), x=rng(1, 2, 4))
    found = [(f.kind, f.name) for f in report.findings]
    assert found == ([("epsilon", "norm")] if told else [])


def test_a_float_attribute_beyond_half_is_a_risk():
    body = "g (float[2] x) => (float[2] y) { [t] y = ThresholdedRelu<alpha = 70000.0>(x) }"
    _, report = to_fp16(parsed(body))
    assert [(f.kind, f.name, f.numbers) for f in report.findings] == [
        ("attribute", "t", {"alpha": 70000.0})
    ]


def test_clip_6_has_its_bounds_in_attributes():
    body = "g (float[2] x) => (float[2] y) { y = Clip<min = 0.0, max = 3.4e38>(x) }"
    _, report = converted(parsed(body, 9), x=rng(2))
    assert report.findings == ()
