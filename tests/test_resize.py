"""The pixels of a nearest resize are those that ONNX Runtime picks."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from avatar_export.precision.runner import run_onnx
from avatar_export.resize import COORDINATES, ROUNDINGS, Axis, nearest


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("coordinates", COORDINATES)
@pytest.mark.parametrize(("before", "scale"), [(8, 2.0), (8, 1.5), (7, 3.0), (8, 0.5), (5, 0.25)])
def test_nearest(before: int, scale: float, coordinates: str, rounding: str) -> None:
    axis = Axis(before, int(before * scale), scale)
    text = f"""<ir_version: 8, opset_import: ["": 11]>
        g (float[1,1,1,{before}] x) => (float[1,1,1,{axis.after}] y)
        <float[0] r = {{}}, float[4] s = {{1, 1, 1, {scale}}}> {{
            y = Resize <mode = "nearest", nearest_mode = "{rounding}",
                coordinate_transformation_mode = "{coordinates}"> (x, r, s)
        }}"""
    x = np.arange(before, dtype=np.float32).reshape(1, 1, 1, before)
    asked = run_onnx(onnx.parser.parse_model(text), {"x": x})["y"].ravel()
    found = nearest(np.arange(axis.after, dtype=np.float32), axis, coordinates, rounding)
    assert found.tolist() == asked.astype(int).tolist()
