"""Run an ONNX model on the CPU with ONNX Runtime: the reference every step is held against.

ONNX Runtime computes float16 graphs on the CPU in float32 between casts, so a run here shows the
rounding of half weights and tensors, but not the overflow of half arithmetic.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime as ort

from avatar_export.errors import ModelError, UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

_LOG_FATAL_ONLY = 4  # exceptions carry the text of errors


class OnnxRunner:
    """One model, loaded once, run many times.

    Args:
        model: a file, its bytes, or the proto (at most 2 GB in the last two forms).
        threads: intra-op threads; results may differ in the last bit between thread counts.

    Raises:
        UserError: the file does not exist.
        ModelError: ONNX Runtime cannot load the model.
    """

    def __init__(self, model: Path | bytes | onnx.ModelProto, threads: int = 1) -> None:
        self.name = model.name if isinstance(model, Path) else "model"
        source, options = _loadable(model), _options(threads)
        try:
            self._session = ort.InferenceSession(
                source, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime raises a dozen unrelated types
            raise ModelError(f"ONNX Runtime cannot load {self.name}: {error}") from error
        self.inputs: tuple[str, ...] = tuple(i.name for i in self._session.get_inputs())
        self.outputs: tuple[str, ...] = tuple(o.name for o in self._session.get_outputs())

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """All outputs by name, in the model's order.

        Raises:
            UserError: an input is missing or unknown.
            ModelError: ONNX Runtime fails, on a wrong shape or type among other things.
        """
        self._check_names(feeds)
        try:
            results = self._session.run(None, {k: np.asarray(v) for k, v in feeds.items()})
        except Exception as error:  # as above
            raise ModelError(f"ONNX Runtime cannot run {self.name}: {error}") from error
        return dict(zip(self.outputs, results, strict=True))

    def _check_names(self, feeds: Mapping[str, NDArray[Any]]) -> None:
        missing = [name for name in self.inputs if name not in feeds]
        optional = {i.name for i in self._session.get_overridable_initializers()}
        unknown = [name for name in feeds if name not in self.inputs and name not in optional]
        if missing or unknown:
            wrong = [f"missing {name!r}" for name in missing]
            wrong += [f"unknown {name!r}" for name in unknown]
            raise UserError(
                f"inputs of {self.name}: {', '.join(wrong)}",
                f"the model takes {', '.join(self.inputs) or 'none'}",
            )


def run_onnx(
    model: Path | bytes | onnx.ModelProto,
    feeds: Mapping[str, NDArray[Any]],
    threads: int = 1,
) -> dict[str, NDArray[Any]]:
    """Load, run once, return all outputs by name; see :class:`OnnxRunner` for the errors."""
    return OnnxRunner(model, threads).run(feeds)


def _loadable(model: Path | bytes | onnx.ModelProto) -> str | bytes:
    if isinstance(model, Path):
        if not model.is_file():
            raise UserError(f"no such model file: {model}")
        # In a locale without UTF-8 ONNX Runtime cannot be told a path beyond ASCII.
        return str(model) if str(model).isascii() else model.read_bytes()
    return model.SerializeToString() if isinstance(model, onnx.ModelProto) else model


def _options(threads: int) -> ort.SessionOptions:
    if threads < 1:
        raise UserError(f"threads must be 1 or more, not {threads}")
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _LOG_FATAL_ONLY
    options.use_deterministic_compute = True
    return options
