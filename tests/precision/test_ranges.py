"""Largest values of all tensors, over several runs."""

from __future__ import annotations

import numpy as np
import onnx

from avatar_export.precision.ranges import largest_values

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
