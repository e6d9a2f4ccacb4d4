"""Child process that asks libQnnGpu.so about every node: ``python -m ... MODEL.onnx FOLDER``.

The answers stand in the log that ONNX Runtime writes while it creates a session. The session is
never run; creating it ends in an error where the library took nodes, for nothing here compiles
for a GPU. A process of its own, because some models may crash the library or hang it.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from avatar_export.dlc.constants import fold_constants
from avatar_export.dlc.qnnir_child import EXECUTION_PROVIDER

if TYPE_CHECKING:
    import onnx
    import onnxruntime

LIBRARY = "libQnnGpu.so"
LOG = "log.txt"
OUTCOME = "outcome.json"
_VERBOSE = 0


def write(model: Path, folder: Path) -> None:
    """Leave the log and the outcome in ``folder``.

    The outcome is ``{"folded": [node index, ...], "error": "what ONNX Runtime said at last"}``.
    """
    import onnx

    _log_to(folder / LOG)
    simple = onnx.load(model, load_external_data=False)
    simple = _with_shapes(simple)
    folded = fold_constants(simple, model.parent)
    _skip_dropout(simple)
    path = model.with_name("simple.onnx")
    path.write_bytes(simple.SerializeToString())
    error = create_session(path, devices())
    (folder / OUTCOME).write_text(json.dumps({"folded": folded, "error": error}))


def devices() -> list[onnxruntime.OrtEpDevice]:
    """Register the execution provider; returns the devices that it offers."""
    import onnxruntime
    import onnxruntime_qnn

    library = onnxruntime_qnn.get_library_path()
    onnxruntime.register_execution_provider_library(EXECUTION_PROVIDER, str(library))
    return [d for d in onnxruntime.get_ep_devices() if d.ep_name == EXECUTION_PROVIDER]


def create_session(model: Path, offered: list[onnxruntime.OrtEpDevice]) -> str:
    """Hand a model to the GPU backend; returns the error of ONNX Runtime, empty without one.

    Nodes may fall back to the CPU, so that a refused one does not hide the answers for the rest.
    """
    import onnxruntime
    import onnxruntime_qnn

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = _VERBOSE
    backend = Path(onnxruntime_qnn.get_library_path()).with_name(LIBRARY)
    options.add_provider_for_devices(offered[:1], {"backend_path": str(backend)})
    try:
        onnxruntime.InferenceSession(str(model), options)
    except Exception as error:  # The errors of ONNX Runtime have no root of their own.
        return str(error)
    return ""


def _log_to(path: Path) -> None:
    """Send what libraries write to stderr into a file: it may be hundreds of megabytes.

    What Python itself has to say still goes where it went.
    """
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, 2)
    os.close(file)


def _with_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy with the shapes that ONNX infers: ONNX Runtime alone misses some."""
    import onnx

    try:
        return onnx.shape_inference.infer_shapes(model, data_prop=True)
    except Exception as error:  # ONNX Runtime is to say what is wrong with the model.
        print(f"shapes are not inferred: {error}", file=sys.stderr)
        return model


def _skip_dropout(model: onnx.ModelProto) -> None:
    """Make each Dropout the Identity that it is outside training."""
    for node in model.graph.node:
        if node.op_type == "Dropout" and len(node.output) == 1 and len(node.input) < 3:
            node.op_type = "Identity"
            del node.input[1:]
            del node.attribute[:]


if __name__ == "__main__":
    write(Path(sys.argv[1]), Path(sys.argv[2]))
