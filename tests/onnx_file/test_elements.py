"""Room that elements take, against what onnx writes."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from avatar_export.onnx_file import elements

NUMERIC = [kind for kind in TensorProto.DataType.values() if kind not in (0, TensorProto.STRING)]


@pytest.mark.parametrize("kind", NUMERIC, ids=TensorProto.DataType.Name)
def test_bytes_are_those_that_onnx_writes(kind: int) -> None:
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    tensor = numpy_helper.from_array(np.zeros((3, 3), dtype))
    assert elements.nbytes(tensor) == len(tensor.raw_data)


@pytest.mark.parametrize("kind", NUMERIC, ids=TensorProto.DataType.Name)
def test_entries_are_those_that_onnx_writes(kind: int) -> None:
    tensor = helper.make_tensor("t", kind, [3, 3], [0] * 9)
    field = helper.tensor_dtype_to_field(kind)
    assert elements.entries(tensor) == len(getattr(tensor, field))


def test_strings_count_one_by_one() -> None:
    tensor = helper.make_tensor("t", onnx.TensorProto.STRING, [2], ["a", "bcd"])
    assert elements.entries(tensor) == 2
