"""What the tests of lower-opset share."""

from __future__ import annotations

import numpy as np
import onnx

from avatar_export.passes.lower_opset import LowerOpset
from tests.passes.models import rewritten, rng

X = rng(2, 4, 6, 8)
IN, OUT = "float[2,4,6,8] x", "float[A,B,C,D] y"


def version(model: onnx.ModelProto) -> int:
    return next(x.version for x in model.opset_import if x.domain == "")


def body(nodes: str, inputs: str = IN, outputs: str = OUT) -> str:
    return f"g ({inputs}) => ({outputs}) {{ {nodes} }}"


def ints(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


def held(model: onnx.ModelProto, wanted: int, kept: int, **feeds: np.ndarray) -> str:
    """Lower a model that stops at ``kept``; the line that says why."""
    after, changes = rewritten(LowerOpset(wanted), model, **feeds or {"x": X})
    assert version(after) == kept
    return changes[0]
