"""Random inputs on which a model gives finite numbers."""

from __future__ import annotations

from itertools import product
from math import prod

import numpy as np
import onnx

from avatar_export.errors import ModelError
from avatar_export.precision.runner import OnnxRunner

_SEED = 20

# Tried in this order: numbers around zero, above it (roots, logarithms), above one (Acosh);
# integers that differ, then ever smaller ones, because most of them are indices.
_FLOATS = ((-1.0, 1.0), (0.1, 1.0), (1.0, 2.0))
_INTEGERS = (8, 2, 1)

_MOST_ELEMENTS = 2**28
_MOST_BYTES = 2**31 - 1  # of a protobuf message
_HINT = "the cures can be applied unproved, without verification"


def random_inputs(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """One array for every graph input without a default, the same in every run.

    Infinite results, as of a pad with -inf, are taken only where no inputs give finite ones.

    Raises:
        ModelError: an input has no fixed shape or no numeric type, or ONNX Runtime cannot run the
            model, or its results are no numbers on any of the inputs tried.
    """
    # Not ByteSize(), which serialises, and fails beyond the limit.
    if sum(len(tensor.raw_data) for tensor in model.graph.initializer) > _MOST_BYTES:
        raise ModelError("a model above 2 GB cannot be run for verification", _HINT)
    runner = OnnxRunner(model)
    weights = {tensor.name for tensor in model.graph.initializer}
    fed = [value for value in model.graph.input if value.name not in weights]
    refusal = ModelError("the model gives results that are no numbers on random inputs", _HINT)
    infinite = None
    for count, (low, high) in product(_INTEGERS, _FLOATS):
        generator = np.random.default_rng(_SEED)
        feeds = {v.name: _numbers(v, generator, low, high, count) for v in fed}
        try:
            outputs = runner.run(feeds)
        except ModelError as error:
            refusal = error
            continue
        if all(_is_finite(array) for array in outputs.values()):
            return feeds
        if infinite is None and not any(_has_nan(array) for array in outputs.values()):
            infinite = feeds
    if infinite is None:
        raise refusal
    return infinite


def _numbers(
    value: onnx.ValueInfoProto, generator: np.random.Generator, low: float, high: float, count: int
) -> np.ndarray:
    """Floats from ``low`` to ``high``, integers below ``count``, or booleans."""
    shape = _shape(value)
    dtype = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
    if dtype.kind == "b":
        return generator.integers(0, 2, shape).astype(dtype)
    if dtype.kind in "iu":
        return generator.integers(0, count, shape).astype(dtype)
    if dtype.kind != "f":
        raise ModelError(f"input {value.name} holds {dtype}, not numbers", _HINT)
    return generator.uniform(low, high, shape).astype(dtype)


def _shape(value: onnx.ValueInfoProto) -> list[int]:
    """The shape of a graph input.

    Raises:
        ModelError: it is no tensor, a dimension is open, or it is too large to be tried out.
    """
    tensor = value.type.tensor_type
    dims = tensor.shape.dim
    if not tensor.HasField("shape") or not all(d.HasField("dim_value") for d in dims):
        raise ModelError(f"input {value.name} has no fixed shape, so nothing can be run", _HINT)
    shape = [d.dim_value for d in dims]
    if prod(shape) > _MOST_ELEMENTS or min(shape, default=0) < 0:
        raise ModelError(f"input {value.name} of shape {shape} cannot be run", _HINT)
    return shape


def _is_finite(array: object) -> bool:
    numbers = np.asarray(array)
    return numbers.dtype.kind != "f" or bool(np.isfinite(numbers).all())


def _has_nan(array: object) -> bool:
    numbers = np.asarray(array)
    return numbers.dtype.kind == "f" and bool(np.isnan(numbers).any())
