"""onnxsim in a child process: constant folding, dead nodes, shape inference.

A child, because its native core has crashed on models of others (daquexian/onnx-simplifier issues
187, 206, 231): a crash must become one line, not the end of the caller.
"""

from __future__ import annotations

import gc
import subprocess
import sys
import tempfile
from pathlib import Path

import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from avatar_export.errors import ModelError
from avatar_export.passes.base import STAMP, Pass

_SKIPPED = [
    # Our own passes do these in double precision, once for everything that follows a layer.
    "fuse_bn_into_conv",
    "fuse_add_bias_into_conv",
    "fuse_mul_into_conv",
    "fuse_preceding_mul_into_conv",
    # A Gemm of two computed matrices, or with a transposed first one, is a fully connected layer
    # to SNPE's converters, which they then refuse; a plain MatMul they take.
    "fuse_matmul_add_bias_into_gemm",
    "fuse_transpose_into_gemm",
]
_TIMEOUT_S = 600

# The package imports torch when it finds it, for parts that are not used here: 2 s a call.
_CHILD = """
import sys
sys.modules["torch"] = None
import onnx, onnxsim
source, target, *skipped = sys.argv[1:]
model, _ = onnxsim.simplify(
    onnx.load(source),
    skip_fuse_bn=True,
    skipped_optimizers=skipped,
    certify=False,
)
onnx.save(model, target)
"""


class Simplify(Pass):
    """Let onnxsim do what it does well: fold constants, drop dead and idle nodes, infer shapes.

        x -> Transpose -> Transpose -> Mul(Sqrt(c)) -> y, x -> Exp -> read by nobody
        becomes
        x -> Mul(sqrt c) -> y

    Its own merging of layers is switched off: the passes here do that in double precision.
    """

    name = "onnxsim"

    def apply(self, model: ir.Model) -> list[str]:
        before = [node.op_type for node in model.graph]
        stamps = {
            node.name: node.metadata_props[STAMP]
            for node in model.graph
            if node.name and STAMP in node.metadata_props
        }
        simplified = ir.from_proto(self._run(ir.to_proto(model)))
        _adopt(model, simplified)
        for node in model.graph:
            if node.name in stamps:
                node.metadata_props[STAMP] = stamps[node.name]
        after = [node.op_type for node in model.graph]
        return [f"{len(before)} nodes became {len(after)}"] if after != before else []

    def _run(self, proto: onnx.ModelProto) -> onnx.ModelProto:
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder) / "in.onnx", Path(folder) / "out.onnx"
            onnx.save(proto, source)
            command = [sys.executable, "-P", "-c", _CHILD, str(source), str(target), *_SKIPPED]
            try:
                done = subprocess.run(command, capture_output=True, timeout=_TIMEOUT_S)
            except subprocess.TimeoutExpired as error:
                raise ModelError(f"{self.name} did not end within {_TIMEOUT_S} s") from error
            if done.returncode != 0 or not target.exists():
                lines = done.stderr.decode(errors="replace").strip().splitlines()
                raise ModelError(
                    f"{self.name} failed (exit {done.returncode}): {lines[-1] if lines else ''}"
                )
            return self._read(target)

    def _read(self, path: Path) -> onnx.ModelProto:
        unreadable = ModelError(f"{self.name} wrote no readable model")
        try:
            model = onnx.load(path)
        except DecodeError as error:
            raise unreadable from error
        if not model.HasField("graph"):  # an empty file reads as an empty message
            raise unreadable
        return model


def _adopt(model: ir.Model, other: ir.Model) -> None:
    """Make ``model`` hold what ``other`` holds, so that callers keep their reference."""
    model.graph = other.graph
    model.ir_version = other.ir_version
    # Nodes and values refer to each other: without this the weights of the old graph would stay
    # in memory until the collector happens to come by.
    gc.collect()
