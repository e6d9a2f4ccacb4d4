"""Child process that makes libQnnIr.so write a DLC: ``python -m ... MODEL.onnx FOLDER``.

The library comes with onnxruntime-qnn and works inside an ONNX Runtime session. Creating the
session writes the file; the session is never run. A process of its own, because some models
crash the library (seen with RandomNormalLike in onnxruntime-qnn 2.7.0) or abort it.
"""

from __future__ import annotations

import sys
from pathlib import Path

EXECUTION_PROVIDER = "QNNExecutionProvider"


def write(model: Path, folder: Path) -> None:
    """Write one DLC per subgraph that QNN takes, and ``qnn_op_trace.json``, into ``folder``.

    Raises:
        Exception: of ONNX Runtime, when the model is invalid or a node is left for the CPU.
    """
    import onnxruntime
    import onnxruntime_qnn

    library = Path(onnxruntime_qnn.get_library_path())
    onnxruntime.register_execution_provider_library(EXECUTION_PROVIDER, str(library))
    devices = [d for d in onnxruntime.get_ep_devices() if d.ep_name == EXECUTION_PROVIDER]
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    # Without it nodes vanish into others before QNN names what it took.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    provider_options = {
        "backend_path": str(library.with_name("libQnnIr.so")),
        "dump_qnn_ir_dlc": "1",
        "dump_qnn_ir_dlc_dir": str(folder),
        "enable_framework_op_trace": "1",
        "framework_op_trace_dir": str(folder),
    }
    options.add_provider_for_devices(devices[:1], provider_options)
    # From bytes, not from a path: names inside the DLC hang on a hash that includes the path.
    onnxruntime.InferenceSession(model.read_bytes(), options)


if __name__ == "__main__":
    write(Path(sys.argv[1]), Path(sys.argv[2]))
