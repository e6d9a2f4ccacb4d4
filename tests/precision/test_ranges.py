"""Largest values of all tensors, over several runs."""

from __future__ import annotations

import numpy as np
import onnx

from avatar_export.precision.ranges import channel_ranges, largest_values

MODEL = """
<ir_version: 8, opset_import: ["": 13]>
net (float[2,3] x) => (float[2,3] y) {
   doubled = Add(x, x)
   whole = Cast<to = 7>(doubled)
   back = Cast<to = 1>(whole)
   y = Neg(back)
}
"""


def test_worst_of_all_runs_and_float_tensors_only() -> None:
    proto = onnx.shape_inference.infer_shapes(onnx.parser.parse_model(MODEL))
    runs = [{"x": np.full((2, 3), v, np.float32)} for v in (1.0, -4.6, 2.0)]
    found = largest_values(proto, runs)
    assert set(found) == {"doubled", "back", "y"}
    np.testing.assert_allclose(found["doubled"], 9.2, rtol=1e-6)
    assert found["back"] == found["y"] == 9.0


def test_the_model_is_left_as_it_was() -> None:
    proto = onnx.shape_inference.infer_shapes(onnx.parser.parse_model(MODEL))
    before = proto.SerializeToString()
    largest_values(proto, [{"x": np.zeros((2, 3), np.float32)}])
    assert proto.SerializeToString() == before


def test_not_a_number_is_unbounded() -> None:
    text = MODEL.replace("y = Neg(back)", "y = Log(back)")
    proto = onnx.shape_inference.infer_shapes(onnx.parser.parse_model(text))
    found = largest_values(proto, [{"x": np.full((2, 3), -1.0, np.float32)}])
    assert found["y"] == np.inf


CHANNELS = """
<ir_version: 8, opset_import: ["": 13]>
net (float[1,2,3] x) => (float[1,2,3] y) {
   doubled = Add(x, x)
   y = Neg(doubled)
}
"""


def test_each_channel_over_all_runs() -> None:
    proto = onnx.parser.parse_model(CHANNELS)
    runs = [
        {"x": np.float32([[[1, 2, 3], [0, 0, -5]]])},
        {"x": np.float32([[[-1, 0, 0], [1] * 3]])},
    ]
    found = channel_ranges(proto, ["doubled", "y"], runs)
    assert set(found) == {"doubled", "y"}
    low, high = found["doubled"]
    np.testing.assert_array_equal(low, [-2, -10])
    np.testing.assert_array_equal(high, [6, 2])
    assert low.dtype == np.float64
    np.testing.assert_array_equal(found["y"][0], [-6, -2])


def test_a_channel_that_is_not_a_number_once_has_no_range() -> None:
    proto = onnx.parser.parse_model(CHANNELS)
    runs = [{"x": np.float32([[[1, np.nan, 3], [1] * 3]])}, {"x": np.ones((1, 2, 3), np.float32)}]
    low, high = channel_ranges(proto, ["y"], runs)["y"]
    np.testing.assert_array_equal(low, [np.nan, -2])
    np.testing.assert_array_equal(high, [np.nan, -2])
