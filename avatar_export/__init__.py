"""Export neural head avatars to phones: restricted-op ONNX and DLC that fit SNPE's layer list."""

import os

__version__ = "0.1.0"

# onnxruntime writes a device id and a telemetry database to the home folder on import unless told
# not to. A build tool leaves no traces that nobody asked for.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
